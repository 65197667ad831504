"""How density falls while a model trains."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CubicSchedule:
    """From dense to ``density``, fast at first: ``s_t = s_f (1 - (1 - t)^3)``.

    t runs from 0 to 1 between two points of training; s is the sparsity, 1 - density.

    Source: Zhu and Gupta, 2017, equation 1, with initial sparsity 0.

    Attributes:
        density: share of entries that stays in the end.
        first: step at which pruning begins.
        last: step of the last update.
        every: steps between updates.
    """

    density: float
    first: int
    last: int
    every: int

    @classmethod
    def over(
        cls, total_steps: int, density: float, start: float, end: float, every: int
    ) -> "CubicSchedule":
        """The schedule of a training of so many steps, from its share ``start`` to ``end``."""
        last = max(round(end * total_steps), 1)
        return cls(density, min(round(start * total_steps), last - 1), last, every)

    def updates_at(self, step: int) -> bool:
        """Whether masks change after step ``step`` (from 1)."""
        if not self.first < step <= self.last:
            return False
        return step == self.last or (step - self.first) % self.every == 0

    def density_at(self, step: int) -> float:
        """Share of entries that stays after step ``step``, which is past the first."""
        passed = min((step - self.first) / (self.last - self.first), 1.0)
        return 1.0 - (1.0 - self.density) * (1.0 - (1.0 - passed) ** 3)
