"""Ranks: products of narrow factors in place of whole weights."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from torch import nn

from automl_rec.plugin.form import Form
from automl_rec.plugin.life_cycle import LifeCycle
from automl_rec.plugin.weight import Weight


class Rank(LifeCycle, ABC):
    """A factorisation of weights, constructed from its component's hyperparameters.

    The weights given are those compression may act on: not sensitive, not limited. Forms and
    weights have the same names; `compress` meets matrices as `map_leaves` gives them and must make
    exactly what `price` says.

    Attributes:
        maskable: whether a sparsity may mask the factors that `join` has made while they train; not
            where the rank moves them itself, or makes them later.
        prunes: whether it keeps sparse entries of its own, so that no sparsity may act beside it.
    """

    maskable: ClassVar[bool] = False
    prunes: ClassVar[bool] = False

    @property
    def acts_in_training(self) -> bool:
        """Whether it does anything while a model trains; then no closed form can be its model."""
        return False

    def join(self, weights: Mapping[str, Weight]) -> None:
        """Makes of weights what is to be trained, once the model is built; only if it acts then.

        Called on the meta device too, where shapes alone are known: a weight's matrix becomes a
        `LowRankMatrix` of two `TrainableMatrix`, say, or a matrix of its own that can be `stored`.

        Raises:
            Infeasible: the scheme cannot train these weights.
        """

    @abstractmethod
    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """The forms after `compress`; intervals where values decide the rank."""

    def calibrate(
        self,
        weights: Mapping[str, Weight],
        biases: Mapping[str, nn.Parameter],
        answer: Callable[[], None],
    ) -> None:
        """Sees what finished weights give for the train part; called before `compress`.

        A rank that wants to see sets ``weight.matrix`` to a `WatchedMatrix` of its own, which takes
        notes, calls ``answer``, and sets the matrices back.

        Args:
            weights: those of `compress`.
            biases: name of a weight -> (rows,) what its linear adds to the products, where it adds
                anything; `compress` may change them.
            answer: lets the model score all items for users of the train part, or judge its rows,
                as in service; a sample of them where they are many.
        """

    @abstractmethod
    def compress(self, weights: Mapping[str, Weight]) -> None:
        """Replaces the stored matrices of finished weights."""
