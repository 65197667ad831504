import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_rec_sparsity.schedule import CubicSchedule


def test_the_cubic_by_hand() -> None:
    schedule = CubicSchedule(density=0.2, first=10, last=30, every=5)
    # s = 0.8 (1 - (1 - t)^3) at t = 1/4, 1/2, 3/4, 1
    expected = [1 - 0.8 * (1 - c) for c in (0.421875, 0.125, 0.015625, 0.0)]
    assert [schedule.density_at(step) for step in (15, 20, 25, 30)] == pytest.approx(expected)
    assert [step for step in range(40) if schedule.updates_at(step)] == [15, 20, 25, 30]


def test_the_last_step_updates_whatever_the_rhythm() -> None:
    schedule = CubicSchedule(density=0.2, first=0, last=10, every=4)
    assert [step for step in range(20) if schedule.updates_at(step)] == [4, 8, 10]


@given(
    st.integers(1, 500),
    st.floats(0.001, 1),
    st.floats(0, 0.5),
    st.floats(0.5, 1),
    st.integers(1, 1000),
)
def test_density_falls_to_its_end_within_the_training(
    total: int, density: float, start: float, end: float, every: int
) -> None:
    schedule = CubicSchedule.over(total, density, start, end, every)
    steps = [step for step in range(1, total + 1) if schedule.updates_at(step)]
    densities = [schedule.density_at(step) for step in steps]
    assert densities[-1] == pytest.approx(density)
    assert densities == sorted(densities, reverse=True)
    assert steps[-1] <= max(round(end * total), 1)
