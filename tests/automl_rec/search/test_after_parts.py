"""What is derived from a training: components made up, training parts by what they declare."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from automl_rec import pareto
from automl_rec.errors import Infeasible
from automl_rec.objectives.objective import Measurement, Objective
from automl_rec.plugin import Interval
from automl_rec.price import Price
from automl_rec.search.after_parts import LOOKED_AT, AfterParts
from automl_rec.search.enumeration import configurations, draw
from automl_rec.search.pricing import Pricing
from automl_rec.space.configuration import Configuration
from automl_rec.space.space import Space
from automl_rec.storage.records import DERIVED, TrialRecord

SpaceOf = Callable[[str], Space]
NDCG = Objective("ndcg@10", "maximize", "")
BYTES = Objective("bytes", "minimize", "B", priced=True)
OBJECTIVES = (NDCG, BYTES)
SMALL = """
model: {closed: {ridge: [10.0, 100.0]}}
rank: {whole: , svd: {ratio: [0.1, 0.3]}}
sparsity: {none: , magnitude: {density: [0.05, 0.2]}, moving: }
"""


def training_part(configuration: Configuration) -> Configuration:
    """A sparsity that moves acts in training; everything else acts after it."""
    moves = configuration.sparsity is not None and configuration.sparsity.name == "moving"
    return Configuration(configuration.model, sparsity=configuration.sparsity if moves else None)


def kept(configuration: Configuration) -> float:
    """The part of the bytes that a configuration leaves."""
    share = 1.0
    for chosen in (configuration.rank, configuration.sparsity):
        for name, value in (chosen.hyperparameters if chosen else {}).items():
            if name in ("ratio", "density"):
                share *= float(value)
    return share


def price(configuration: Configuration) -> Price:
    """A megabyte uncompressed, all of it known."""
    size = 1e6 * kept(configuration)
    whole = Interval(size, size)
    return Price(whole, whole, Interval(0, 0), whole, whole, whole)


def after_parts(space: Space, *, most: int = 8, **options: Any) -> AfterParts:
    objectives = options.pop("objectives", OBJECTIVES)
    pricing = Pricing(options.pop("price", price), objectives)
    return AfterParts(space, objectives, pricing, training_part, most=most, seed=0)


def record(
    number: int,
    configuration: Configuration,
    quality: float,
    parent: int | None = None,
    **fields: Any,
) -> TrialRecord:
    measured = {"ndcg@10": quality, "bytes": 1e6 * kept(configuration)}
    return TrialRecord(
        **{
            "number": number,
            "uuid": str(number),
            "digest": configuration.digest,
            "configuration": configuration.as_dict(),
            "state": "complete",
            "measurements": {name: Measurement(value) for name, value in measured.items()},
            "seed": 0,
            "origin": "sampler" if parent is None else DERIVED,
            "started": 0.0,
            "finished": 1.0,
            "worker": "w",
            "training": training_part(configuration).digest,
            "parent": parent,
            **fields,
        }
    )


def plain(space: Space, **names: str | None) -> Configuration:
    """The first configuration of a space with these components."""
    wanted = {"rank": "whole", "sparsity": "none", **names}
    return next(
        one
        for one in configurations(space)
        if all(one.chosen(k).name == name for k, name in wanted.items())  # type: ignore[arg-type,union-attr]
    )


def derived(parts: AfterParts, front: list[TrialRecord]) -> list[Configuration]:
    """All that is derived while nothing is learned."""
    found = []
    while (one := parts.next(front)) is not None:
        found.append(one.configuration)
    return found


def test_only_configurations_of_one_training_are_derived_and_each_once(space_of: SpaceOf) -> None:
    space = space_of(SMALL)
    parts, parent = after_parts(space), record(0, plain(space), 0.3)
    parts.learn(parent)
    parts.open(parent)
    assert parts.trainings == {parent.training}
    found = derived(parts, [parent])
    assert parts.next([record(9, plain(space), 0.9, training="another")]) is None
    assert parts.trainings == {parent.training}, "nothing is looked at again before it is learned"
    parts.learn(parent)
    assert parts.next([record(9, plain(space), 0.9, training="another")]) is None
    assert parts.trainings == set()
    assert len(found) == len({one.digest for one in found}) > 2
    for one in found:
        assert training_part(one).digest == parent.training
        assert one.model == plain(space).model
        assert one.digest != parent.digest
        assert one.sparsity is not None
        assert one.sparsity.name != "moving"


def test_the_largest_gain_expected_comes_first(space_of: SpaceOf) -> None:
    space = space_of(SMALL)
    parts, parent = after_parts(space), record(0, plain(space), 0.3)
    parts.learn(parent)
    parts.open(parent)
    one = parts.next([parent])
    assert one is not None

    def volume(configuration: Configuration) -> float:
        # Nothing is known: the quality is thought to fall as the tenth root of the bytes.
        expected = record(1, configuration, 0.3 * kept(configuration) ** 0.1)
        return pareto.hypervolume_of([parent, expected], OBJECTIVES)

    shared = [c for c in configurations(space) if training_part(c).digest == parent.training]
    assert volume(one.configuration) == max(map(volume, shared))


def test_what_derived_trials_lost_is_expected_of_their_like(space_of: SpaceOf) -> None:
    space = space_of(SMALL)
    first = record(0, plain(space), 0.3)
    other = record(1, replace(plain(space), model=list(configurations(space))[-1].model), 0.3)
    assert first.training != other.training
    parts = after_parts(space)
    parts.learn(first)
    # Whatever prunes loses all; factors lose nothing.
    for number, one in enumerate(configurations(space), 2):
        if training_part(one).digest == first.training and one.digest != first.digest:
            assert one.sparsity is not None
            lost = one.sparsity.name == "magnitude"
            parts.learn(record(number, one, 0.001 if lost else 0.3, parent=0))
    parts.learn(other)
    parts.open(other)
    found = derived(parts, [other])
    assert [(one.rank.name, kept(one)) for one in found if one.rank] == [("svd", 0.1)]
    assert all(one.sparsity is not None and one.sparsity.name == "none" for one in found)


def test_from_what_was_compressed_before_the_rest_is_derived_too(space_of: SpaceOf) -> None:
    """Which configuration of a training comes first is chance."""
    space = space_of(SMALL)
    first, last = (
        record(number, replace(plain(space, sparsity="magnitude"), model=one.model), 0.2)
        for number, one in enumerate([plain(space), list(configurations(space))[-1]])
    )
    assert kept(Configuration.from_dict(first.configuration)) < 1
    parts = after_parts(space)
    parts.learn(first)
    parts.open(first)
    whole = [one for one in derived(parts, [first]) if kept(one) == 1]
    assert [one.model for one in whole] == [plain(space).model]
    # Where it is known to add nothing, it is not expected to.
    parts.learn(record(2, whole[0], 0.2, parent=0))
    parts.learn(last)
    parts.open(last)
    assert all(kept(one) < 1 for one in derived(parts, [first, last]))


def test_what_promises_nothing_beside_the_front_is_left(space_of: SpaceOf) -> None:
    space = space_of(SMALL)
    parts, parent = after_parts(space), record(0, plain(space), 0.3)
    smallest = min(configurations(space), key=kept)
    ideal = record(1, smallest, 0.9, training="another")
    parts.learn(parent)
    parts.open(parent)
    assert parts.next([ideal]) is None
    assert parts.trainings == set()


@pytest.mark.parametrize("most", [0, 1, 2])
def test_no_more_are_derived_than_asked_for_in_all_runs_together(
    most: int, space_of: SpaceOf
) -> None:
    space = space_of(SMALL)
    parent = record(0, plain(space), 0.3)
    parts = after_parts(space, most=most)
    parts.learn(parent)
    parts.open(parent)
    assert len(derived(parts, [parent])) == most
    again = after_parts(space, most=most)
    for trial in (parent, record(1, plain(space, rank="svd"), 0.2, parent=0)):
        again.learn(trial)
    again.open(parent)
    assert len(derived(again, [parent])) == max(most - 1, 0)


def test_what_other_processes_derive_counts_too(space_of: SpaceOf) -> None:
    space = space_of(SMALL)
    parent = record(0, plain(space), 0.3)
    parts = after_parts(space, most=3)
    parts.learn(parent)
    parts.open(parent)
    first = parts.next([parent])
    assert first is not None
    parts.learn(record(1, first.configuration, 0.29, parent=0))
    theirs = next(
        one
        for one in configurations(space)
        if training_part(one).digest == parent.training
        and one.digest not in (parent.digest, first.configuration.digest)
    )
    parts.learn(record(2, theirs, 0.0001, parent=0))
    assert len(derived(parts, [parent])) == 1


def test_what_breaks_a_bound_or_cannot_be_priced_is_left_out(space_of: SpaceOf) -> None:
    space = space_of(SMALL)

    def choosy(configuration: Configuration) -> Price:
        assert configuration.rank is not None
        if configuration.rank.hyperparameters.get("ratio") == 0.1:
            raise Infeasible("It cannot be. Choose another.")
        if configuration.rank.name == "svd":
            raise ZeroDivisionError("a plugin's own bug")
        return price(configuration)

    bounded = (NDCG, replace(BYTES, bound=1e5))
    parent = record(0, plain(space), 0.3)
    parts = after_parts(space, objectives=bounded, price=choosy)
    parts.learn(parent)
    parts.open(parent)
    found = derived(parts, [parent])
    assert [kept(one) for one in found] == [0.05]


def test_real_numbers_are_sampled_and_the_sample_is_always_the_same(space_of: SpaceOf) -> None:
    space = space_of("model: {closed: {ridge: 10.0}}\nrank: {svd: {ratio: {float: [0.1, 0.7]}}}\n")
    parent = record(0, draw(space, np.random.default_rng(0)), 0.3)
    found = []
    for _ in range(2):
        parts = after_parts(space, most=LOOKED_AT)
        parts.learn(parent)
        parts.open(parent)
        found.append([one.digest for one in derived(parts, [parent])])
    assert found[0] == found[1] != []


@pytest.mark.parametrize(
    ("text", "possible"),
    [
        (SMALL, True),
        ("model: {closed: {ridge: [10.0, 100.0]}}", False),
        ("model: tiny", False),
        ("model: {closed: {ridge: 10.0}}\nrank: {svd: {ratio: 0.3}}", False),
        ("model: {closed: {ridge: 10.0}}\nrank: {svd: {ratio: [0.3, 0.4]}}", True),
    ],
)
def test_a_training_is_worth_keeping_where_something_is_open(
    text: str, *, possible: bool, space_of: SpaceOf
) -> None:
    space = space_of(text)
    configuration = next(configurations(space))
    assert after_parts(space).possible(configuration) == possible
    assert not after_parts(space, most=0).possible(configuration)
