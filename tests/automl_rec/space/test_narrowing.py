import re

import pytest

from automl_rec.errors import SpaceError
from automl_rec.plugin import Choice, Constant, Domain, Float, Integer
from automl_rec.space.narrowing import declared, narrow
from automl_rec.space.reader import Node, parse

WIDTH = Integer(1, 256, 64, log=True)
RATE = Float(1e-4, 1e-1, 1e-3, log=True)
SHARE = Float(0.0, 0.9, 0.5)
LOSS = Choice(("bce", "full"), "bce")
SIZES = Choice((256, 512, 1024), 512)
FLAG = Choice((True, False), False)
EPOCHS = Integer(1, 2000, 200, search=False)
MAYBE = Integer(0, 4, 2, only_if={"loss": ("bce",)})


def node(written: str) -> Node:
    content = parse(f"x: {written}", "s.yaml").content
    assert isinstance(content, dict)
    return content["x"]


@pytest.mark.parametrize(
    ("written", "own", "expected"),
    [
        ("64", WIDTH, Constant(64)),
        ("1", RATE, None),
        ("0.01", RATE, Constant(0.01)),
        ("0", SHARE, Constant(0.0)),
        ("bce", LOSS, Constant("bce")),
        ("true", FLAG, Constant(True)),
        ("512.0", SIZES, Constant(512)),
        ("[16, 32, 64]", WIDTH, Choice((16, 32, 64), 64)),
        ("[8, 16, 128]", WIDTH, Choice((8, 16, 128), 16)),
        ("[full]", LOSS, Constant("full")),
        ("[full, bce]", LOSS, Choice(("full", "bce"), "bce")),
        ("{int: [8, 128], log: false}", WIDTH, Integer(8, 128, 64)),
        ("{int: [8, 32]}", WIDTH, Integer(8, 32, 32, log=True)),
        ("{int: [100, 200]}", WIDTH, Integer(100, 200, 100, log=True)),
        ("{int: [5, 5]}", WIDTH, Constant(5)),
        ("{float: [1e-3, 1e-2]}", RATE, Float(1e-3, 1e-2, 1e-3, log=True)),
        ("{float: [0, 0.2]}", SHARE, Float(0.0, 0.2, 0.2)),
        ("{float: [0.1, 0.2], log: true}", SHARE, Float(0.1, 0.2, 0.2, log=True)),
        ("", EPOCHS, Integer(1, 2000, 200)),
        ("{int: [1, 10]}", EPOCHS, Integer(1, 10, 10)),
        ("2", MAYBE, Constant(2, only_if={"loss": ("bce",)})),
        ("[0, 1]", MAYBE, Choice((0, 1), 1, only_if={"loss": ("bce",)})),
        ("{int: [0, 3]}", MAYBE, Integer(0, 3, 2, only_if={"loss": ("bce",)})),
        ("", Constant(3), Constant(3)),
        ("3", Constant(3), Constant(3)),
    ],
)
def test_a_domain_is_narrowed_and_keeps_its_default_where_it_can(
    written: str, own: Domain, expected: Domain | None
) -> None:
    if expected is None:
        with pytest.raises(SpaceError):
            narrow(node(written), own)
        return
    found = narrow(node(written), own)
    assert found == expected
    assert found.contains(found.default)
    if isinstance(expected, Constant):
        assert type(found.default) is type(expected.value)


@pytest.mark.parametrize(
    ("written", "own", "message"),
    [
        ("300", WIDTH, "x must lie inside integer 1 to 256 (log), got 300."),
        ("2.5", WIDTH, "got 2.5. Keep to what the component allows."),
        ("true", WIDTH, "got True."),
        ("hinge", LOSS, "x must lie inside one of bce, full, got hinge."),
        ("[bce, hinge]", LOSS, "x must lie inside one of bce, full, got one of bce, hinge."),
        ("[8, 300]", WIDTH, "got one of 8, 300."),
        ("{int: [0, 64], log: false}", WIDTH, "got integer 0 to 64."),
        ("{float: [1, 64]}", WIDTH, "got float 1 to 64 (log)."),
        ("{int: [256, 1024]}", SIZES, "got integer 256 to 1024."),
        ("{float: [0, 1]}", SHARE, "x must lie inside float 0 to 0.9, got float 0 to 1."),
        ("{int: [9, 3]}", EPOCHS, "x must be a range from low to high, got {int: [9, 3]}."),
        ("{float: [0, 0.5], log: true}", SHARE, "a range from low to high above 0, got"),
        ("{int: [1.5, 3]}", WIDTH, "x.int must be a whole number, got 1.5."),
        ("{int: [1]}", WIDTH, "x.int must be [low, high], got [1]. Write the two bounds"),
        ("{int: 3}", WIDTH, "x.int must be [low, high], got 3."),
        ("{float: [.nan, 1]}", SHARE, "x.float must be a finite number, got nan."),
        ("{int: [1, 2], float: [1, 2]}", WIDTH, "x must be a domain, got"),
        ("{log: true}", WIDTH, "x must be a domain, got {log: true}. Write {int: [low, high]}"),
        ("{log: yes, int: [1, 2]}", WIDTH, "x.log must be true or false, got yes."),
        ("{integer: [1, 2]}", WIDTH, 'no field "x.integer". Known: int, float, log. Did you mean'),
        ("[]", WIDTH, "x must be a list of values, got []. Write at least one."),
        ("[8, 8]", WIDTH, "x must be a list of different values, got [8, 8]."),
        ("[1, 1.0]", SHARE, "x must be a list of different values, got [1, 1.0]."),
        ("[8, [9]]", WIDTH, "x must be one value, got [9]."),
        (".inf", RATE, "x must be a finite number, got inf."),
        ("4", Constant(3), "x must lie inside always 3, got 4."),
    ],
)
def test_what_lies_outside_is_refused_with_both_shown(
    written: str, own: Domain, message: str
) -> None:
    with pytest.raises(SpaceError, match=re.escape(message)) as caught:
        narrow(node(written), own)
    assert str(caught.value).startswith("s.yaml:1: ")


def test_what_is_not_named_is_as_declared_or_fixed_at_its_default() -> None:
    assert declared(WIDTH) == WIDTH
    assert declared(EPOCHS) == Constant(200)
    assert declared(Integer(3, 3, 3)) == Constant(3)
    assert declared(Choice(("a",), "a", only_if={"b": (1,)})) == Constant("a", {"b": (1,)})
    assert declared(Constant(7)) == Constant(7)
