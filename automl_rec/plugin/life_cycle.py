"""Life cycles: what a component may do while a model trains."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

Loss: TypeAlias = Callable[[], Tensor]
"""Computes the model's own loss of one batch; as often as it is called, dropout drawn anew."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of a training, with its own optimiser state, patience and best weights.

    Attributes:
        name: unique in its training.
        share: of the epochs, above 0; the shares of all phases add up to 1, and each phase has at
            least one epoch.
        start: what the model starts it with: the ``"best"`` weights of the phase before, or its
            ``"initial"`` ones.
        end: what it leaves: its ``"best"`` weights on validation, or its ``"last"``, whatever their
            quality and without patience, where it presses harder and harder on what is to go.
    """

    name: str
    share: float = 1.0
    start: Literal["best", "initial"] = "best"
    end: Literal["best", "last"] = "best"


Forget: TypeAlias = Callable[[nn.Parameter, Tensor], None]
"""Takes the moments of a parameter back to 0 where a bool tensor of its shape holds."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the optimiser.

    Attributes:
        number: from 1 in its phase.
        total: steps of its phase at most.
        learning_rate: of the loop's optimiser.
        loss: the model's own loss of the step's batch.
        per_epoch: steps of an epoch.
        time_passed: share of the time allowed for its phase; 0 where none is set.
        forget: what the optimiser remembers of single entries, which start anew; nothing of what a
            component owns.
    """

    number: int
    total: int
    learning_rate: float
    loss: Loss
    per_epoch: int = 1
    time_passed: float = 0.0
    forget: Forget = field(default=lambda _parameter, _places: None)

    @property
    def passed(self) -> float:
        """Share of its phase that has passed, in steps or in time, whichever will end it first."""
        return min(max(self.number / self.total, self.time_passed), 1.0)


class LifeCycle:
    """What a component does beside the gradient; by default nothing.

    The components of a configuration share one training: embedding, rank and sparsity, called in
    this order. Everything a hook changes must be a parameter or persistent buffer of the model (of
    its tables, or of the matrices of its weights), or the mask of a `TrainableMatrix`: those alone
    are kept with the best weights and in checkpoints. What only training needs is dropped when the
    model is finished.

    Attributes:
        held_out: share of the train part that is kept from the weights and given to `judge`; looked
            at after `begin`, so that a phase in which nothing is judged may learn from all.
    """

    held_out: float = 0.0

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases it acts in, one after the other; none where it acts in all there are.

        The curve and the search see the last phase of a training alone. Where several components
        have phases, those of a later one divide the last phase of those before it: a component with
        one phase waits for the last of the others.
        """
        return ()

    def owned(self) -> Iterable[nn.Parameter]:
        """Parameters that the hooks step; the loop's optimiser leaves them alone."""
        return ()

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        """Called before each phase, without gradient.

        Where a later component divides the last phase, it is called before each part of it. When a
        training is resumed it is called again, with initial values that are then replaced:
        the shapes it makes must not depend on values.
        """

    def end(self, phase: Phase) -> None:
        """Called after each phase but the last, without gradient, with the weights it leaves.

        When a training is resumed it is called again, as `begin` is.
        """

    def loss(self, own: Loss) -> Tensor:
        """The loss of a step: the model's own, once or more, with what the component adds."""
        return own()

    def after_backward(self, step: Step) -> None:
        """Called after each backward pass, before the optimiser's step, with gradient.

        Slopes are in the ``grad`` of parameters, those it owns included, and may be changed.
        """

    def after_step(self, step: Step) -> None:
        """Called after each step of the optimiser, with gradient."""

    def judge(self, step: Step) -> None:
        """Called after each step with the loss of a held-out batch, if `held_out` is not 0."""
