"""Losses of a positive against its negatives, as functions of their scores.

P positives (pairs, or positions of sequences) have scores (P,), their negatives (P, N), whether
each positive has its own or all share one set. Every loss is a mean over positives.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def without_targets(scores: Tensor, negatives: Tensor, targets: Tensor) -> Tensor:
    """Scores (P, N) with -inf, which no loss feels, where a negative is the target itself.

    Args:
        scores: (P, N) of the negatives.
        negatives: (P, N) int64 item numbers, or (N,) where all share them.
        targets: (P,) int64 item numbers.
    """
    return scores.masked_fill(negatives == targets[:, None], -torch.inf)


def cosine_contrastive(
    positives: Tensor, negatives: Tensor, *, weight: float, margin: float
) -> Tensor:
    """Mean of ``(1 - s+)_+ + weight * mean_j (s_j - margin)_+`` over cosines.

    Source: Mao et al., CIKM 2021 (SimpleX, CCL).

    Args:
        positives: (P,) cosines.
        negatives: (P, N) cosines.
        weight: of the negatives.
        margin: the cosine up to which a negative costs nothing.
    """
    return F.relu(1 - positives).mean() + weight * F.relu(negatives - margin).mean()


def binary_cross_entropy(positives: Tensor, negatives: Tensor, beta: float = 1.0) -> Tensor:
    """Mean over all 1 + N decisions, where ``sigmoid(s+) ** beta`` is how likely a positive is.

    Source: Petrov and Macdonald, RecSys 2023 (gBCE); beta 1 is the plain one.

    Args:
        positives: (P,).
        negatives: (P, N).
        beta: see `calibrated_beta`.
    """
    decisions = positives.numel() + negatives.numel()
    return (beta * F.softplus(-positives).sum() + F.softplus(negatives).sum()) / decisions


def calibrated_beta(negatives: int, num_items: int, calibration: float) -> float:
    """The exponent that undoes the overconfidence learned from too few negatives.

    Source: Petrov and Macdonald, RecSys 2023 (gBCE).

    Args:
        negatives: N drawn for a positive.
        num_items: I, of which I - 1 could be drawn.
        calibration: 0 leaves the loss plain; at 1 the scores become those of true probabilities.
    """
    share = min(1.0, negatives / max(num_items - 1, 1))
    return share * (calibration * (1 - 1 / share) + 1 / share)


def sampled_softmax(positives: Tensor, negatives: Tensor) -> Tensor:
    """Mean of ``-log`` of the positive's share in the softmax of itself and its negatives.

    Nothing corrects for how the negatives were drawn; see `in_batch_softmax` for one that does.

    Args:
        positives: (P,).
        negatives: (P, N), those that are the target itself at -inf.
    """
    logits = torch.cat([positives[:, None], negatives], 1)
    return (logits.logsumexp(1) - positives).mean()


def in_batch_softmax(scores: Tensor, items: Tensor, log_shares: Tensor) -> Tensor:
    """The softmax over the items of a batch, corrected for how often each comes into one.

    Each score loses the logarithm of its item's share; other places of the positive item count
    for nothing.

    Source: Yi et al., RecSys 2019 (logQ correction).

    Args:
        scores: (B, B), positive b on the diagonal.
        items: (B,) int64 item numbers.
        log_shares: (B,) logarithms of the share of positives that each item has.
    """
    again = (items == items[:, None]).fill_diagonal_(fill_value=False)
    logits = (scores - log_shares).masked_fill_(again, -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(items)))


def warp(positives: Tensor, negatives: Tensor, num_items: int, margin: float = 1.0) -> Tensor:
    """The hinge of the first negative that comes within the margin, by the positive's rank.

    The more negatives were seen before it, the higher the positive is taken to stand: after t of
    them its rank is ``floor((I - 1) / t)``, and a rank r weighs 1 + 1/2 + ... + 1/r.

    Source: Weston et al., IJCAI 2011 (WSABIE).

    Args:
        positives: (P,).
        negatives: (P, N) in the order drawn.
        num_items: I.
        margin: by which a positive should lead.
    """
    violating = negatives > positives[:, None] - margin
    first = violating.int().argmax(1, keepdim=True)
    ranks = ((num_items - 1) // (first + 1)).clamp(min=1)
    weights = torch.digamma(ranks.to(positives.dtype) + 1) - torch.digamma(torch.ones(()))
    hinges = margin - positives + negatives.gather(1, first).squeeze(1)
    found = violating.any(1)
    return (weights.squeeze(1) * hinges.where(found, 0.0)).mean()
