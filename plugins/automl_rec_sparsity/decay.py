"""How the entries that will go are weighed down while a model trains."""

import math
from typing import Literal

Decay = Literal["linear", "exponential", "structural"]
SMALLEST = 100.0
"""An exponential decay ends at one part of so many, and then drops to 0."""


def weight_at(decay: Decay, passed: float) -> float:
    """What entries outside of the pattern count when a share of the decay has passed, 1 to 0.

    Source: the linear and exponential decay of the mask of Kao et al., 2022 (MdGf), with constants
    by the length of the decay; the structural one has hard masks.
    """
    if passed >= 1.0 or decay == "structural":
        return 0.0
    return 1.0 - passed if decay == "linear" else math.exp(-math.log(SMALLEST) * passed)


def kept_at(decay: Decay, passed: float, kept: int, of: int) -> int:
    """How many of a group are inside the mask when a share of the decay has passed.

    The structural decay leaves out one, then half, then half of that, in equal stretches.

    Source: Kao et al., 2022 (SdGf, stepwise).
    """
    if decay != "structural":
        return kept
    halves = [of >> n for n in range(1, of.bit_length()) if of >> n > kept]
    stages = sorted({of - 1, *halves, kept}, reverse=True)
    return stages[min(int(passed * len(stages)), len(stages) - 1)]
