import time

import pytest

from automl_rec.search.loop import Limits


def test_without_a_budget_nothing_ends_a_trial() -> None:
    limits = Limits()
    assert limits.trial_limit(0.0) is None
    assert limits.end() is None


def test_a_training_ends_with_its_share_and_a_trial_with_its_own_limit() -> None:
    limits = Limits(time.monotonic() + 1000, 30.0, 10.0)
    assert limits.trial_limit(0.0) == 10.0
    assert limits.end() == 30.0


def test_no_trial_outlives_the_study() -> None:
    limits = Limits(time.monotonic() + 8, 30.0, 10.0)
    assert limits.trial_limit(0.0) == pytest.approx(8, abs=0.5)
    assert limits.end() == pytest.approx(8, abs=0.5)
    assert Limits(time.monotonic() - 1).end() == 0.0


def test_time_to_measure_is_kept_free() -> None:
    limits = Limits(time.monotonic() + 8)
    assert limits.trial_limit(1.0) == pytest.approx(7, abs=0.5)
    assert limits.trial_limit(100.0) == pytest.approx(6, abs=0.5)
