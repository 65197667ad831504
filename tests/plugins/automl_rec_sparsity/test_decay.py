import pytest

from automl_rec_sparsity.decay import Decay, kept_at, weight_at


@pytest.mark.parametrize(
    ("decay", "weights"),
    [
        ("linear", [1.0, 0.75, 0.5, 0.25, 0.0]),
        ("exponential", [1.0, 10**-0.5, 0.1, 10**-1.5, 0.0]),
        ("structural", [0.0] * 5),
    ],
)
def test_the_weight_of_what_is_outside_by_hand(decay: Decay, weights: list[float]) -> None:
    found = [weight_at(decay, passed) for passed in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert found == pytest.approx(weights)


@pytest.mark.parametrize(
    ("kept", "of", "stages"),
    [
        (2, 4, [3, 2]),
        (1, 4, [3, 2, 1]),
        (2, 8, [7, 4, 2]),
        (1, 8, [7, 4, 2, 1]),
        (1, 16, [15, 8, 4, 2, 1]),
    ],
)
def test_the_stages_of_the_structural_decay_are_equal_stretches(
    kept: int, of: int, stages: list[int]
) -> None:
    steps = 60
    found = [kept_at("structural", step / steps, kept, of) for step in range(steps)]
    assert [found.count(stage) for stage in stages] == [steps // len(stages)] * len(stages)
    assert found == sorted(found, reverse=True)
    assert kept_at("structural", 1.0, kept, of) == kept
    assert kept_at("linear", 0.0, kept, of) == kept
