import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_rec_sparsity.schedule import CubicSchedule, progress


def test_the_cubic_by_hand() -> None:
    schedule = CubicSchedule(density=0.2, start=0.1, end=0.5)
    # s = 0.8 (1 - (1 - t)^3) at t = 1/4, 1/2, 3/4, 1
    expected = [1 - 0.8 * (1 - c) for c in (0.421875, 0.125, 0.015625, 0.0)]
    assert [schedule.density_at(at) for at in (0.2, 0.3, 0.4, 0.5)] == pytest.approx(expected)
    assert schedule.density_at(0.05) == schedule.density_at(0.1) == 1.0
    assert schedule.density_at(0.9) == pytest.approx(0.2)


def test_progress_runs_from_start_to_end() -> None:
    found = [progress(passed, 0.2, 0.6) for passed in (0.0, 0.2, 0.3, 0.6, 1.0)]
    assert found == pytest.approx([0.0, 0.0, 0.25, 1.0, 1.0])
    assert progress(0.5, 0.5, 0.5) == 1.0


@given(
    st.floats(0.001, 1),
    st.floats(0, 0.5),
    st.floats(0.5, 1),
    st.lists(st.floats(0, 1), min_size=2, max_size=20),
)
def test_density_only_falls(density: float, start: float, end: float, moments: list[float]) -> None:
    schedule = CubicSchedule(density, start, end)
    densities = [schedule.density_at(passed) for passed in sorted(moments)]
    assert densities == sorted(densities, reverse=True)
    assert densities[-1] >= density - 1e-9
