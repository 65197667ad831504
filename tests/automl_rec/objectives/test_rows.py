"""Quality on rows against pair counts, closed forms, slow loops and hand-worked values."""

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, rankdata
from torch import Tensor

from automl_rec.errors import DataError, DivergenceError
from automl_rec.objectives.rows import Judged, judge, measure, midranks, per_user
from automl_rec.plugin import Feature, Rows, RowTable

SOME = st.lists(
    st.tuples(st.integers(-2, 2), st.booleans(), st.integers(-1, 3)), min_size=1, max_size=30
)
Drawn = list[tuple[int, bool, int]]


def judged(logits: list[float], labels: list[int], groups: list[int] | None = None) -> Judged:
    return Judged(
        np.array(logits, np.float64),
        np.array(labels, np.bool_),
        None if groups is None else np.array(groups, np.int32),
    )


def of(drawn: Drawn) -> Judged:
    return judged(*(list(column) for column in zip(*drawn, strict=True)))


def share_above(logits: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]) -> float:
    """Pair by pair, as AUC is defined."""
    pairs = [
        (one > other) + 0.5 * (one == other) for one in logits[labels] for other in logits[~labels]
    ]
    return float(np.mean(pairs))


def both(labels: npt.NDArray[np.bool_]) -> bool:
    return bool(labels.any() and not labels.all())


@given(SOME)
def test_midranks_are_those_of_scipy_in_each_group(drawn: Drawn) -> None:
    rows = of(drawn)
    assert rows.groups is not None
    ranks = midranks(rows.logits, rows.groups)
    for group in np.unique(rows.groups):
        mine = rows.groups == group
        assert ranks[mine].tolist() == rankdata(rows.logits[mine]).tolist()


@given(SOME)
def test_auc_is_the_share_of_pairs_in_order(drawn: Drawn) -> None:
    rows = of(drawn)
    assume(both(rows.labels))
    expected = share_above(rows.logits, rows.labels)
    assert measure(rows, "auc").value == pytest.approx(expected, abs=1e-12)


def test_auc_is_the_statistic_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(0)
    rows = Judged(rng.normal(size=500).round(1), rng.random(500) < 0.3)
    above, below = rows.logits[rows.labels], rows.logits[~rows.labels]
    statistic = mannwhitneyu(above, below).statistic / (len(above) * len(below))
    assert measure(rows, "auc").value == pytest.approx(statistic, abs=1e-12)


def test_error_of_auc_is_delongs_by_definition() -> None:
    rng = np.random.default_rng(1)
    labels = rng.random(60) < 0.4
    rows = Judged((rng.normal(size=60) + labels).round(1), labels)
    above, below = rows.logits[labels], rows.logits[~labels]
    pairs = (above[:, None] > below) + 0.5 * (above[:, None] == below)
    variance = pairs.mean(1).var(ddof=1) / len(above) + pairs.mean(0).var(ddof=1) / len(below)
    assert measure(rows, "auc").standard_error == pytest.approx(math.sqrt(variance))


def test_error_of_auc_is_the_spread_over_samples() -> None:
    rng = np.random.default_rng(2)
    samples = []
    for _ in range(300):
        labels = rng.random(200) < 0.3
        samples.append(measure(Judged(rng.normal(size=200) + labels, labels), "auc"))
    spread = np.std([found.value for found in samples], ddof=1)
    errors = [found.standard_error or math.nan for found in samples]
    assert np.mean(errors) == pytest.approx(spread, rel=0.15)


def test_a_single_row_of_a_label_leaves_the_error_of_auc_unknown() -> None:
    found = measure(judged([0.0, 1.0, 2.0], [0, 1, 0]), "auc")
    assert (found.value, found.standard_error) == (0.5, None)


@pytest.mark.parametrize("labels", [[0, 0], [1, 1]])
def test_auc_of_one_label_is_refused(labels: list[int]) -> None:
    with pytest.raises(DataError, match=r"auc needs rows of label 1 and of label 0"):
        measure(judged([0.0, 1.0], labels), "auc")


