"""What a space names acts, or is refused."""

import re
from collections.abc import Mapping

import pytest

from automl_rec.errors import SpaceError
from automl_rec.plugin import Choice, Component, Constant, Domain, Float, Integer
from automl_rec.registry import Plugin, Registry
from automl_rec.space.component_sections import read_components
from automl_rec.space.reader import parse

BY_BUDGET: Mapping[str, tuple[str, ...]] = {"sized_by": ("budget",)}
BY_ROWS: Mapping[str, tuple[str, ...]] = {"sized_by": ("ratio", "rows")}
DOMAINS: dict[str, Domain] = {
    "sized_by": Choice(("budget", "ratio", "rows"), "budget", search=False),
    "budget": Float(0.001, 1.0, 0.25, log=True, only_if=BY_BUDGET),
    "ratio": Float(0.001, 1.0, 0.1, only_if={"sized_by": ("ratio",)}),
    "rows": Integer(1, 10, 2, only_if={"sized_by": ("rows",)}),
    "spare": Integer(0, 3, 0, only_if=BY_ROWS),
    "hashes": Choice((1, 2), 1),
    "combine": Choice(("sum", "mul"), "sum", only_if={"hashes": (2,)}),
    "mode": Choice(("plain", "warm"), "plain", search=False, only_if={"sized_by": ("rows",)}),
    "steps": Integer(1, 9, 3, only_if={"mode": ("warm",)}),
}
SIZED = Component(
    kind="embedding",
    name="sized",
    summary="s",
    source="s",
    implementation="nowhere:Nothing",
    hyperparameters=DOMAINS,
)
REGISTRY = Registry([Plugin("made-up", "acme", "1.0", components=(SIZED,))])


def read(written: str) -> Mapping[str, Domain]:
    content = parse(f"embedding:\n  sized: {written}", "space.yaml").content
    assert isinstance(content, dict)
    (entry,) = read_components(content["embedding"], "embedding", REGISTRY)
    return entry.domains


@pytest.mark.parametrize(
    ("written", "sized_by"),
    [
        ("", Constant("budget")),
        ("{budget: 0.1}", Constant("budget")),
        ("{ratio: 0.1}", Constant("ratio")),
        ("{ratio: }", Constant("ratio")),
        ("{rows: [2, 4]}", Constant("rows")),
        ("{spare: 1}", Constant("ratio")),
        ("{spare: 1, rows: 3}", Constant("rows")),
        ("{rows: 3, spare: 1}", Constant("rows")),
        ("{sized_by: [budget, ratio], ratio: 0.1}", Choice(("budget", "ratio"), "budget")),
        (
            "{sized_by: [ratio, budget], ratio: 0.1, budget: 1}",
            Choice(("ratio", "budget"), "budget"),
        ),
        ("{sized_by: }", Choice(("budget", "ratio", "rows"), "budget")),
    ],
)
def test_what_decides_whether_a_named_one_acts_is_fixed(written: str, sized_by: Domain) -> None:
    assert read(written)["sized_by"] == sized_by


def test_what_is_searched_stays_open() -> None:
    assert read("{combine: mul}")["hashes"] == DOMAINS["hashes"]


def test_conditions_of_conditions_are_fixed_too() -> None:
    domains = read("{steps: 5}")
    assert domains["mode"] == Constant("warm", {"sized_by": ("rows",)})
    assert domains["sized_by"] == Constant("rows")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            "\n    budget: 0.1\n    ratio: 0.1",
            (
                "space.yaml:4: embedding sized cannot have both budget and ratio: budget acts "
                "where sized_by is budget, ratio where it is ratio. Remove one of them, or write "
                "sized_by: [budget, ratio]."
            ),
        ),
        (
            "\n    ratio: 0.1\n    rows: 2",
            "space.yaml:4: embedding sized cannot have both ratio and rows: ratio acts where",
        ),
        (
            "\n    steps: 5\n    ratio: 0.1",
            "embedding sized cannot have both",
        ),
        (
            "\n    sized_by: budget\n    ratio: 0.1",
            (
                "space.yaml:4: embedding sized has ratio act only where sized_by is ratio, but "
                "sized_by is always budget here. Remove ratio, or write sized_by: ratio."
            ),
        ),
        (
            "\n    spare: 1\n    sized_by: budget",
            "space.yaml:3: embedding sized has spare act only where sized_by is ratio or rows, but",
        ),
        (
            "\n    hashes: 1\n    combine: mul",
            (
                "space.yaml:4: embedding sized has combine act only where hashes is 2, but hashes "
                "is always 1 here. Remove combine, or write hashes: 2."
            ),
        ),
    ],
)
def test_what_can_never_act_is_refused(written: str, message: str) -> None:
    with pytest.raises(SpaceError, match=re.escape(message)):
        read(written)
