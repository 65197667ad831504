import math

import numpy as np
import pytest
import torch

from automl_rec.plugin import PADDING
from automl_rec_embeddings.id_transforms.by_frequency import ByFrequency, equal_shares
from automl_rec_embeddings.id_transforms.hot_rows import HotRows
from automl_rec_embeddings.id_transforms.id_transform import smallest_unsigned
from automl_rec_embeddings.id_transforms.identity import Identity
from automl_rec_embeddings.id_transforms.quotient_remainder import (
    QuotientRemainder,
    prime_from,
    store_sizes,
)
from automl_rec_embeddings.id_transforms.universal_hash import PRIME, UniversalHash

IDS = 2000
COUNTS = np.random.default_rng(0).permutation(IDS)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def collisions(slots: tuple[torch.Tensor, ...]) -> float:
    """Share of pairs of different ids that agree in every slot."""
    codes = torch.zeros(IDS, dtype=torch.int64)
    for own in slots:
        codes = codes * IDS + own
    repeated = codes.unique(return_counts=True)[1].double()
    return float((repeated * (repeated - 1)).sum() / (IDS * (IDS - 1)))


def collisions_at(slots: torch.Tensor, step: int) -> float:
    """Share of pairs of ids at a multiple of a distance that agree in a slot."""
    same = [
        (slots[start::step, None] == slots[None, start::step]).double().sum() - len(slots) / step
        for start in range(step)
    ]
    pairs = len(slots) * (len(slots) / step - 1)
    return float(sum(same) / pairs)


def test_a_hash_follows_its_formula_in_exact_arithmetic() -> None:
    transform = UniversalHash([50, 60], generator())
    ids = torch.tensor([0, 1, 1999, 10**9])
    for j, size in enumerate((50, 60)):
        a, b = transform.coefficients[j].tolist()
        expected = [(a * x + b) % PRIME % size for x in ids.tolist()]
        assert transform(ids)[j].tolist() == expected
        assert 1 <= a < PRIME
        assert 0 <= b < PRIME


def test_pairs_collide_as_seldom_as_chance_with_one_hash_and_with_two() -> None:
    m = 50
    once, twice = [], []
    for seed in range(20):
        slots = UniversalHash([m, m], generator(seed))(torch.arange(IDS))
        once.append(collisions(slots[:1]))
        twice.append(collisions(slots))
    assert np.mean(once) <= 1.1 / m
    assert 0.7 / m**2 <= np.mean(twice) <= 1.3 / m**2


def test_as_many_slots_are_taken_as_random_throws_would_take() -> None:
    m, ids = 500, 1000
    taken = [
        len(UniversalHash([m], generator(seed))(torch.arange(ids))[0].unique())
        for seed in range(50)
    ]
    # m (1 - (1 - 1/m)^n) slots; a pairwise independent hash spreads at least about as well.
    expected = m * (1 - (1 - 1 / m) ** ids)
    deviation = math.sqrt(m * math.exp(-2) * (1 - 3 * math.exp(-2)))
    assert abs(np.mean(taken) - expected) < 3 * deviation


def test_seeds_draw_different_hashes() -> None:
    first, second = (UniversalHash([50], generator(s))(torch.arange(IDS))[0] for s in (0, 1))
    assert not torch.equal(first, second)


def test_hot_ids_have_slots_of_their_own_by_frequency() -> None:
    transform = HotRows(UniversalHash([30], generator()), COUNTS, 20, in_every_store=False)
    (slots,) = transform(torch.arange(IDS))
    hot = np.argsort(-COUNTS)[:20]
    assert slots[torch.from_numpy(hot)].tolist() == list(range(20))
    cold = np.setdiff1d(np.arange(IDS), hot)
    assert slots[torch.from_numpy(cold)].min() >= 20
    assert slots.max() < transform.sizes[0] == 50
    assert transform.remap.dtype == torch.uint8


def test_hot_ids_read_the_second_store_only_where_they_must() -> None:
    hot = torch.from_numpy(np.argsort(-COUNTS)[:20].copy())
    for everywhere in (False, True):
        hashed = UniversalHash([30, 30], generator())
        transform = HotRows(hashed, COUNTS, 20, in_every_store=everywhere)
        assert transform.sizes == (50, 50 if everywhere else 30)
        assert transform.complete == everywhere
        second = transform(torch.arange(IDS))[1]
        assert second[hot].tolist() == (list(range(20)) if everywhere else [PADDING] * 20)
        assert second.max() < transform.sizes[1]


def test_equal_counts_prefer_the_smaller_id() -> None:
    counts = np.array([1, 5, 5, 5])
    transform = HotRows(UniversalHash([2], generator()), counts, 2, in_every_store=False)
    assert transform(torch.tensor([1, 2]))[0].tolist() == [0, 1]
    assert transform(torch.tensor([3]))[0].item() >= 2


def test_identity_is_the_id() -> None:
    ids = torch.tensor([3, 1])
    assert Identity(5)(ids)[0].tolist() == [3, 1]
    assert Identity(5).sizes == (5,)


