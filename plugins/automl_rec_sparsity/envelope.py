"""The weighted group sparse envelope: the convex way to few groups."""

import torch
from torch import Tensor


def shrinkage(norms: Tensor, costs: Tensor, strength: float, budget: float) -> Tensor:
    """Factors (G,) in [0, 1] by which the proximal map of the envelope multiplies groups.

    The envelope of w is ``1/2 min_u sum_g |w_g|^2 / u_g`` over u in [0, 1]^G of total cost
    ``sum_g d_g u_g <= k``: of all convex functions below half the squared norm on what has groups
    of cost k at most, the largest. At the minimum ``u_g = clip(x |t_g| / sqrt(d_g) - s, 0, 1)``,
    where x spends the budget, and ``w_g = t_g u_g / (s + u_g)``. Exact, by sorting the 2 G places
    where a group begins or ceases to grow.

    Source: the weighted group sparse envelope (WGSEF), 2024, whose proximal map is stated to be
    exact and linear in groups; this derivation is ours.

    Args:
        norms: (G,) of the groups before.
        costs: (G,) d_g, positive.
        strength: s, the weight of the envelope times the step, positive.
        budget: k, positive.
    """
    there = norms > 0
    shares = there.double()
    if float(costs[there].sum()) > budget:
        scaled = norms[there].double() / costs[there].double().sqrt()
        spent = _spending(scaled, costs[there].double(), strength, budget)
        shares[there] = (spent * scaled - strength).clamp(0.0, 1.0)
    return (shares / (strength + shares)).to(norms.dtype)


def _spending(scaled: Tensor, costs: Tensor, strength: float, budget: float) -> Tensor:
    """The x at which ``sum_g d_g clip(x scaled_g - s, 0, 1)`` is the budget."""
    slopes = costs * scaled
    places, order = torch.cat([strength / scaled, (1.0 + strength) / scaled]).sort()
    slope = torch.cat([slopes, -slopes])[order].cumsum(0)
    gains = slope[:-1] * places.diff()
    totals = torch.cat([torch.zeros(1, dtype=torch.float64), gains.cumsum(0)])
    after = min(int(torch.searchsorted(totals, budget)), len(totals) - 1)
    before = max(after - 1, 0)
    return places[before] + (budget - totals[before]) / slope[before]
