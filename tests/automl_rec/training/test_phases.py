import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from automl_rec.plugin import (
    Batch,
    GradientModel,
    LifeCycle,
    Loss,
    Pairs,
    Phase,
    Requests,
    Sampling,
    Step,
)
from automl_rec.testing.planted import planted_tiny
from automl_rec.training.progress import Progress, Training
from automl_rec.training.resumption import TrainingFile
from automl_rec.training.trainer import train

CATALOG = planted_tiny().catalog
SETTINGS = {
    "learning_rate": 0.05,
    "batch_size": 64,
    "epochs": 10,
    "patience": 99,
    "evaluate_every": 1,
}
EVENTS = set(zip(CATALOG.histories.users().tolist(), CATALOG.histories.items.tolist(), strict=True))


class EndedError(Exception):
    """Stands for whatever ends a process."""


class Popularity(GradientModel):
    """One number an item, multiplied by a gate of its own, and every pair it learnt from."""

    def __init__(self) -> None:
        super().__init__()
        self.sampling = Sampling(negatives=1)
        self.items = nn.Parameter(torch.zeros(CATALOG.num_items))
        self.gate = nn.Parameter(torch.ones(CATALOG.num_items))
        self.register_buffer("mark", torch.zeros(1))
        self.pairs: list[set[tuple[int, int]]] = []

    def loss(self, batch: Batch) -> Tensor:
        assert isinstance(batch, Pairs)
        pairs = zip(batch.users.tolist(), batch.items.tolist(), strict=True)
        self.pairs.append(set(pairs))
        values = self.items * self.gate
        gaps = values[batch.items][:, None] - values[batch.negatives]
        return -nn.functional.logsigmoid(gaps).mean()

    def scores(self, requests: Requests) -> Tensor:
        return self.items.expand(len(requests), -1)


class TwoPhases(LifeCycle):
    """Searches and trains again, and writes down what it is told."""

    held_out = 0.2
    phases: ClassVar = (Phase("search", 0.3), Phase("again", 0.7, start="initial"))

    def __init__(self, model: Popularity) -> None:
        self.model, self.told, self.judged = model, list[str](), list[set[tuple[int, int]]]()
        self.found: Tensor | None = None

    def owned(self) -> Iterable[nn.Parameter]:
        return (self.model.gate,)

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        self.told.append(f"begin {phase.name}")
        self.started = self.model.items.detach().clone()

    def end(self, phase: Phase) -> None:
        self.told.append(f"end {phase.name}")
        self.found = self.model.items.detach().clone()
        self.model.get_buffer("mark").fill_(7.0)

    def loss(self, own: Loss) -> Tensor:
        return own() + 0.0 * own()

    def after_step(self, step: Step) -> None:
        self.told.append(f"step {step.number} of {step.total}")

    def judge(self, step: Step) -> None:
        before = len(self.model.pairs)
        (slope,) = torch.autograd.grad(step.loss(), [self.model.gate])
        self.judged.append(self.model.pairs.pop(before))
        with torch.no_grad():
            self.model.gate.sub_(0.01 * slope)


def run(
    model: Popularity,
    cycle: LifeCycle | None,
    *,
    reported: list[Progress] | None = None,
    seconds: float | None = None,
    file: TrainingFile | None = None,
    patience: int = 99,
    until: int = 10**9,
    epochs: int = 10,
) -> Training:
    validations = 0

    def validate() -> tuple[float, float]:
        nonlocal validations
        validations += 1
        if validations > until:
            raise EndedError
        total = float(model.items.detach().abs().sum()) + float(model.gate.detach().sum())
        return total % 1.0, 0.0

    def report(progress: Progress) -> bool:
        if reported is not None:
            reported.append(progress)
        return True

    settings = {**SETTINGS, "patience": patience, "epochs": epochs}
    return train(
        model,
        CATALOG,
        validate,
        settings=settings,
        seed=5,
        cycles=() if cycle is None else (cycle,),
        report=report,
        seconds=seconds,
        file=file,
    )