@pytest.mark.parametrize("divisor", [1, 2, 4, 37, 44, 45, 46, 500, 1999, 2000])
@pytest.mark.parametrize("ids", [IDS, 1999, 1])
def test_no_two_ids_have_the_same_quotient_and_remainder(ids: int, divisor: int) -> None:
    divisor = min(divisor, ids)
    transform = QuotientRemainder(ids, divisor, generator())
    first, second = transform(torch.arange(ids))
    assert len(torch.stack([first, second]).unique(dim=1).T) == ids
    assert transform.sizes == store_sizes(ids, divisor)
    assert first.min() >= 0
    assert second.min() >= 0
    assert first.max() < transform.sizes[0]
    assert second.max() < transform.sizes[1]


def test_quotients_and_remainders_take_the_rows_of_the_formula() -> None:
    assert store_sizes(1000, 37) == (37, 28)  # ceil(1000 / 37) + 37 = 65 rows, the fewest
    assert store_sizes(1000, 4) == (250, 4)
    assert store_sizes(1000, 250) == (250, 4)
    assert min(sum(store_sizes(1000, m)) for m in range(1, 1001)) == 64
    assert sum(store_sizes(1000, 32)) == 64


def test_a_quotient_is_shared_by_as_many_ids_as_the_divisor_says() -> None:
    for ids, divisor in ((2000, 4), (1999, 7), (1009, 20)):
        quotients = QuotientRemainder(ids, divisor, generator())(torch.arange(ids))[0]
        shared = quotients.bincount()
        assert shared.max() == divisor
        assert shared.sum() == ids


def test_quotients_follow_their_formula_after_the_shuffle() -> None:
    transform = QuotientRemainder(1000, 4, generator())
    a, b = transform.shuffle.tolist()
    first, second = transform(torch.arange(1000))
    shuffled = []
    for x in range(1000):
        place = (a * x + b) % 1009
        while place >= 1000:
            place = (a * place + b) % 1009
        shuffled.append(place)
    assert sorted(shuffled) == list(range(1000))
    assert first.tolist() == [y // 4 for y in shuffled]
    assert second.tolist() == [y % 4 for y in shuffled]


def test_the_least_prime_from_a_number() -> None:
    found = [prime_from(n) for n in (1, 2, 3, 4, 9, 1000, 1009, 10_000_000)]
    assert found == [2, 2, 3, 5, 11, 1009, 1009, 10_000_019]


@pytest.mark.parametrize("divisor", [4, 250])
def test_ids_at_equal_distances_share_a_row_as_seldom_as_any_others(divisor: int) -> None:
    found = []
    for seed in range(50):
        slots = QuotientRemainder(1000, divisor, generator(seed))(torch.arange(1000))[0]
        found.append(collisions_at(slots, 10))
    assert np.mean(found) == pytest.approx(3 / 999, rel=0.8)  # each shares its row with 3 others


def test_ids_near_each_other_share_a_quotient_as_seldom_as_any_others() -> None:
    ids, divisor, together = 5000, 10, []
    for seed in range(30):
        quotients = QuotientRemainder(ids, divisor, generator(seed))(torch.arange(ids))[0]
        together.append(float((quotients[1:] == quotients[:-1]).double().mean()))
    # Unshuffled, nine neighbours of ten would; of random pairs, nine of 4,999.
    assert np.mean(together) < 0.02


def test_a_shuffle_of_ten_million_ids_is_two_numbers() -> None:
    transform = QuotientRemainder(10_000_000, 4, generator())
    assert sum(t.numel() for t in transform.state_dict().values()) == 2
    first, second = transform(torch.tensor([0, 9_999_999]))
    a, b = transform.shuffle.tolist()
    assert int(first[1]) * 4 + int(second[1]) == (a * 9_999_999 + b) % 10_000_019


def test_places_follow_frequency() -> None:
    transform = ByFrequency(np.array([1, 7, 0, 7, 3]))
    assert transform(torch.arange(5))[0].tolist() == [3, 0, 4, 1, 2]
    assert transform.place.dtype == torch.uint8
    assert ByFrequency(COUNTS).place.dtype == torch.uint16
    assert transform.levels() == {"place": 5}


def test_blocks_share_the_events() -> None:
    assert equal_shares(np.array([1, 1, 4, 2]), 2) == [1, 3]  # 4 events and 4
    assert equal_shares(np.array([1, 1, 1, 1, 0, 0]), 2) == [2, 4]
    assert equal_shares(np.array([9, 1, 0]), 4) == [1, 2]  # one id holds three of the shares
    assert equal_shares(np.array([5]), 3) == [1]
    counts = 100_000 // np.arange(1, 5001)
    sizes = equal_shares(counts, 8)
    assert sum(sizes) == 5000
    events = np.add.reduceat(counts, np.cumsum([0, *sizes[:-1]]))
    assert events.max() - events.min() <= counts[0]
    assert sizes == sorted(sizes)


def test_the_smallest_type_that_holds_a_number() -> None:
    types = [smallest_unsigned(n) for n in (0, 255, 256, 65535, 65536)]
    assert types == [torch.uint8, torch.uint8, torch.uint16, torch.uint16, torch.uint32]
