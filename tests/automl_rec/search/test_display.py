"""What listeners print, and the sentences a study ends with."""

import io
import json
import subprocess
import sys
from typing import Any

import pytest

from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.search.display import JsonLines, PlainLines, display
from automl_rec.search.events import (
    StudyEnded,
    StudyEvent,
    StudyStarted,
    TrialFinished,
    TrialReported,
    TrialStarted,
)
from automl_rec.search.lessons import TIME_OVER
from automl_rec.search.live import LiveView
from automl_rec.search.loop import count_run
from automl_rec.search.references import References
from automl_rec.search.session import seconds_spent
from automl_rec.search.summary import commonest_reason, indistinct, sentences
from automl_rec.storage.records import TrialRecord

NDCG = Objective("ndcg@10", "maximize", "")
BYTES = Objective("bytes", "minimize", "B", bound=5000.0, priced=True)
OBJECTIVES = (NDCG, BYTES)
POPULARITY = References(frozenset({"popularity"}))


def trial(number: int, quality: float = 0.1, size: float = 2000.0, **fields: Any) -> TrialRecord:
    described: dict[str, Any] = {
        "uuid": str(number),
        "digest": f"d{number}",
        "configuration": {"model": {"ease": {"ridge": 10.0}}},
        "state": "complete",
        "measurements": {"ndcg@10": Measurement(quality, 0.01), "bytes": Measurement(size)},
        "violations": {"bytes": size - 5000.0},
        "seed": 0,
        "origin": "sampler",
        "started": 10.0 * number,
        "finished": 10.0 * number + 5,
        "worker": "worker-0",
    }
    return TrialRecord(number=number, **(described | fields))


POPULAR = trial(0, 0.02, configuration={"model": {"popularity": {}}})
EVENTS: list[StudyEvent] = [
    StudyStarted("s", "runs/s", OBJECTIVES, 2, 3, 3, 9, 60.0, ("A note.",)),
    TrialStarted("d1", "ease(ridge=10)", "worker-0", "sampler"),
    TrialReported("d1", 2, 10, 0.05),
    TrialFinished(trial(1), "ease(ridge=10)", 4, entered=True, front=(trial(1),), hypervolume=0.25),
    TrialFinished(
        trial(2, state="failed", reason="ValueError: no", measurements={}),
        "ease",
        5,
        entered=False,
        front=(trial(1),),
        hypervolume=0.25,
    ),
    StudyEnded("trials", ("All done.",), (trial(1),), 0.25),
]


def printed(events: list[StudyEvent], *, as_json: bool = False) -> list[str]:
    stream = io.StringIO()
    with display(as_json=as_json, stream=stream) as listener:
        for event in events:
            listener(event)
    return stream.getvalue().splitlines()


def test_a_pipe_gets_one_line_a_finished_trial() -> None:
    first, note, one, other, end = printed(EVENTS)
    assert first == (
        "Study s goes on after 3 trials: 9 trials and 60 s left, 2 workers, results in runs/s."
    )
    assert note == "A note."
    assert one.split() == ["4/9", "#1", "front", "0.1000", "±0.0100", "2", "kB", "ease(ridge=10)"]
    assert other.split() == ["5/9", "#2", "failed", "-", "-", "ease", "ValueError:", "no"]
    assert end == "All done."


def test_machines_get_one_object_an_event() -> None:
    found = [json.loads(line) for line in printed(EVENTS, as_json=True)]
    assert [entry["event"] for entry in found] == [
        "study_started",
        "trial_started",
        "trial_reported",
        "trial_finished",
        "trial_finished",
        "study_ended",
    ]
    assert found[2] == {
        "event": "trial_reported",
        "digest": "d1",
        "epoch": 2,
        "epochs": 10,
        "quality": 0.05,
    }
    assert found[3]["measurements"]["ndcg@10"] == {"value": 0.1, "standard_error": 0.01}
    assert found[3]["front"] == [1]
    assert found[4]["reason"] == "ValueError: no"
    assert found[5]["why"] == "trials"


def test_the_live_view_shows_what_runs_and_the_front() -> None:
    stream = io.StringIO()
    with LiveView(stream) as view:
        for event in EVENTS[:3]:
            view(event)
        view._console.print(view._render())
        for event in EVENTS[3:5]:
            view(event)
        view._console.print(view._render())
        view(EVENTS[5])
    text = stream.getvalue()
    assert "epoch 2/10" in text
    assert "5 of 9 trials" in text
    assert "hypervolume 0.2500" in text
    assert "Trial 2 failed: ValueError: no" in text
    assert "2 kB" in text
    assert text.rstrip().endswith("All done.")


