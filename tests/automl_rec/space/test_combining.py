import itertools
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from automl_rec.plugin import COMPRESSIONS, Component, Integer, Kind
from automl_rec.space.combining import ORDER, Combining

PAIRS: list[tuple[Kind, str]] = [(kind, name) for kind in ORDER for name in ("a", "b", "c")]

TRAINED = {"epochs": Integer(1, 2, 1)}


@st.composite
def component(draw: st.DrawFn, kind: Kind, name: str) -> Component:
    return Component(
        kind=kind,
        name=name,
        summary="s",
        source="s",
        implementation="nowhere:Nothing",
        compressible=draw(st.frozensets(st.sampled_from(sorted(COMPRESSIONS)))),
        training=draw(st.sampled_from([{}, {"epochs": Integer(1, 2, 1)}]))
        if kind == "model"
        else {},
        in_training=kind in ("rank", "sparsity") and draw(st.booleans()),
        excludes=draw(st.dictionaries(st.sampled_from(PAIRS), st.just("why"), max_size=2)),
    )


@st.composite
def combining(draw: st.DrawFn) -> Combining:
    """Up to three components of each kind, at least one model, with random exclusions."""
    numbers = {kind: draw(st.integers(kind == "model", 3)) for kind in ORDER}
    return Combining(
        {kind: {n: draw(component(kind, n)) for n in "abc"[: numbers[kind]]} for kind in ORDER}
    )


def listed(rules: Combining) -> list[dict[Kind, str]]:
    """Every combination, by trying all."""
    found = []
    options = [[*rules.descriptions[kind], None] for kind in ORDER]
    for names in itertools.product(*options):
        chosen = {kind: name for kind, name in zip(ORDER, names, strict=True) if name is not None}
        if "model" not in chosen:
            continue
        parts = [rules.descriptions[kind][name] for kind, name in chosen.items()]
        acting = {kind for kind in COMPRESSIONS & parts[0].compressible if rules.descriptions[kind]}
        clash = any((b.kind, b.name) in a.excludes for a in parts for b in parts)
        clash = clash or (not parts[0].training and any(part.in_training for part in parts))
        if set(chosen) == {"model", *acting} and not clash:
            found.append(chosen)
    return found


@settings(max_examples=30)
@given(combining(), st.lists(st.integers(0, 5), min_size=12, max_size=12))
def test_combinations_and_their_weighted_count_are_those_of_trying_all(
    rules: Combining, numbers: list[int]
) -> None:
    sizes = dict(zip(PAIRS, numbers, strict=True))
    expected = listed(rules)
    assert list(map(str, rules.combinations({}))) == list(map(str, expected))
    products = (math.prod(sizes[pair] for pair in names.items()) for names in expected)
    assert rules.count(sizes) == sum(products)


@settings(max_examples=30)
@given(combining(), st.sampled_from(PAIRS))
def test_fixing_a_component_leaves_the_combinations_that_hold_it(
    rules: Combining, pair: tuple[Kind, str]
) -> None:
    expected = [names for names in listed(rules) if pair in names.items()]
    assert list(rules.combinations(dict([pair]))) == expected
