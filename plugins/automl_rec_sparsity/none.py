"""Every entry is kept."""

from collections.abc import Mapping

from automl_rec.plugin import Form, Sparsity, Weight


class NoSparsity(Sparsity):
    """Leaves weights as they are.

    Source: the dense model of every publication.
    """

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """See `Sparsity.price`; the forms given."""
        return dict(forms)

    def compress(self, weights: Mapping[str, Weight]) -> None:
        """See `Sparsity.compress`; nothing changes."""
