"""Objectives: measured numbers, each with its direction and unit; these live here only."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["maximize", "minimize"]
Task: TypeAlias = Literal["retrieval", "ranking"]


@dataclass(frozen=True, slots=True)
class Objective:
    """One axis of a study.

    Attributes:
        name: e.g. ``"ndcg@10"``, ``"bytes"``.
        direction: which way is better.
        unit: for display: ``""``, ``"B"``, ``"ms"``, ``"s"``, ``"multiply-adds"``.
        bound: the worst feasible value, or None.
        priced: whether it is known, or bounded, before training.
    """

    name: str
    direction: Direction
    unit: str
    bound: float | None = None
    priced: bool = False

    @property
    def sign(self) -> int:
        """1 where smaller is better, -1 where larger is: ``sign * value`` is to be minimised."""
        return 1 if self.direction == "minimize" else -1

    def upward(self, value: float) -> float:
        """The value, turned so that larger is better."""
        return -self.sign * value

    def violation(self, value: float) -> float:
        """How far a value lies beyond the bound; <= 0 is feasible."""
        return 0.0 if self.bound is None else self.sign * (value - self.bound)


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measured value; ``standard_error`` over the users or rows where it is a mean over them."""

    value: float
    standard_error: float | None = None
