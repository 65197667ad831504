"""Ranking quality: every item ranked for every user, known items excluded."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from automl_rec.errors import DivergenceError
from automl_rec.objectives import cutoff
from automl_rec.objectives.objective import Measurement
from automl_rec.plugin import Histories, Requests

FloatArray = npt.NDArray[np.float64]
CHUNK_SCORES = 8_000_000
"""Scores held at once: 32 MB of float32, so memory does not grow with users times items."""
NO_ITEM = -1


class Scorer(Protocol):
    """Whatever makes lists for requests: a retrieval model or what is served of it."""

    def scores(self, requests: Requests) -> Tensor:
        """(B, I) float32."""

    def shortlist(self, k: int) -> int:
        """See `RetrievalModel.shortlist`."""

    def choose(self, items: Tensor, scores: Tensor, k: int) -> Tensor:
        """See `RetrievalModel.choose`."""


@dataclass(frozen=True, slots=True)
class Lists:
    """Recommended items with what they are judged by.

    Attributes:
        items: (U, K) int64, best first, `NO_ITEM` where fewer items were left.
        hits: (U, K) bool, whether the item was held out for the user.
        relevant: (U,) int64, different held-out items of each user, all >= 1.
        num_items: number of items I that were ranked.
    """

    items: npt.NDArray[np.int64]
    hits: npt.NDArray[np.bool_]
    relevant: npt.NDArray[np.int64]
    num_items: int


def shown(scorer: Scorer, scores: Tensor, requests: Requests, k: int) -> Tensor:
    """The list that each request is answered with: what the scorer chooses from its best items.

    Args:
        scorer: whose scores they are.
        scores: (B, I) float32, changed in place: known items get -inf.
        requests: whose items are excluded.
        k: list length.

    Returns:
        (B, K) int64 with K = min(k, I), `NO_ITEM` where no unknown item was left.

    Raises:
        DivergenceError: a score is not a number.
    """
    items = top(scores, requests, scorer.shortlist(k))
    best = scores.gather(1, items.clamp(min=0)).masked_fill_(items == NO_ITEM, -torch.inf)
    return scorer.choose(items, best, min(k, items.shape[1]))


def top(scores: Tensor, requests: Requests, k: int) -> Tensor:
    """The k best unknown items of each request, equal scores in order of item number.

    Args:
        scores: (B, I) float32, changed in place: known items get -inf.
        requests: whose items are excluded.
        k: list length.

    Returns:
        (B, K) int64 with K = min(k, I), `NO_ITEM` where only known items were left.

    Raises:
        DivergenceError: a score is not a number.
    """
    owners = torch.repeat_interleave(torch.arange(len(requests)), requests.indptr.diff())
    scores[owners, requests.items] = -torch.inf
    k = min(k, scores.shape[1])
    values, items = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    if bool(values.isnan().any()):
        raise DivergenceError(
            "The model's scores must be numbers, got NaN. Lower its learning rate."
        )
    # One value more than asked for tells whether the last place is contested.
    crowded = (values[:, k - 1 : k] == values[:, k:]).any(1).nonzero()[:, 0]
    values, items = values[:, :k].contiguous(), items[:, :k].contiguous()
    if len(crowded) > 0:
        _settle_ties(scores, values, items, crowded)
    # Equal scores inside the list stand in order of item number.
    items, order = items.sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return items.gather(1, order).masked_fill_(values == -torch.inf, NO_ITEM)


def lists(scorer: Scorer, known: Histories, heldout: Histories, num_items: int, k: int) -> Lists:
    """Lists of k items for every user with a held-out item.

    Args:
        scorer: scores all items.
        known: what is known of each of the U users; never recommended.
        heldout: the items to be found.
        num_items: number of items I.
        k: list length.
    """
    users = np.flatnonzero(heldout.lengths)
    chunk = max(1, CHUNK_SCORES // num_items)
    # Lists kept one by one between large scores would leave holes in memory that nothing fills.
    items = np.empty((len(users), min(k, num_items)), np.int64)
    for start in range(0, len(users), chunk):
        items[start : start + chunk] = _ranked(scorer, known, users[start : start + chunk], k)
    return _judged(items, users, _keys(heldout, num_items), num_items)


def judged_by(judged: Lists, heldout: Histories, counting: npt.NDArray[np.bool_]) -> Lists:
    """The same lists, judged by some held-out items alone, for the users who have one of these.

    Args:
        judged: what `lists` made for these held-out items.
        heldout: the items to be found.
        counting: (I,) the items that count.
    """
    keys = _keys(heldout, judged.num_items)
    keys = keys[counting[keys % judged.num_items]]
    users = np.unique(keys // judged.num_items)
    places = np.searchsorted(np.flatnonzero(heldout.lengths), users)
    return _judged(judged.items[places], users, keys, judged.num_items)


def measure(judged: Lists, name: str) -> Measurement:
    """The mean over users of a quality such as ``"ndcg@10"``, with its standard error.

    recall: hits / relevant. hit: whether there is one. mrr: 1 / position of the first. map: mean
    over min(k, relevant) of the precision at each hit. ndcg: gains 1 / log2(position + 1) over
    those of an ideal list of min(k, relevant) hits (Järvelin and Kekäläinen, 2002). coverage:
    share of all items recommended to anybody; it has no standard error.
    """
    found = cutoff(name)
    assert found is not None, f"{name} is no quality"
    metric, k = found
    if metric == "coverage":
        shown = judged.items[:, :k]
        distinct = len(np.unique(shown[shown >= 0]))
        return Measurement(distinct / judged.num_items)
    values = per_user(judged, name)
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return Measurement(float(values.mean()), error)


def per_user(judged: Lists, name: str) -> FloatArray:
    """(U,) the value of each user of a quality other than coverage."""
    found = cutoff(name)
    assert found is not None, f"{name} is no quality"
    return _METRICS[found[0]](judged.hits[:, : found[1]], judged.relevant, found[1])


def _keys(heldout: Histories, num_items: int) -> npt.NDArray[np.int64]:
    """(E,) ascending: one number each different pair of a user and a held-out item of his."""
    return np.unique(heldout.users() * num_items + heldout.items)


def _judged(
    items: npt.NDArray[np.int64],
    users: npt.NDArray[np.int64],
    keys: npt.NDArray[np.int64],
    num_items: int,
) -> Lists:
    relevant = np.bincount(np.searchsorted(users, keys // num_items), minlength=len(users))
    hits = _among(users[:, None] * num_items + items, keys) & (items >= 0)
    return Lists(items, hits, relevant, num_items)


def _ranked(
    scorer: Scorer, known: Histories, users: npt.NDArray[np.int64], k: int
) -> npt.NDArray[np.int64]:
    requests = Requests.of(known, users)
    with torch.no_grad():
        return shown(scorer, scorer.scores(requests), requests, k).numpy()


def _settle_ties(scores: Tensor, values: Tensor, items: Tensor, crowded: Tensor) -> None:
    """Where more items share the last value than fit, takes those of the lowest number."""
    rows, last = scores[crowded], values[crowded, -1:]
    above, equal = rows > last, rows == last
    room = values.shape[1] - above.sum(1, keepdim=True)
    chosen = above | (equal & (equal.cumsum(1) <= room))
    picked = chosen.nonzero()[:, 1].reshape(len(crowded), -1)
    items[crowded], values[crowded] = picked, rows.gather(1, picked)


def _among(wanted: npt.NDArray[np.int64], keys: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of ``wanted`` stand in the ascending ``keys``."""
    places = np.searchsorted(keys, wanted).clip(max=max(len(keys) - 1, 0))
    return np.asarray(keys[places] == wanted) if len(keys) else np.zeros(wanted.shape, bool)


