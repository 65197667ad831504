import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_rec.plugin import Choice, Constant, Domain, Float, Integer

numbers = st.integers(-20, 20)


@given(numbers, numbers, numbers)
def test_a_range_contains_its_ends_and_what_lies_between(a: int, b: int, value: int) -> None:
    low, high = min(a, b), max(a, b)
    inside = low <= value <= high
    assert Integer(low, high, low).contains(value) == inside
    assert Float(low, high, low).contains(value) == inside
    assert Float(low, high, low).contains(float(value)) == inside


def test_an_integer_range_refuses_fractions_and_booleans() -> None:
    domain = Integer(0, 3, 1)
    assert not domain.contains(1.0)
    assert not domain.contains(True)
    assert not domain.contains("1")


def test_a_float_range_refuses_what_is_not_finite() -> None:
    domain = Float(0.0, 1.0, 0.5)
    assert not domain.contains(math.nan)
    assert not domain.contains(math.inf)
    assert not domain.contains(10**400)
    assert not domain.contains(False)


def test_a_choice_tells_true_from_one_but_not_one_from_one_point_zero() -> None:
    assert not Choice((1, 2), 1).contains(True)
    assert Choice((1, 2), 1).contains(1.0)
    assert Choice((True, 1), True).contains(1)


def test_a_choice_refuses_what_cannot_be_a_value() -> None:
    assert not Choice(("a",), "a").contains(["a"])
    assert not Choice(("a",), "a").contains(None)


@given(numbers, numbers, numbers, numbers)
def test_a_domain_encloses_another_if_it_contains_all_its_values(
    a: int, b: int, c: int, d: int
) -> None:
    own = Integer(min(a, b), max(a, b), a)
    other = Integer(min(c, d), max(c, d), c)
    expected = all(own.contains(value) for value in range(other.low, other.high + 1))
    assert own.encloses(other) == expected
    assert own.encloses(Choice(tuple(range(other.low, other.high + 1)), c)) == expected
    assert Choice(tuple(range(own.low, own.high + 1)), a).encloses(other) == expected


@pytest.mark.parametrize(
    ("domain", "other", "enclosed"),
    [
        (Float(0, 1, 0), Integer(0, 1, 0), True),
        (Integer(0, 1, 0), Float(0, 1, 0), False),
        (Choice((1, 2), 1), Float(1, 2, 1), False),
        (Constant(3), Integer(3, 3, 3), True),
        (Constant(3), Integer(3, 4, 3), False),
        (Constant("a"), Choice(("a",), "a"), True),
        (Constant("a"), Choice(("a", "b"), "a"), False),
        (Choice((True,), True), Constant(1), False),
    ],
)
def test_enclosure_across_kinds(domain: Domain, other: Domain, *, enclosed: bool) -> None:
    assert domain.encloses(other) == enclosed


def test_a_range_must_be_ordered_and_finite() -> None:
    with pytest.raises(ValueError, match="finite low <= high, got 2 and 1"):
        Integer(2, 1, 1)
    with pytest.raises(ValueError, match="finite low <= high"):
        Float(0.0, math.inf, 1.0)


def test_a_logarithmic_range_starts_above_zero() -> None:
    with pytest.raises(ValueError, match="must start above 0, got 0"):
        Float(0.0, 1.0, 0.5, log=True)


def test_a_choice_has_values_that_differ() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        Choice((), "a")
    with pytest.raises(ValueError, match="must differ"):
        Choice((1, 1.0), 1)


def test_domains_describe_themselves_in_a_line() -> None:
    assert Float(0.001, 1, 0.1, log=True).describe() == "float 0.001 to 1 (log)"
    assert Integer(1, 4, 2).describe() == "integer 1 to 4"
    assert Choice(("mean", "last"), "mean").describe() == "one of mean, last"
    assert Constant(3).describe() == "always 3"
