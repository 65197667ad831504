"""Sparsities: which entries of a weight are kept."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from automl_rec.plugin.form import Form
from automl_rec.plugin.life_cycle import LifeCycle
from automl_rec.plugin.weight import Weight


class Sparsity(LifeCycle, ABC):
    """A choice of entries, constructed from its component's hyperparameters.

    The weights given are those compression may act on: not sensitive. `compress` runs after any
    rank; it meets matrices as `map_leaves` gives them and must make exactly what `price` says.
    """

    @property
    def acts_in_training(self) -> bool:
        """Whether it does anything while a model trains; then no closed form can be its model."""
        return False

    def join(self, weights: Mapping[str, Weight]) -> None:
        """Takes note of the weights it will act on, once the model is built; only if it acts then.

        Called on the meta device too. Masks (`TrainableMatrix.mask`) are set here, so that what
        training holds is known, and changed later; of a weight that a rank has divided, the factors
        have them.

        Raises:
            Infeasible: the scheme cannot train these weights.
        """

    @abstractmethod
    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """The forms after `compress`; intervals where values decide how many entries stay."""

    @abstractmethod
    def compress(self, weights: Mapping[str, Weight]) -> None:
        """Replaces the stored matrices of finished weights."""