def _recall(hits: npt.NDArray[np.bool_], relevant: npt.NDArray[np.int64], _k: int) -> FloatArray:
    return np.asarray(hits.sum(1) / relevant, np.float64)


def _hit(hits: npt.NDArray[np.bool_], _relevant: npt.NDArray[np.int64], _k: int) -> FloatArray:
    return np.asarray(hits.any(1), np.float64)


def _mrr(hits: npt.NDArray[np.bool_], _relevant: npt.NDArray[np.int64], _k: int) -> FloatArray:
    return np.asarray(np.where(hits.any(1), 1.0 / (hits.argmax(1) + 1.0), 0.0), np.float64)


def _map(hits: npt.NDArray[np.bool_], relevant: npt.NDArray[np.int64], k: int) -> FloatArray:
    precision = hits.cumsum(1) / np.arange(1, hits.shape[1] + 1)
    return np.asarray((precision * hits).sum(1) / np.minimum(k, relevant), np.float64)


def _ndcg(hits: npt.NDArray[np.bool_], relevant: npt.NDArray[np.int64], k: int) -> FloatArray:
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = discounts.cumsum()[np.minimum(k, relevant) - 1]
    return np.asarray((hits * discounts[: hits.shape[1]]).sum(1) / ideal, np.float64)


_METRICS = {"recall": _recall, "hit": _hit, "mrr": _mrr, "map": _map, "ndcg": _ndcg}
