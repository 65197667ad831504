"""How density falls while a model trains."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CubicSchedule:
    """From dense to ``density``, fast at first: ``s_t = s_f (1 - (1 - t)^3)``.

    t runs from 0 to 1 between two points of training; s is the sparsity, 1 - density.

    Source: Zhu and Gupta, 2017, equation 1, with initial sparsity 0.

    Attributes:
        density: share of entries that stays in the end.
        start: share of training after which pruning begins.
        end: share of training at which it ends.
    """

    density: float
    start: float
    end: float

    def density_at(self, passed: float) -> float:
        """Share of entries that stays when a share of training has passed."""
        done = progress(passed, self.start, self.end)
        return 1.0 - (1.0 - self.density) * (1.0 - (1.0 - done) ** 3)


def progress(passed: float, start: float, end: float) -> float:
    """How far from start to end it is when a share of training has passed: 0 to 1."""
    if passed >= end:
        return 1.0
    return max(passed - start, 0.0) / (end - start)