@given(SOME)
def test_gauc_is_a_loop_over_users(drawn: Drawn) -> None:
    rows = of(drawn)
    assert rows.groups is not None
    values, weights = [], []
    for user in range(4):
        mine = rows.groups == user
        if both(rows.labels[mine]):
            values.append(share_above(rows.logits[mine], rows.labels[mine]))
            weights.append(int(mine.sum()))
    assume(values)
    found = measure(rows, "gauc")
    assert found.value == pytest.approx(np.average(values, weights=weights), abs=1e-12)
    users = per_user(rows)
    assert users is not None
    assert users[0].tolist() == pytest.approx(values)
    assert users[1].tolist() == weights


def test_gauc_by_hand() -> None:
    # User 0: one of two pairs in order, three rows. User 1: 1, two rows. User 2 has one label.
    rows = judged([1, 2, 3, 0, 5, 9, 8], [0, 1, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 2, 2])
    found = measure(rows, "gauc")
    assert found.value == pytest.approx((3 * 0.5 + 2 * 1) / 5)
    spread = 3**2 * (0.5 - 0.7) ** 2 + 2**2 * (1 - 0.7) ** 2
    assert found.standard_error == pytest.approx(math.sqrt(2 * spread) / 5)


def test_users_of_equal_weight_have_the_error_of_their_mean() -> None:
    rng = np.random.default_rng(3)
    rows = Judged(
        rng.normal(size=400),
        np.tile([True, True, False, False], 100),
        np.repeat(np.arange(100, dtype=np.int32), 4),
    )
    users = per_user(rows)
    assert users is not None
    expected = users[0].std(ddof=1) / math.sqrt(100)
    assert measure(rows, "gauc").standard_error == pytest.approx(expected)


@pytest.mark.parametrize("groups", [None, [-1, -1, -1], [0, 1, 2]])
def test_gauc_without_users_who_have_both_labels_is_refused(groups: list[int] | None) -> None:
    with pytest.raises(DataError, match=r"gauc needs users who have rows of both labels"):
        measure(judged([0.0, 1.0, 2.0], [0, 1, 0], groups), "gauc")


def test_logloss_by_hand() -> None:
    rows = judged([math.log(3), math.log(3), 0.0], [1, 0, 1])
    losses = [-math.log(0.75), -math.log(0.25), -math.log(0.5)]
    found = measure(rows, "logloss")
    assert found.value == pytest.approx(np.mean(losses))
    assert found.standard_error == pytest.approx(np.std(losses, ddof=1) / math.sqrt(3))


def test_logloss_of_extreme_log_odds_is_neither_infinite_nor_rounded_away() -> None:
    assert measure(judged([1e4], [0]), "logloss").value == 1e4
    assert measure(judged([-1e4], [1]), "logloss").value == 1e4
    assert measure(judged([1e4], [1]), "logloss").value == 0
    assert measure(judged([50.0], [1]), "logloss").value == pytest.approx(math.exp(-50), rel=1e-12)


@given(st.lists(st.tuples(st.floats(-30, 30), st.booleans()), min_size=2, max_size=20))
def test_logloss_is_the_cross_entropy_that_models_train_on(drawn: list[tuple[float, bool]]) -> None:
    logits, labels = (list(column) for column in zip(*drawn, strict=True))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor(logits, dtype=torch.float64), torch.tensor(labels, dtype=torch.float64)
    )
    found = measure(Judged(np.array(logits), np.array(labels, np.bool_)), "logloss")
    assert found.value == pytest.approx(float(expected), abs=1e-12)


class Remembered:
    """Judges a row by the number it holds."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale, self.sizes = scale, list[int]()

    def logits(self, rows: Rows) -> Tensor:
        assert not torch.is_grad_enabled()
        self.sizes.append(len(rows))
        return rows.fields["number"] * self.scale


def table(rows: int) -> RowTable:
    numbers = np.arange(rows, dtype=np.float32)
    labels = (numbers % 2).astype(np.float32)
    return RowTable({"number": Feature("numeric", numbers)}, labels, numbers.astype(np.int32) // 2)


def test_every_row_is_judged_once_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automl_rec.objectives.rows.CHUNK_ROWS", 4)
    model = Remembered()
    found = judge(model, table(10))
    assert model.sizes == [4, 4, 2]
    assert found.logits.tolist() == list(range(10))
    assert found.labels.tolist() == [False, True] * 5
    assert measure(found, "gauc").value == 1


@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_log_odds_that_are_not_finite_are_refused(scale: float) -> None:
    with pytest.raises(DivergenceError, match="log-odds must be finite"):
        judge(Remembered(scale), table(3))
