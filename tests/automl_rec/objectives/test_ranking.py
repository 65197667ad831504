"""Ranking metrics against ranx, hand-worked lists, and a slow ranking by definition."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from automl_rec.errors import DivergenceError
from automl_rec.objectives.ranking import (
    CHUNK_SCORES,
    NO_ITEM,
    Lists,
    judged_by,
    lists,
    measure,
    per_user,
    shown,
    top,
)
from automl_rec.plugin import Histories, Requests


def histories(rows: list[list[int]]) -> Histories:
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Histories(indptr, np.array([i for row in rows for i in row], np.int32))


class Fixed:
    """A scorer that knows its answers."""

    def __init__(self, scores: np.ndarray) -> None:
        self.table = torch.from_numpy(scores.astype(np.float32))

    def scores(self, requests: Requests) -> torch.Tensor:
        return self.table[requests.users].clone()

    def shortlist(self, k: int) -> int:
        return k

    def choose(self, items: torch.Tensor, scores: torch.Tensor, k: int) -> torch.Tensor:
        return items[:, :k]


class OneOfEachParity(Fixed):
    """Shows of its four best items the best of each parity."""

    def shortlist(self, k: int) -> int:
        return 2 * k

    def choose(self, items: torch.Tensor, scores: torch.Tensor, k: int) -> torch.Tensor:
        self.seen = items.tolist(), scores.tolist()
        best = [items[:, (row % 2 == parity).int().argmax()] for row in items for parity in (0, 1)]
        return torch.stack(best, dim=1)


def test_a_scorer_chooses_the_list_from_its_own_shortlist() -> None:
    scorer = OneOfEachParity(np.array([[9.0, 1, 8, 2, 7, 3]]))
    known = histories([[2]])
    request = Requests.of(known, np.array([0]))
    assert shown(scorer, scorer.scores(request), request, 2).tolist() == [[0, 5]]
    assert scorer.seen == ([[0, 4, 5, 3]], [[9.0, 7.0, 3.0, 2.0]])
    found = lists(scorer, known, histories([[5, 4]]), 6, 2)
    assert (found.items.tolist(), found.hits.tolist()) == ([[0, 5]], [[False, True]])


def test_places_without_an_item_are_chosen_from_with_the_worst_score() -> None:
    scorer = OneOfEachParity(np.array([[9.0, 1, 8]]))
    request = Requests.of(histories([[2]]), np.array([0]))
    assert shown(scorer, scorer.scores(request), request, 2).tolist() == [[0, 1]]
    assert scorer.seen == ([[0, 1, NO_ITEM]], [[9.0, 1.0, -math.inf]])


def judged(scores: np.ndarray, known: list[list[int]], held: list[list[int]], k: int) -> Lists:
    return lists(Fixed(scores), histories(known), histories(held), scores.shape[1], k)


def test_hand_worked_list_of_one_user() -> None:
    # Ranking: 4, 3, 2, 1, 0 (5 is known). Held out: 3, 1 and 5, so hits at positions 2 and 4.
    result = judged(np.arange(6.0)[None], [[5]], [[3, 1, 5]], 4)
    assert result.items.tolist() == [[4, 3, 2, 1]]
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert measure(result, "ndcg@4").value == pytest.approx(
        (1 / math.log2(3) + 1 / math.log2(5)) / ideal
    )
    assert measure(result, "recall@4").value == pytest.approx(2 / 3)
    assert measure(result, "hit@1").value == 0
    assert measure(result, "mrr@4").value == 0.5
    assert measure(result, "map@4").value == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert measure(result, "coverage@4").value == pytest.approx(4 / 6)


def test_ideal_list_is_no_longer_than_the_cutoff() -> None:
    result = judged(np.arange(6.0)[None], [[]], [[5, 4, 3, 2]], 2)
    assert measure(result, "ndcg@2").value == pytest.approx(1.0)
    assert measure(result, "map@2").value == pytest.approx(1.0)
    assert measure(result, "recall@2").value == pytest.approx(0.5)


def test_users_without_held_out_items_are_left_out() -> None:
    result = judged(np.ones((3, 4)), [[], [], []], [[0], [], [3]], 1)
    assert len(result.items) == 2
    assert measure(result, "hit@1").value == 0.5


def test_standard_error_is_that_of_the_mean_over_users() -> None:
    result = judged(np.ones((4, 4)), [[]] * 4, [[0], [0], [0], [3]], 1)
    values = per_user(result, "hit@1")
    assert measure(result, "hit@1").standard_error == pytest.approx(
        values.std(ddof=1) / math.sqrt(4)
    )


def test_equal_scores_stand_in_order_of_item_number() -> None:
    scores = torch.tensor([[1.0, 2.0, 1.0, 2.0, 1.0, 1.0]])
    empty = Requests.of(histories([[]]), np.array([0]))
    assert top(scores.clone(), empty, 3).tolist() == [[1, 3, 0]]
    assert top(torch.zeros(1, 6), empty, 4).tolist() == [[0, 1, 2, 3]]


def test_a_user_who_knows_nearly_everything_gets_a_short_list() -> None:
    known = Requests.of(histories([[0, 1, 3]]), np.array([0]))
    assert top(torch.rand(1, 4), known, 3).tolist() == [[2, NO_ITEM, NO_ITEM]]


def test_scores_that_are_not_numbers_are_refused() -> None:
    empty = Requests.of(histories([[]]), np.array([0]))
    with pytest.raises(DivergenceError, match="NaN"):
        top(torch.tensor([[0.0, torch.nan]]), empty, 1)


def test_negative_scores_of_unknown_items_rank_above_known_ones() -> None:
    known = Requests.of(histories([[0]]), np.array([0]))
    assert top(torch.tensor([[5.0, -3.0, -1.0]]), known, 2).tolist() == [[2, 1]]


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_ranking_equals_a_full_stable_sort(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (5, 9)).astype(np.float32)
    known = [rng.choice(9, rng.integers(0, 9), replace=False).tolist() for _ in range(5)]
    requests = Requests.of(histories(known), np.arange(5))
    got = top(torch.from_numpy(scores.copy()), requests, k).tolist()
    for user in range(5):
        left = [i for i in range(9) if i not in known[user]]
        expected = sorted(left, key=lambda i: (-scores[user, i], i))[:k]
        assert [i for i in got[user] if i != NO_ITEM] == expected


def test_chunks_do_not_change_the_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(50, 20))
    arguments = (scores, [[1]] * 50, [[2, 5]] * 50, 5)
    whole = judged(*arguments).items
    monkeypatch.setattr("automl_rec.objectives.ranking.CHUNK_SCORES", 60)
    assert scores.size < CHUNK_SCORES
    assert np.array_equal(judged(*arguments).items, whole)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_metrics_agree_with_ranx() -> None:
    from ranx import Qrels, Run, evaluate

    rng = np.random.default_rng(3)
    users, items, k = 200, 80, 10
    scores = rng.permuted(np.tile(np.arange(items), (users, 1)), axis=1).astype(np.float64)
    held = [rng.choice(items, rng.integers(1, 15), replace=False).tolist() for _ in range(users)]
    result = judged(scores, [[]] * users, held, k)
    qrels = Qrels({f"u{u}": {f"i{i}": 1 for i in held[u]} for u in range(users)})
    run = Run({f"u{u}": {f"i{i}": scores[u, i] for i in range(items)} for u in range(users)})
    names = {"ndcg": "ndcg", "recall": "recall", "hit": "hit_rate", "mrr": "mrr"}
    for ours, theirs in names.items():
        expected = float(evaluate(qrels, run, f"{theirs}@{k}", make_comparable=True))
        assert measure(result, f"{ours}@{k}").value == pytest.approx(expected, abs=1e-9)
    # ranx divides the precisions by all relevant items, we by those that fit the list.
    precisions = per_user(result, f"map@{k}") * np.minimum(k, result.relevant) / result.relevant
    expected = float(evaluate(qrels, run, f"map@{k}", make_comparable=True))
    assert precisions.mean() == pytest.approx(expected, abs=1e-9)


def test_only_items_that_count_are_looked_for_and_users_without_one_are_left_out() -> None:
    # Lists: users 0 and 2 get 4, 3, 2; user 1, who has nothing to be found, gets none.
    scores = np.tile(np.arange(5.0), (3, 1))
    held = histories([[3, 2, 0, 3], [], [4]])
    everything = lists(Fixed(scores), histories([[], [], []]), held, 5, 3)
    counting = np.array([True, True, False, True, False])
    found = judged_by(everything, held, counting)
    assert found.items.tolist() == [[4, 3, 2]]
    assert found.hits.tolist() == [[False, True, False]]
    assert found.relevant.tolist() == [2]
    ideal = 1 + 1 / math.log2(3)
    assert measure(found, "ndcg@3/cold").value == pytest.approx(1 / math.log2(3) / ideal)
    assert measure(found, "recall@3/cold2").value == 0.5


@given(st.integers(0, 10_000))
def test_judging_by_some_items_equals_holding_out_these_alone(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(6, 8))
    held = [sorted(generator.integers(8, size=generator.integers(4))) for _ in range(6)]
    counting = generator.random(8) < 0.5
    fewer = [[item for item in row if counting[item]] for row in held]
    nothing: list[list[int]] = [[] for _ in range(6)]
    whole = judged(scores, nothing, held, 3)
    ours, expected = judged_by(whole, histories(held), counting), judged(scores, nothing, fewer, 3)
    assert ours.items.tolist() == expected.items.tolist()
    assert ours.hits.tolist() == expected.hits.tolist()
    assert ours.relevant.tolist() == expected.relevant.tolist()
