"""What is learned of trials whose quality is to be minimised is turned; what is shown is not."""

from automl_rec.objectives import named
from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.search.early_stopping import SafeStopping, Standing
from automl_rec.search.lessons import by_quality, standing_of, upward, watched
from automl_rec.search.references import References
from automl_rec.search.summary import above_references, sentences
from automl_rec.storage.records import CurvePoint, TrialRecord


def objective(name: str) -> Objective:
    found = named(name)
    assert found is not None
    return found


LOGLOSS, AUC, BYTES = objective("logloss"), objective("auc"), objective("bytes")
CONSTANT = References(frozenset({"constant"}))


def trial(number: int, loss: float, model: str = "lr", error: float = 0.001) -> TrialRecord:
    return TrialRecord(
        uuid=str(number),
        digest=str(number),
        configuration={"model": {model: {}}},
        state="complete",
        seed=0,
        started=0.0,
        finished=1.0,
        origin="sampler",
        measurements={"logloss": Measurement(loss, error), "bytes": Measurement(10.0)},
        number=number,
    )


def curve(*losses: float) -> list[CurvePoint]:
    return [CurvePoint(epoch, loss, 0.0, 1.0) for epoch, loss in enumerate(losses, start=1)]


def test_the_first_quality_is_watched_whatever_it_measures() -> None:
    assert watched([BYTES, LOGLOSS, AUC]) is LOGLOSS
    assert watched([AUC, LOGLOSS]) is AUC


def test_the_smallest_logloss_comes_first_and_the_largest_auc() -> None:
    trials = [trial(0, 0.5), trial(1, 0.3), trial(2, 0.4)]
    assert [found.number for found in by_quality(trials, LOGLOSS)] == [1, 2, 0]


def test_a_standing_grows_where_the_logloss_falls() -> None:
    standing = standing_of(trial(0, 0.3), curve(0.5, 0.3), {}, LOGLOSS)
    assert standing.curve == [(1, -0.5), (2, -0.3)]
    assert standing.quality == -0.3
    assert upward(curve(0.5), AUC) == [(1, 0.5)]


def test_a_training_whose_logloss_cannot_fall_enough_is_stopped_and_no_other() -> None:
    rule = SafeStopping(("bytes",), min_epochs=1, min_finished=1)
    rule.add(standing_of(trial(0, 0.3), curve(0.5, 0.3), {"bytes": 10.0}, LOGLOSS))

    def stops(loss: float) -> bool:
        so_far = upward(curve(loss), LOGLOSS)
        return rule.stops(Standing("lr", {"bytes": 10.0}, so_far, so_far[-1][1]))

    # The finished one still fell by 0.2.
    assert stops(0.51)
    assert not stops(0.49)


def test_above_a_reference_means_below_its_logloss() -> None:
    trials = [trial(0, 0.5, "constant"), trial(1, 0.4), trial(2, 0.6), trial(3, 0.4999)]
    found = above_references(trials, trials, LOGLOSS, CONSTANT)
    assert [one.number for one in found] == [1]


def test_the_best_logloss_is_named_and_what_beats_nothing_is_said() -> None:
    reference = trial(0, 0.5, "constant")
    good, poor = trial(1, 0.4, "lr"), trial(2, 0.6, "fm")
    told = sentences([reference, good, poor], [poor, good], [LOGLOSS], CONSTANT)
    assert any("The best logloss is 0.4000 ± 0.0010 (lr" in line for line in told)
    told = sentences([reference, poor], [poor], [LOGLOSS], CONSTANT)
    assert "Nothing found beats constant (logloss 0.5000)." in told
