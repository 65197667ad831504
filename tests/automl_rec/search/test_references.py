"""What models of single events are compared with: a constant answer, and the simplest of them."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from automl_rec.objectives import named
from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.plugin import Catalog, Component, Float, Histories, RowTable
from automl_rec.registry import Plugin, Registry
from automl_rec.search.references import References, constant_answer
from automl_rec.search.summary import above_references, sentences
from automl_rec.search.wording import per_rows
from automl_rec.storage.records import TrialRecord

NOBODY = Histories(np.zeros(1, np.int64), np.empty(0, np.int32))


def model(name: str, *tasks: str, baseline: bool, free: bool = False) -> Component:
    domains = {"ridge": Float(1.0, 2.0, 1.0)} if free else {}
    return Component("model", name, "s", "s", "no:where", domains, tasks=tasks, baseline=baseline)


REGISTRY = Registry(
    [
        Plugin(
            "made-up",
            "acme",
            "1.0",
            components=(
                model("popularity", "retrieval", baseline=True),
                model("ease", "retrieval", baseline=True, free=True),
                model("next", "sequence", baseline=True),
                model("lr", "ranking", baseline=True, free=True),
                model("fm", "ranking", baseline=False, free=True),
            ),
        )
    ]
)


def quality(name: str) -> Objective:
    found = named(name)
    assert found is not None
    return found


AUC, LOGLOSS = quality("auc"), quality("logloss")
RANKING = References(frozenset(), frozenset({"lr"}), {"auc": 0.5, "logloss": 0.65})


def trial(number: int, model: str, auc: float, loss: float = 0.6) -> TrialRecord:
    return TrialRecord(
        uuid=str(number),
        digest=str(number),
        configuration={"model": {model: {}}},
        state="complete",
        seed=0,
        started=0.0,
        finished=0.5,
        origin="sampler",
        measurements={"auc": Measurement(auc, 0.01), "logloss": Measurement(loss, 0.01)},
        number=number,
    )


def test_each_task_has_its_own_references() -> None:
    lists = References.of(REGISTRY, "retrieval")
    assert lists == References(frozenset({"popularity", "next"}))
    rows = References.of(REGISTRY, "ranking", {"auc": 0.5})
    assert rows == References(frozenset(), frozenset({"lr"}), {"auc": 0.5})


@dataclass
class Data:
    """Rows of train and validation with some labels."""

    train: list[int]
    validation: list[int]
    catalog: Catalog = field(init=False)

    def __post_init__(self) -> None:
        self.catalog = Catalog(0, NOBODY, rows=table(self.train))

    def rows(self, part: str) -> RowTable:
        assert part == "validation"
        return table(self.validation)


def table(labels: list[int]) -> RowTable:
    return RowTable({}, np.array(labels, np.float32))


def test_a_constant_answer_gives_the_share_of_train_to_every_row_of_validation() -> None:
    found = constant_answer(Data([1, 0, 0, 0], [1, 1, 0, 0, 0]))  # type: ignore[arg-type]
    by_hand = -(2 * math.log(0.25) + 3 * math.log(0.75)) / 5
    assert found == {"auc": 0.5, "gauc": 0.5, "logloss": pytest.approx(by_hand)}


def test_labels_that_are_all_alike_leave_the_constant_answer_finite() -> None:
    found = constant_answer(Data([1, 1], [1, 0]))  # type: ignore[arg-type]
    assert math.isfinite(found["logloss"])


def told(objective: Objective, *trials: TrialRecord) -> list[str]:
    return list(sentences(trials, trials, [objective], RANKING))[1:]


def test_what_is_no_better_than_a_constant_answer_is_said() -> None:
    assert told(AUC, trial(0, "fm", 0.49)) == [
        "Nothing found beats a constant answer (auc 0.5000)."
    ]
    found = told(LOGLOSS, trial(0, "fm", 0.7, 0.66), trial(1, "lr", 0.6, 0.7))
    assert found[0] == "Nothing found beats a constant answer (logloss 0.6500)."


def test_the_best_is_compared_with_the_constant_answer_and_with_the_simplest_model() -> None:
    assert told(AUC, trial(0, "fm", 0.8), trial(1, "lr", 0.7)) == [
        "The best auc is 0.8000 ± 0.0100 (fm); a constant answer has 0.5000.",
        "lr has 0.7000 ± 0.0100.",
    ]
    assert told(LOGLOSS, trial(0, "fm", 0.8, 0.4), trial(1, "lr", 0.7, 0.5)) == [
        "The best logloss is 0.4000 ± 0.0100 (fm); a constant answer has 0.6500.",
        "lr has 0.5000 ± 0.0100.",
    ]


def test_it_is_said_when_nothing_beats_the_simplest_model_or_only_within_the_noise() -> None:
    found = told(AUC, trial(0, "fm", 0.7), trial(1, "lr", 0.8))
    assert found[1] == "No other model beats lr (auc 0.8000 ± 0.0100)."
    found = told(AUC, trial(0, "fm", 0.81), trial(1, "lr", 0.8))
    assert found[1] == "What fm gains over lr (auc 0.8000 ± 0.0100) is within the noise."


def test_the_simplest_model_alone_is_compared_with_nothing_but_the_constant_answer() -> None:
    assert told(AUC, trial(1, "lr", 0.8)) == [
        "The best auc is 0.8000 ± 0.0100 (lr); a constant answer has 0.5000."
    ]


def test_close_neighbours_are_rows_apart() -> None:
    found = told(AUC, trial(0, "fm", 0.801), trial(1, "lr", 0.8))
    assert "(rows unpaired)" in found[-1]


def test_a_knee_lies_above_the_constant_answer_by_more_than_noise() -> None:
    trials = [trial(0, "fm", 0.515), trial(1, "lr", 0.6), trial(2, "fm", 0.4)]
    assert [t.number for t in above_references(trials, trials, AUC, RANKING)] == [1]


def test_where_nothing_could_be_run_nothing_is_compared() -> None:
    refused = replace(
        trial(0, "fm", 0.8), state="pruned", measurements={}, reason="It needs 9 rows."
    )
    assert list(sentences([refused], [], [AUC], RANKING)) == [
        "1 trial: 1 refused before training.",
        "The commonest refusal (1 of 1): It needs 9 rows.",
    ]


def test_refusals_are_explained_where_most_were_refused() -> None:
    refused = replace(trial(0, "fm", 0.8), state="pruned", measurements={}, reason="Too small.")
    ran = trial(1, "fm", 0.8)
    assert not any("refusal" in told for told in sentences([refused, ran], [ran], [AUC], RANKING))


def test_costs_of_many_rows_are_called_so() -> None:
    found = per_rows(["auc", "bytes", "latency_ms", "operations"])
    assert found == ["latency_ms and operations are those of 1,000 rows."]
    assert per_rows(["logloss", "latency_ms"]) == ["latency_ms is that of 1,000 rows."]
    assert per_rows(["auc", "bytes"]) == []
    assert per_rows(["ndcg@10", "latency_ms", "operations"]) == []


def test_a_study_of_rows_says_what_its_latency_is_of() -> None:
    done = trial(0, "fm", 0.8)
    timed = replace(done, measurements={**done.measurements, "latency_ms": Measurement(1.0, None)})
    told = sentences([timed], [timed], [AUC, quality("latency_ms")], RANKING)
    assert told[-1] == "latency_ms is that of 1,000 rows."


def test_a_front_that_breaks_the_bounds_is_not_taken_for_the_best() -> None:
    least = replace(trial(0, "fm", 0.4), violations={"latency_ms": 1.0})
    better = replace(trial(1, "fm", 0.9), violations={"latency_ms": 2.0})
    bounded = replace(quality("latency_ms"), bound=0.1)
    told = sentences([least, better], [least], [AUC, bounded], RANKING)
    assert told[1].startswith("No trial keeps the bounds (latency_ms 0.1 ms); shown are those")
    assert not [sentence for sentence in told if "a constant answer" in sentence]
