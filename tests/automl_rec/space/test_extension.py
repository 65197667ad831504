"""A space that grew holds what it held; one that was changed does not."""

from collections.abc import Callable
from typing import Any

import pytest

from automl_rec.space.extension import extends, extension
from automl_rec.space.space import Space

SpaceOf = Callable[..., Space]


def number(low: float, high: float, kind: str = "Float", **fields: Any) -> dict[str, Any]:
    return {"domain": kind, "low": low, "high": high, "log": False, "only_if": {}} | fields


def choice(*values: Any) -> dict[str, Any]:
    return {"domain": "Choice", "values": list(values), "only_if": {}}


def constant(value: Any) -> dict[str, Any]:
    return {"domain": "Constant", "value": value, "only_if": {}}


def holds(now: dict[str, Any], before: dict[str, Any]) -> bool:
    spaces = [{"model": {"mf": {"width": domain}}} for domain in (now, before)]
    return extends(spaces[0], spaces[1], lambda kind, name: True)


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        (number(1, 5), number(1, 5), True),
        (number(0, 9), number(1, 5), True),
        (number(2, 9), number(1, 5), False),
        (number(1, 5, log=True), number(1, 5), True),
        (number(1, 5, "Integer"), number(1, 5), False),
        (number(1, 5), number(1, 5, only_if={"loss": ["bce"]}), False),
        (choice(1, 2, 3), choice(3, 1), True),
        (choice(1, 2), choice(1, 4), False),
        (choice(1, 2), choice(True, 2), False),
        (choice(1, 2), constant(2), True),
        (choice("a"), constant("b"), False),
        (constant(2), constant(2), True),
        (constant(2), choice(2, 3), False),
        (constant(2), choice(2), True),
        (number(1, 5), constant(2.5), True),
        (number(1, 5), choice(1.0, 6.0), False),
        (number(1, 5, "Integer"), constant(2), True),
        (number(1, 5, "Integer"), constant(2.5), False),
        (number(0, 5), constant(False), False),
        (choice(1, 2), number(1, 2, "Integer"), False),
    ],
)
def test_a_domain_holds_what_lies_in_it(
    *, now: dict[str, Any], before: dict[str, Any], expected: bool
) -> None:
    assert holds(now, before) == expected


def test_components_may_be_added_but_only_those_that_are_gone_be_left_out() -> None:
    one: dict[str, Any] = {"model": {"ease": {}}, "rank": {"full": {}}}
    two: dict[str, Any] = {"model": {"ease": {}, "mf": {}}, "rank": {"full": {}, "svd": {}}}
    assert extends(two, one, lambda kind, name: True)
    assert not extends(one, two, lambda kind, name: True)
    assert not extends(one, two, lambda kind, name: name == "svd")
    assert extends(one, two, lambda kind, name: name not in ("svd", "mf"))


def test_a_hyperparameter_may_be_new_but_not_missing() -> None:
    plain: dict[str, Any] = {"model": {"mf": {"width": constant(8)}}}
    more: dict[str, Any] = {"model": {"mf": {"width": constant(8), "bias": choice(True)}}}
    assert extends(more, plain, lambda kind, name: True)
    assert not extends(plain, more, lambda kind, name: True)


def test_what_changed_is_said() -> None:
    before: dict[str, Any] = {"model": {"ease": {}, "mf": {"width": constant(8)}}}
    now: dict[str, Any] = {"model": {"mf": {"width": choice(8, 16)}, "simplex": {}}}
    assert extension(before, now) == (
        "The space has new model simplex; has wider model mf; is without model ease; what was "
        "found before it stands."
    )
