"""Ranks: products of narrow factors in place of whole weights."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from automl_rec.plugin.form import Form
from automl_rec.plugin.weight import Weight


class Rank(ABC):
    """A factorisation of weights, constructed from its component's hyperparameters.

    The weights given are those compression may act on: not sensitive, not limited. Forms and
    weights have the same names; `compress` meets matrices as `map_leaves` gives them and must make
    exactly what `price` says.
    """

    @abstractmethod
    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """The forms after `compress`; intervals where values decide the rank."""

    @abstractmethod
    def compress(self, weights: Mapping[str, Weight]) -> None:
        """Replaces the stored matrices of finished weights."""
