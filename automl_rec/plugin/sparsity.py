"""Sparsities: which entries of a weight are kept."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from automl_rec.plugin.form import Form
from automl_rec.plugin.weight import Weight


class Sparsity(ABC):
    """A choice of entries, constructed from its component's hyperparameters.

    The weights given are those compression may act on: not sensitive. `compress` runs after any
    rank; it meets matrices as `map_leaves` gives them and must make exactly what `price` says.
    """

    @property
    def masks_in_training(self) -> bool:
        """Whether weights are masked while they train; such masks exclude a later rank."""
        return False

    def begin(self, weights: Mapping[str, Weight], total_steps: int) -> None:
        """Prepares for a training of so many steps; only called where masks act in training."""

    def after_step(self, step: int) -> None:
        """Updates masks after optimiser step ``step`` (from 1)."""

    @abstractmethod
    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """The forms after `compress`; intervals where values decide how many entries stay."""

    @abstractmethod
    def compress(self, weights: Mapping[str, Weight]) -> None:
        """Replaces the stored matrices of finished weights."""
