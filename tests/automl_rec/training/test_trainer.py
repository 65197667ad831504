import itertools
import math
import time
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl_rec.plugin import (
    Batch,
    DivergenceError,
    Form,
    GradientModel,
    LifeCycle,
    Pairs,
    Requests,
    Sampling,
    Sparsity,
    Step,
    TrainableMatrix,
    Weight,
)
from automl_rec.plugin.weight import Use
from automl_rec.testing.planted import planted_tiny
from automl_rec.training.progress import Progress, Training
from automl_rec.training.trainer import train

SETTINGS = {
    "learning_rate": 0.1,
    "batch_size": 100,
    "epochs": 5,
    "patience": 100,
    "evaluate_every": 1,
}
CATALOG = planted_tiny().catalog
STEPS = math.ceil(CATALOG.matrix.nnz / 100)


class Valley(GradientModel):
    """One weight (2, 3) drawn towards the mean item of each batch, through dropout."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.weight = Weight("valley", 2, 3, "linear", Use(1))
        self.weight.initialise(1.0, torch.Generator().manual_seed(0))
        self.sampling = Sampling()
        self.factor, self.prepared = factor, 0

    def loss(self, batch: Batch) -> Tensor:
        assert isinstance(batch, Pairs)
        assert self.training
        assert isinstance(self.weight.matrix, TrainableMatrix)
        weight = F.dropout(self.weight.matrix.effective(), 0.5, self.training)
        return (weight - batch.items.float().mean()).square().mean() * self.factor

    def prepare(self) -> None:
        self.prepared += 1

    def scores(self, requests: Requests) -> Tensor:
        return torch.zeros(len(requests), CATALOG.num_items)


class Scripted:
    """Qualities in a given order; remembers the weights each stood for."""

    def __init__(self, model: Valley, *qualities: float) -> None:
        self.model, self.qualities = model, iter(qualities)
        self.seen: list[Tensor] = []

    def __call__(self) -> tuple[float, float]:
        assert not self.model.training
        assert not torch.is_grad_enabled()
        self.seen.append(values(self.model))
        assert self.model.prepared == len(self.seen)
        return next(self.qualities), 0.25


def values(model: Valley) -> Tensor:
    return model.weight.matrix.dense().clone()


def run(model: Valley, *qualities: float, **options: Any) -> tuple[Training, Scripted]:
    changes = {name: options.pop(name) for name in list(options) if name in SETTINGS}
    options = {"seed": 0} | options
    script = Scripted(model, *(qualities or range(100)))
    return train(model, CATALOG, script, settings=SETTINGS | changes, **options), script


def test_equal_seeds_give_bit_equal_weights_and_others_do_not() -> None:
    models = [Valley() for _ in range(3)]
    for model, seed in zip(models, (4, 4, 5), strict=True):
        run(model, seed=seed)
    assert torch.equal(values(models[0]), values(models[1]))
    assert not torch.equal(values(models[0]), values(models[2]))


def test_training_neither_reads_nor_moves_the_global_generator() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = Valley()
        run(first)
        after = torch.rand(3)
        torch.manual_seed(1)
        assert torch.equal(after, torch.rand(3))
        second = Valley()
        run(second)
    assert torch.equal(values(first), values(second))


def test_the_first_step_is_that_of_adam() -> None:
    class Straight(Valley):
        def loss(self, batch: Batch) -> Tensor:
            return (self.weight.trainable * torch.arange(6.0).reshape(2, 3)).sum()

    model = Straight()
    before = values(model)
    run(model, epochs=1, batch_size=100_000)
    moved = torch.full((2, 3), -0.1)
    moved[0, 0] = 0.0  # slope 0
    torch.testing.assert_close(values(model) - before, moved)


def test_the_best_weights_on_validation_come_back() -> None:
    model = Valley()
    training, script = run(model, 1.0, 3.0, 2.0, 2.5, 0.0)
    assert [point.quality for point in training.curve] == [1.0, 3.0, 2.0, 2.5, 0.0]
    assert torch.equal(values(model), script.seen[1])
    assert not torch.equal(script.seen[1], script.seen[4])
    assert training.epochs == 5
    assert training.stopped is None
    assert not model.training


def test_the_best_of_a_quality_to_be_minimised_is_its_smallest() -> None:
    model = Valley()
    training, script = run(model, 3.0, 1.0, 2.0, 1.5, 5.0, patience=3, direction="minimize")
    assert [point.quality for point in training.curve] == [3.0, 1.0, 2.0, 1.5, 5.0]
    assert torch.equal(values(model), script.seen[1])
    training, _ = run(Valley(), 3.0, 1.0, 2.0, 1.5, 0.5, patience=2, direction="minimize")
    assert (training.epochs, training.stopped) == (4, "patience")


def test_patience_counts_validations_without_a_gain() -> None:
    training, _ = run(Valley(), 1.0, 2.0, 2.0, 1.0, 3.0, 1.0, patience=2)
    assert training.epochs == 4
    assert training.stopped == "patience"
    training, _ = run(Valley(), 1.0, 2.0, 2.0, 3.0, 1.0, patience=2)
    assert training.epochs == 5
    assert training.stopped is None


def test_validation_follows_every_few_epochs_and_the_last() -> None:
    training, _ = run(Valley(), evaluate_every=2)
    assert [point.epoch for point in training.curve] == [2, 4, 5]
    assert {point.epochs for point in training.curve} == {5}


def test_reports_are_told_of_every_validation_and_may_end_the_training() -> None:
    told: list[Progress] = []

    def report(progress: Progress) -> bool:
        told.append(progress)
        return len(told) < 3

    training, _ = run(Valley(), report=report)
    assert tuple(told) == training.curve
    assert len(told) == 3
    assert training.stopped == "early"
    assert told[1].standard_error == 0.25
    assert 0 < told[0].seconds < told[2].seconds <= training.seconds


def test_without_time_training_still_ends_with_one_validation() -> None:
    model = Valley()
    before = values(model)
    training, script = run(model, seconds=0.0)
    assert training.stopped == "time"
    assert [point.epoch for point in training.curve] == [1]
    assert torch.equal(script.seen[0], before)


def test_the_deadline_cuts_an_epoch_and_the_best_before_it_comes_back() -> None:
    class Slow(Valley):
        steps = 0

        def loss(self, batch: Batch) -> Tensor:
            self.steps += 1
            while self.steps > STEPS + 1 and time.monotonic() < deadline:
                pass
            return super().loss(batch)

    deadline = time.monotonic() + 0.5
    model = Slow()
    training, script = run(model, seconds=0.3)
    assert training.stopped == "time"
    assert training.epochs == 2
    assert model.steps == STEPS + 2 < 2 * STEPS
    assert len(training.curve) == 1
    assert torch.equal(values(model), script.seen[0])


class Rooted(Valley):
    """Its loss is 0, the slope of its loss is not a number."""

    def loss(self, batch: Batch) -> Tensor:
        return (self.weight.trainable * 0.0).abs().sqrt().sum()


@pytest.mark.parametrize(
    ("model", "what"), [(Valley(math.inf), "loss"), (Rooted(), "weights")], ids=["loss", "weights"]
)
def test_leaving_the_finite_numbers_is_an_error_with_epoch_and_learning_rate(
    model: Valley, what: str
) -> None:
    message = rf"The {what} must stay finite, .* epoch 1 at learning rate 0\.1\. Lower the"
    with pytest.raises(DivergenceError, match=message):
        run(model, batch_size=100_000)


class Shrinking(Sparsity):
    """Masks one more of six entries after each of its steps."""

    def __init__(self, model: Valley, every: int) -> None:
        self.every = every
        self.told: list[tuple[int, int]] = []
        assert isinstance(model.weight.matrix, TrainableMatrix)
        self.matrix = model.weight.matrix

    def after_step(self, step: Step) -> None:
        self.told.append((step.number, step.total))
        if step.number % self.every == 0:
            kept = torch.arange(6) >= step.number // self.every
            self.matrix.mask = kept.float().reshape(2, 3)

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        return dict(forms)

    def compress(self, weights: Mapping[str, Weight]) -> None:
        pass


def test_a_sparsity_is_told_of_every_step() -> None:
    model = Valley()
    sparsity = Shrinking(model, 1000)
    run(model, cycles=(sparsity,), epochs=2)
    assert sparsity.told == [(step, 2 * STEPS) for step in range(1, 2 * STEPS + 1)]


def test_fewer_entries_replace_a_better_state_that_was_larger() -> None:
    model = Valley()
    sparsity = Shrinking(model, STEPS)  # one entry less after every epoch
    training, script = run(model, 5.0, 4.0, 3.0, 2.0, 1.0, patience=1, cycles=(sparsity,))
    assert training.stopped is None
    assert torch.equal(values(model), script.seen[4])
    assert int((values(model) != 0).sum()) == 1


def test_among_states_of_one_size_the_best_comes_back_with_its_mask() -> None:
    model = Valley()
    sparsity = Shrinking(model, 3 * STEPS)  # one entry less after epoch 3
    _, script = run(model, 9.0, 9.0, 1.0, 3.0, 2.0, cycles=(sparsity,))
    assert torch.equal(values(model), script.seen[3])
    assert int((values(model) != 0).sum()) == 5


def test_parameters_outside_weights_train_too() -> None:
    class Normed(Valley):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(3)

        def loss(self, batch: Batch) -> Tensor:
            normed: Tensor = self.norm(self.weight.trainable)
            return normed.square().sum() + super().loss(batch)

    model = Normed()
    run(model)
    assert not torch.equal(model.norm.weight.detach(), torch.ones(3))


class Reopening(LifeCycle):
    """Shuts an entry for some steps, and notes its value and that of its neighbour."""

    def __init__(self, model: Valley, *, straight: bool = False) -> None:
        assert isinstance(model.weight.matrix, TrainableMatrix)
        self.matrix, self.seen = model.weight.matrix, list[Tensor]()
        self.matrix.mask = torch.ones(2, 3)
        self.matrix.straight = straight

    def after_backward(self, step: Step) -> None:
        slopes = self.matrix.weight.grad
        assert slopes is not None, "slopes are there before the optimiser's step"
        assert self.matrix.mask is not None
        self.seen.append(self.matrix.weight.detach().clone())
        if step.number >= 6:
            slopes.zero_()

    def after_step(self, step: Step) -> None:
        assert self.matrix.mask is not None
        if step.number == 3:
            self.matrix.mask[0, 0] = 0.0
        if step.number == 5:
            self.matrix.mask[0, 0] = 1.0


def test_a_masked_entry_rests_and_returns_without_its_past() -> None:
    model = Valley()
    cycle = Reopening(model)
    run(model, epochs=1, cycles=(cycle,), batch_size=20)
    moved = [(after - before)[0] for before, after in itertools.pairwise(cycle.seen)]
    assert moved[2][0] != 0.0
    assert [step[0].item() for step in moved[3:8]] == [0.0] * 5, "moments must not move it"
    assert all(step[1] != 0.0 for step in moved[5:8]), "its neighbour goes on by its moments"


def test_an_entry_behind_a_straight_mask_goes_on_learning() -> None:
    model = Valley()
    cycle = Reopening(model, straight=True)
    run(model, epochs=1, cycles=(cycle,), batch_size=20)
    moved = [(after - before)[0, 0] for before, after in itertools.pairwise(cycle.seen)]
    assert all(step != 0.0 for step in moved[5:8])
