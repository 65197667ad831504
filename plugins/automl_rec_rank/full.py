"""Weights stay whole."""

from collections.abc import Mapping

from automl_rec.plugin import Form, Rank, Weight


class FullRank(Rank):
    """Leaves weights as they are.

    Source: the unfactorised model of every publication.
    """

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """See `Rank.price`; the forms given."""
        return dict(forms)

    def compress(self, weights: Mapping[str, Weight]) -> None:
        """See `Rank.compress`; nothing changes."""
