"""A knee is worth shipping: above popularity by more than noise."""

from automl_rec.objectives import named
from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.search.references import References
from automl_rec.search.summary import above_references
from automl_rec.storage.records import TrialRecord


def trial(number: int, model: str, quality: float, error: float = 0.01) -> TrialRecord:
    return TrialRecord(
        uuid=str(number),
        digest=str(number),
        configuration={"model": {model: {}}},
        state="complete",
        seed=0,
        started=0.0,
        finished=1.0,
        origin="sampler",
        measurements={"ndcg@10": Measurement(quality, error)},
        number=number,
    )


def quality() -> Objective:
    found = named("ndcg@10")
    assert found is not None
    return found


def above(*trials: TrialRecord) -> list[int]:
    found = above_references(trials, trials, quality(), References(frozenset({"popularity"})))
    return [trial.number for trial in found]


def test_what_lies_within_two_standard_errors_of_popularity_does_not_count() -> None:
    # The error of a difference is 0.01 * sqrt(2): 0.1283 is the first beyond two of them.
    trials = (trial(0, "popularity", 0.1), trial(1, "ease", 0.128), trial(2, "ease", 0.129))
    assert above(*trials) == [2]


def test_nothing_counts_where_nothing_beats_popularity() -> None:
    assert above(trial(0, "popularity", 0.1), trial(1, "ease", 0.05)) == []


def test_without_popularity_everything_counts() -> None:
    assert above(trial(0, "ease", 0.1), trial(1, "ials", 0.05)) == [0, 1]
