"""Joining: the life cycles of several components in one training."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from automl_rec.plugin import LifeCycle, Loss, Phase, Step

WHOLE = Phase("train")
"""The one phase of a training that nobody divides."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A phase of the joint training, and what each life cycle takes it for.

    Attributes:
        phase: of the training.
        own: one a life cycle; the joint phase for those without phases, None for those that wait.
    """

    phase: Phase
    own: tuple[Phase | None, ...]


class Joined(LifeCycle):
    """Life cycles that are told of their own phases, in order; a later one's loss is the outer.

    Phases of a later life cycle divide the last phase of those before it.
    """

    def __init__(self, cycles: Sequence[LifeCycle]) -> None:
        self._cycles = tuple(cycles)
        self._parts = _parts(self._cycles)
        self._part = self._parts[0]

    @property
    def phases(self) -> tuple[Phase, ...]:
        """See `LifeCycle.phases`; at least one."""
        return tuple(part.phase for part in self._parts)

    def owned(self) -> Iterable[nn.Parameter]:
        """See `LifeCycle.owned`."""
        return [parameter for cycle in self._cycles for parameter in cycle.owned()]

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        """See `LifeCycle.begin`."""
        self._part = self._part_of(phase)
        for cycle, own in zip(self._cycles, self._part.own, strict=True):
            if own is not None:
                cycle.begin(own, generator)
        self.held_out = max((cycle.held_out for cycle in self._acting()), default=0.0)

    def end(self, phase: Phase) -> None:
        """See `LifeCycle.end`: a life cycle whose last phase is divided has not ended it."""
        part = self._part_of(phase)
        following = self._parts[self._parts.index(part) + 1]
        for cycle, own, after in zip(self._cycles, part.own, following.own, strict=True):
            if own is not None and own is not after:
                cycle.end(own)

    def loss(self, own: Loss) -> Tensor:
        """See `LifeCycle.loss`."""
        for cycle in self._acting():
            own = _around(cycle, own)
        return own()

    def after_backward(self, step: Step) -> None:
        """See `LifeCycle.after_backward`."""
        for cycle in self._acting():
            cycle.after_backward(step)

    def after_step(self, step: Step) -> None:
        """See `LifeCycle.after_step`."""
        for cycle in self._acting():
            cycle.after_step(step)

    def judge(self, step: Step) -> None:
        """See `LifeCycle.judge`."""
        for cycle in self._acting():
            if cycle.held_out:
                cycle.judge(step)

    def _acting(self) -> list[LifeCycle]:
        pairs = zip(self._cycles, self._part.own, strict=True)
        return [cycle for cycle, own in pairs if own is not None]

    def _part_of(self, phase: Phase) -> _Part:
        return next(part for part in self._parts if part.phase == phase)


def _around(cycle: LifeCycle, own: Loss) -> Loss:
    return lambda: cycle.loss(own)


def _parts(cycles: Sequence[LifeCycle]) -> list[_Part]:
    """The phases of a training: each life cycle's divide the last of those before."""
    parts = [_Part(WHOLE, ())]
    for cycle in cycles:
        phases = cycle.phases
        if not phases:
            parts = [replace(part, own=(*part.own, WHOLE)) for part in parts]
            continue
        *before, last = parts
        waiting = [replace(part, own=(*part.own, None)) for part in before]
        parts = waiting + [_within(last, own, first=own is phases[0]) for own in phases]
    return [_seen_by_all(part) for part in parts]


def _within(last: _Part, own: Phase, *, first: bool) -> _Part:
    """A phase of the training that is one of a life cycle's, within the last of those before."""
    outer = last.phase
    name = own.name if outer is WHOLE else f"{outer.name}, {own.name}"
    start = outer.start if first and outer.start == "initial" else own.start
    phase = replace(own, name=name, share=outer.share * own.share, start=start)
    return _Part(phase, (*last.own, own))


def _seen_by_all(part: _Part) -> _Part:
    """The part with the joint phase for the life cycles that have none of their own."""
    own = tuple(part.phase if phase is WHOLE else phase for phase in part.own)
    return replace(part, own=own)
