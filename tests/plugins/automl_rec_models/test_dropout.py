import pytest
import torch

from automl_rec_models.dropout import dropout


@pytest.fixture(autouse=True)
def _own_random_numbers() -> object:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("share", [0.1, 0.5, 0.7])
def test_a_share_of_entries_is_zero_and_the_others_are_scaled(share: float) -> None:
    dropped = dropout(torch.ones(101, 997), share)
    assert (dropped == 0).float().mean().item() == pytest.approx(share, abs=0.006)
    kept = dropped[dropped != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - share)), rtol=1e-4, atol=0.0)


def test_neighbours_are_dropped_independently() -> None:
    zero = (dropout(torch.ones(100_000), 0.5) == 0).float()
    for apart in (1, 2, 3, 4):
        both = (zero[:-apart] * zero[apart:]).mean().item()
        assert both == pytest.approx(0.25, abs=0.006)


def test_without_a_share_nothing_is_drawn() -> None:
    states = torch.ones(3)
    before = torch.get_rng_state()
    assert dropout(states, 0.0) is states
    assert torch.equal(torch.get_rng_state(), before)


def test_the_slope_is_the_scale_of_what_is_kept() -> None:
    states = torch.full((50,), 2.0, requires_grad=True)
    dropped = dropout(states, 0.25)
    dropped.sum().backward()
    assert states.grad is not None
    torch.testing.assert_close(states.grad, dropped.detach() / 2)
