import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from automl_rec_sparsity.exchange import Exchange, exchange_of_all, exchanged, moving_share


def test_the_moving_share_by_hand() -> None:
    found = [moving_share(0.4, passed) for passed in (0.0, 0.5, 1.0, 2.0)]
    assert found == pytest.approx([0.4, 0.2, 0.0, 0.0], abs=1e-12)


def test_the_smallest_gives_way_to_the_worthiest() -> None:
    part = Exchange(
        torch.tensor([3.0, -0.5, 2.0, 0.0, 0.0, 0.0]),
        torch.tensor([True, True, True, False, False, False]),
        torch.tensor([9.0, 9.0, 9.0, 1.0, 5.0, 2.0]),
    )
    kept = exchanged(part, 0.34, torch.Generator(), regrow=False)
    assert kept.tolist() == [True, False, True, False, True, False]
    kept = exchanged(part, 0.34, torch.Generator(), regrow=True)
    assert kept.tolist() == [True, True, True, False, False, False], "its slope is the largest"


@given(
    inside=st.integers(1, 30),
    outside=st.integers(0, 30),
    share=st.floats(0, 1),
    regrow=st.booleans(),
    seed=st.integers(0, 99),
)
def test_as_many_grow_as_are_dropped(
    *,
    inside: int,
    outside: int,
    share: float,
    regrow: bool,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    before = torch.arange(inside + outside) < inside
    values = torch.randn(len(before), generator=generator) * before
    part = Exchange(values, before, torch.rand(len(before), generator=generator))
    kept = exchanged(part, share, generator, regrow=regrow)
    assert int(kept.sum()) == inside
    dropped, grown = before & ~kept, kept & ~before
    assert int(dropped.sum()) == int(grown.sum())
    count = min(round(share * inside), outside)
    assert int(grown.sum()) == count or regrow
    if dropped.any() and not regrow:
        staying = values[kept & before].abs().tolist()
        assert values[dropped].abs().max() <= min(staying, default=torch.inf)


def test_equals_grow_in_random_order() -> None:
    inside = torch.arange(100) < 10
    part = Exchange(inside.float(), inside, torch.zeros(100))
    draws = [
        exchanged(part, 1.0, torch.Generator().manual_seed(seed), regrow=False)
        for seed in range(20)
    ]
    counts = torch.stack(draws).sum(0)[10:]
    assert counts.max() < 10, "each of 90 is drawn in a ninth of 20 draws"
    assert len({tuple(draw.nonzero()[:, 0].tolist()) for draw in draws}) == 20


def test_entries_move_between_matrices() -> None:
    full, empty = torch.ones(4, dtype=torch.bool), torch.zeros(4, dtype=torch.bool)
    first = Exchange(torch.tensor([1.0, 2.0, 3.0, 4.0]), full, torch.zeros(4))
    second = Exchange(torch.zeros(4), empty, torch.tensor([1.0, 7.0, 2.0, 6.0]))
    kept = exchange_of_all([first, second], 0.5, torch.Generator(), regrow=False)
    assert [own.tolist() for own in kept] == [
        [False, False, True, True],
        [False, True, False, True],
    ]