def test_the_front_stays_on_the_screen_with_what_its_trials_are() -> None:
    stream = io.StringIO()
    with LiveView(stream) as view:
        view(EVENTS[0])
        view(StudyEnded("interrupted", ("Stopped.",), (trial(7),), 0.25))
    end = stream.getvalue().splitlines()[-3:]
    assert end[0].split() == ["trial", "ndcg@10", "bytes", "configuration"]
    assert end[1].split() == ["7", "0.1000", "±0.0100", "2", "kB", "ease(ridge=10)"]
    assert end[2].strip() == "Stopped."


def test_pipes_are_spared_rich() -> None:
    code = "import sys, automl_rec.search.display; print('rich' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def told(*trials: TrialRecord, front: tuple[TrialRecord, ...]) -> str:
    return "\n".join(sentences(trials, front, OBJECTIVES, POPULARITY))


def test_counts_and_times_are_told() -> None:
    trials = (
        POPULAR,
        trial(1),
        trial(2, state="pruned", reason="Stopped after epoch 3: ..."),
        trial(3, state="pruned", reason=TIME_OVER),
        trial(4, state="pruned", reason="Refused on price: ...", worker=None),
        trial(5, state="failed", reason="ValueError: a"),
        trial(6, state="failed", reason="ValueError: b"),
        trial(7, state="failed", reason="ValueError: b"),
    )
    text = "\n".join(sentences(trials, (trial(1),), OBJECTIVES, POPULARITY, repeats=4))
    assert text.startswith(
        "8 trials: 2 complete (10 s), 1 stopped early (5 s), 1 cut off by the end of the time "
        "(5 s), 1 refused before training, 3 failed (15 s), 4 suggestions skipped as repeats."
    )
    assert "The commonest failure (2 of 3): ValueError: b" in text
    assert commonest_reason(trials) == "ValueError: b"
    assert commonest_reason(trials[:2]) is None


def test_one_is_counted_without_a_plural() -> None:
    text = "\n".join(sentences((POPULAR,), (POPULAR,), OBJECTIVES, POPULARITY, repeats=1))
    assert text.startswith("1 trial: 1 complete (5 s), 1 suggestion skipped as repeats.")


@pytest.mark.parametrize(
    ("quality", "expected"),
    [
        (0.015, "Nothing found beats popularity (ndcg@10 0.0200)."),
        (0.04, "is within the noise of popularity's 0.0200 ± 0.0100."),
        (0.09, "The best ndcg@10 is 0.0900 ± 0.0100 (ease(ridge=10)); popularity has 0.0200"),
    ],
)
def test_the_front_is_compared_with_popularity(quality: float, expected: str) -> None:
    best = trial(1, quality)
    assert expected in told(POPULAR, best, front=(best, POPULAR))


def test_neighbours_within_the_noise_are_counted() -> None:
    front = (trial(1, 0.30), trial(2, 0.29), trial(3, 0.20))
    assert "1 of 2 neighbours on the front differ in ndcg@10" in told(*front, front=front)
    # The error of a difference of two is 0.0141: 0.0284 is more than twice that, 0.028 is not.
    assert indistinct(Measurement(0.328, 0.01), Measurement(0.3, 0.01))
    assert not indistinct(Measurement(0.3284, 0.01), Measurement(0.3, 0.01))
    assert not indistinct(Measurement(0.3), Measurement(0.3))


def test_a_front_that_breaks_the_bounds_says_so() -> None:
    large = trial(1, size=9000.0)
    assert "No trial keeps the bounds (bytes 5 kB)" in told(large, front=(large,))
    assert "No trial keeps" not in told(trial(1), front=(trial(1),))


def test_time_is_counted_once_where_trials_overlap() -> None:
    trials = [
        trial(0, started=0.0, finished=10.0),
        trial(1, started=5.0, finished=12.0),
        trial(2, started=6.0, finished=8.0),
        trial(3, started=20.0, finished=21.0),
        trial(4, started=50.0, finished=90.0, worker=None),
    ]
    assert seconds_spent(trials) == 13.0
    assert seconds_spent([]) == 0.0
    assert count_run(trials) == 4


def test_listeners_are_chosen_by_the_stream() -> None:
    with display(stream=io.StringIO()) as plain, display(as_json=True) as machine:
        assert isinstance(plain, PlainLines)
        assert isinstance(machine, JsonLines)
