from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from automl_rec.plugin import LifeCycle, Loss, Phase, Step
from automl_rec.training.joining import Joined

SEARCH, RETRAIN = Phase("search", 0.4), Phase("retrain", 0.6, start="initial")
DENSE, SPARSE = Phase("dense", 0.25), Phase("sparse", 0.75)
GENERATOR = torch.Generator()
STEP = Step(1, 10, 0.1, lambda: torch.zeros(()))


class Told(LifeCycle):
    """Writes down what it is told."""

    def __init__(self, log: list[str], name: str, *phases: Phase, held_out: float = 0.0) -> None:
        self.log, self.name, self._phases = log, name, phases
        self.held_out = held_out
        self.parameter = nn.Parameter(torch.zeros(1))

    @property
    def phases(self) -> tuple[Phase, ...]:
        return self._phases

    def owned(self) -> Iterable[nn.Parameter]:
        return (self.parameter,)

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        self.log.append(f"{self.name} begins {phase.name}")

    def end(self, phase: Phase) -> None:
        self.log.append(f"{self.name} ends {phase.name}")

    def loss(self, own: Loss) -> Tensor:
        self.log.append(f"{self.name} adds")
        return own() + 1

    def after_backward(self, step: Step) -> None:
        self.log.append(f"{self.name} after backward")

    def after_step(self, step: Step) -> None:
        self.log.append(f"{self.name} after step")

    def judge(self, step: Step) -> None:
        self.log.append(f"{self.name} judges")


def run(joined: Joined) -> None:
    for number, phase in enumerate(joined.phases):
        if number:
            joined.end(joined.phases[number - 1])
        joined.begin(phase, GENERATOR)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((), (), [("train", 1.0, "best")]),
        ((SEARCH, RETRAIN), (), [("search", 0.4, "best"), ("retrain", 0.6, "initial")]),
        ((), (DENSE, SPARSE), [("dense", 0.25, "best"), ("sparse", 0.75, "best")]),
        (
            (SEARCH, RETRAIN),
            (Phase("prune"),),
            [("search", 0.4, "best"), ("retrain, prune", 0.6, "initial")],
        ),
        (
            (SEARCH, RETRAIN),
            (DENSE, SPARSE),
            [
                ("search", 0.4, "best"),
                ("retrain, dense", 0.15, "initial"),
                ("retrain, sparse", 0.45, "best"),
            ],
        ),
    ],
    ids=["none", "first", "second", "one waits", "divided"],
)
def test_later_phases_divide_the_last_of_those_before(
    first: tuple[Phase, ...], second: tuple[Phase, ...], expected: list[tuple[str, float, str]]
) -> None:
    joined = Joined([Told([], "a", *first), Told([], "b", *second)])
    found = [(phase.name, round(phase.share, 9), phase.start) for phase in joined.phases]
    assert found == expected


def test_each_is_told_of_its_own_phases() -> None:
    log = list[str]()
    run(Joined([Told(log, "a", SEARCH, RETRAIN), Told(log, "b"), Told(log, "c", DENSE, SPARSE)]))
    assert log == [
        "a begins search",
        "b begins search",
        "a ends search",
        "b ends search",
        "a begins retrain",
        "b begins retrain, dense",
        "c begins dense",
        "b ends retrain, dense",
        "c ends dense",
        "a begins retrain",
        "b begins retrain, sparse",
        "c begins sparse",
    ]


def test_hooks_are_called_in_order_and_not_while_one_waits() -> None:
    log = list[str]()
    joined = Joined([Told(log, "a", SEARCH, RETRAIN, held_out=0.1), Told(log, "b", SPARSE)])
    for phase, acting in zip(joined.phases, (["a"], ["a", "b"]), strict=True):
        joined.begin(phase, GENERATOR)
        assert joined.held_out == 0.1
        log.clear()
        assert joined.loss(lambda: torch.zeros(())) == len(acting)
        joined.after_backward(STEP)
        joined.after_step(STEP)
        joined.judge(STEP)
        added = [f"{name} adds" for name in reversed(acting)]
        told = [f"{name} {hook}" for hook in ("after backward", "after step") for name in acting]
        assert log == [*added, *told, "a judges"]


def test_what_any_owns_is_owned() -> None:
    cycles = [Told([], "a"), Told([], "b")]
    assert list(Joined(cycles).owned()) == [cycle.parameter for cycle in cycles]
