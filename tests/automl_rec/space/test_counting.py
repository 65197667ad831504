import itertools
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from automl_rec.plugin import Choice, Constant, Domain, Float, Integer, Value
from automl_rec.plugin.domain import values_of
from automl_rec.space.counting import assignments, holds

KNOWN: list[Value] = [True, False, 0, 1, 2, "a", "b"]
VALUES = st.sampled_from(KNOWN)


@st.composite
def conditional_domains(draw: st.DrawFn) -> dict[str, Domain]:
    """Up to five hyperparameters, each under conditions on those before it."""
    domains: dict[str, Domain] = {}
    for name in "vwxyz"[: draw(st.integers(0, 5))]:
        earlier = draw(st.lists(st.sampled_from(sorted(domains)), max_size=2)) if domains else []
        conditions = {other: tuple(draw(st.lists(VALUES, max_size=3))) for other in earlier}
        domains[name] = draw(plain_domains(conditions))
    return domains


def plain_domains(conditions: Mapping[str, tuple[Value, ...]]) -> st.SearchStrategy[Domain]:
    choices = st.lists(VALUES, min_size=1, max_size=3, unique_by=lambda v: (type(v), v))
    return st.one_of(
        choices.map(lambda values: Choice(tuple(values), values[0], only_if=conditions)),
        st.integers(0, 3).map(lambda high: Integer(0, high, 0, only_if=conditions)),
        VALUES.map(lambda value: Constant(value, only_if=conditions)),
    )


def listed(domain: Domain) -> list[Value]:
    assert not isinstance(domain, Float)
    if isinstance(domain, Integer):
        return list(range(domain.low, domain.high + 1))
    return list(values_of(domain))


@settings(max_examples=50)
@given(conditional_domains())
def test_the_count_is_that_of_a_full_enumeration(domains: dict[str, Domain]) -> None:
    different = set()
    for values in itertools.product(*map(listed, domains.values())):
        acting: dict[str, Value] = {}
        for (name, domain), value in zip(domains.items(), values, strict=True):
            if holds(domain, acting):
                acting[name] = value
        different.add(tuple((name, repr(value)) for name, value in acting.items()))
    assert assignments(domains) == len(different)


def test_a_real_number_leaves_no_count_unless_it_never_acts() -> None:
    rate = Float(0.1, 0.2, 0.1, only_if={"loss": ("bce",)})
    assert assignments({"loss": Choice(("bce", "full"), "bce"), "rate": rate}) is None
    assert assignments({"loss": Constant("full"), "rate": rate}) == 1
    assert assignments({"rate": Float(0.1, 0.1, 0.1)}) == 1


def test_a_wide_range_is_counted_without_being_listed() -> None:
    wide = Integer(1, 10**15, 1)
    few = Choice(("a", "b", "c"), "a", only_if={"wide": (7,)})
    assert assignments({"wide": wide, "few": few}) == 10**15 + 2
    assert assignments({str(n): Integer(0, 9, 0) for n in range(60)}) == 10**60
