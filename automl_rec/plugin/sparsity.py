"""Sparsities: which entries of a weight are kept."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

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

    def calibrate(self, weights: Mapping[str, Weight], answer: Callable[[], None]) -> None:
        """Sees what finished weights are asked for the train part; called before `compress`.

        A sparsity that wants to see sets `WatchedMatrix` of its own in place of what matrices are
        made of, by `map_leaves`, calls ``answer``, and sets the matrices back.

        Args:
            weights: those of `compress`.
            answer: lets the model score all items for users of the train part, or judge its rows,
                as in service; a sample of them where they are many.
        """

    @abstractmethod
    def compress(self, weights: Mapping[str, Weight]) -> None:
        """Replaces the stored matrices of finished weights."""