def test_each_phase_has_its_share_of_the_epochs_and_the_last_is_reported() -> None:
    model, reported = Popularity(), list[Progress]()
    cycle = TwoPhases(model)
    training = run(model, cycle, reported=reported)
    told = [line for line in cycle.told if not line.startswith("step")]
    assert told == ["begin search", "end search", "begin again"]
    steps = [int(line.split()[1]) for line in cycle.told if line.startswith("step")]
    totals = {int(line.split()[3]) for line in cycle.told if line.startswith("step")}
    per_epoch = len(steps) // 10
    assert steps == [*range(1, 3 * per_epoch + 1), *range(1, 7 * per_epoch + 1)]
    assert totals == {3 * per_epoch, 7 * per_epoch}
    assert [point.epoch for point in reported] == list(range(4, 11))
    assert {point.epochs for point in reported} == {10}
    assert training.curve == tuple(reported)
    assert training.epochs == 10


def test_what_starts_again_has_its_initial_weights_and_keeps_what_the_cycle_owns() -> None:
    model = Popularity()
    cycle = TwoPhases(model)
    run(model, cycle)
    assert cycle.found is not None
    assert cycle.found.any()
    assert not cycle.started.any(), "the loop's weights began at zero"
    assert not torch.equal(model.gate, torch.ones(CATALOG.num_items))
    assert model.get_buffer("mark").item() == 7.0


def test_weights_never_learn_from_what_is_held_out() -> None:
    model = Popularity()
    cycle = TwoPhases(model)
    run(model, cycle)
    learnt, judged = set[tuple[int, int]]().union(*model.pairs), set().union(*cycle.judged)
    assert learnt | judged == EVENTS
    assert not learnt & judged
    assert len(judged) == round(0.2 * len(EVENTS))
    assert len(cycle.judged) == sum(line.startswith("step") for line in cycle.told)


def test_a_phase_in_which_nothing_is_held_out_learns_from_every_event() -> None:
    class JudgedInSearch(TwoPhases):
        def begin(self, phase: Phase, generator: torch.Generator) -> None:
            super().begin(phase, generator)
            self.held_out = 0.2 if phase.name == "search" else 0.0
            self.before = len(self.model.pairs)

    model = Popularity()
    cycle = JudgedInSearch(model)
    run(model, cycle)
    searched = set[tuple[int, int]]().union(*model.pairs[: cycle.before])
    assert len(set().union(*cycle.judged)) == len(EVENTS - searched) == round(0.2 * len(EVENTS))
    assert set[tuple[int, int]]().union(*model.pairs[cycle.before :]) == EVENTS


def test_what_the_cycle_owns_moves_by_its_hooks_alone() -> None:
    class Still(TwoPhases):
        def judge(self, step: Step) -> None:
            """Nothing."""

    model = Popularity()
    run(model, Still(model))
    assert torch.equal(model.gate, torch.ones(CATALOG.num_items))
    assert model.items.detach().any()


def test_without_a_cycle_every_event_is_learnt_in_one_phase() -> None:
    model = Popularity()
    training = run(model, None)
    assert set().union(*model.pairs) == EVENTS
    assert [point.epoch for point in training.curve] == list(range(1, 11))


def test_time_that_runs_out_still_leads_through_every_phase() -> None:
    model = Popularity()
    cycle = TwoPhases(model)
    training = run(model, cycle, seconds=0.0)
    assert cycle.told == ["begin search", "end search", "begin again"]
    assert training.stopped == "time"
    assert len(training.curve) == 1


@pytest.mark.slow
def test_a_phase_ends_at_its_share_of_the_time() -> None:
    class Slow(TwoPhases):
        def after_step(self, step: Step) -> None:
            super().after_step(step)
            time.sleep(0.004)

    model = Popularity()
    cycle = Slow(model)
    run(model, cycle, seconds=2.0, epochs=10_000, patience=10_000)
    again = cycle.told.index("begin again")
    steps = [line.startswith("step") for line in cycle.told]
    assert sum(steps[again:]) > sum(steps[:again]) > 0


def test_patience_ends_a_phase_and_not_the_training() -> None:
    model = Popularity()
    cycle = TwoPhases(model)
    training = run(model, cycle, patience=1)
    assert "begin again" in cycle.told
    assert training.epochs < 10
    assert training.stopped == "patience"


@pytest.mark.parametrize("until", range(1, 10))
def test_a_training_goes_on_in_the_phase_where_it_stopped(until: int, tmp_path: Path) -> None:
    whole, cut, resumed = Popularity(), Popularity(), Popularity()
    expected = run(whole, TwoPhases(whole))
    file = TrainingFile(tmp_path / "training.safetensors", "one")
    with pytest.raises(EndedError):
        run(cut, TwoPhases(cut), file=file, until=until)
    found = run(resumed, TwoPhases(resumed), file=file)
    points = [(point.epoch, point.quality) for point in expected.curve]
    assert [(point.epoch, point.quality) for point in found.curve] == points
    state = whole.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in resumed.state_dict().items())


class SlowSearch(TwoPhases):
    """Its search takes longer than its share of the time."""

    def after_step(self, step: Step) -> None:
        super().after_step(step)
        if "begin again" not in self.told:
            time.sleep(0.05)


def test_a_phase_cut_short_by_time_is_gone_on_with(tmp_path: Path) -> None:
    whole, cut, resumed = Popularity(), Popularity(), Popularity()
    run(whole, TwoPhases(whole))
    file = TrainingFile(tmp_path / "training.safetensors", "one")
    assert run(cut, SlowSearch(cut), seconds=1.0, file=file).stopped == "time"
    assert run(resumed, TwoPhases(resumed), file=file).stopped is None
    state = whole.state_dict()
    assert not torch.equal(cut.items, whole.items)
    assert all(torch.equal(tensor, state[name]) for name, tensor in resumed.state_dict().items())


def test_a_phase_may_leave_its_last_weights_without_patience() -> None:
    class Pressing(TwoPhases):
        phases: ClassVar = (Phase("press", 0.5, end="last"), Phase("tune", 0.5))

        def begin(self, phase: Phase, generator: torch.Generator) -> None:
            super().begin(phase, generator)
            self.found = self.model.items.detach().clone()

        def end(self, phase: Phase) -> None:
            super().end(phase)
            self.last = self.seen

        def after_step(self, step: Step) -> None:
            super().after_step(step)
            self.seen = self.model.items.detach().clone()

    model = Popularity()
    cycle = Pressing(model)
    run(model, cycle, patience=1)
    assert cycle.found is not None
    assert torch.equal(cycle.found, cycle.last)
    begun = cycle.told.index("end press")
    per_epoch = int(cycle.told[1].split()[3]) // 5
    assert sum(line.startswith("step") for line in cycle.told[:begun]) == 5 * per_epoch


def test_what_has_passed_is_told_in_steps_or_in_time_whichever_ends_first() -> None:
    class Timed(TwoPhases):
        def __init__(self, model: Popularity) -> None:
            super().__init__(model)
            self.steps: list[Step] = []

        def after_step(self, step: Step) -> None:
            super().after_step(step)
            self.steps.append(step)
            if step.time_passed:
                time.sleep(0.01)

    model = Popularity()
    unlimited, limited = Timed(model), Timed(Popularity())
    run(model, unlimited)
    assert all(step.passed == step.number / step.total for step in unlimited.steps)
    run(limited.model, limited, seconds=1.0, epochs=10_000, patience=10_000)
    last = limited.told.index("begin again") - 2
    for steps in (limited.steps[:last], limited.steps[last:]):
        assert all(step.passed == min(step.time_passed, 1.0) for step in steps)
        assert [step.passed for step in steps] == sorted(step.passed for step in steps)
    assert limited.steps[-1].passed > 0.8
    assert limited.steps[-1].number < 0.1 * limited.steps[-1].total
