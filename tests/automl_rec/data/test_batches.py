from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from automl_rec.data import pair_batches as module
from automl_rec.data.batches import batches_of
from automl_rec.plugin import Catalog, Histories, Pairs, Sampling, Sequences
from automl_rec.testing.planted import planted_tiny

three_users = Histories(
    np.array([0, 4, 5, 8]), np.array([5, 1, 3, 1, 2, 0, 2, 4], np.int32)
)  # 5 1 3 1, 2, 0 2 4


def epoch(catalog: Catalog, sampling: Sampling, size: int = 64, seed: int = 0) -> list[Any]:
    return list(batches_of(catalog, sampling, size).epoch(torch.Generator().manual_seed(seed)))


def joined(batches: list[Pairs]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.cat([b.users for b in batches]), torch.cat([b.items for b in batches])


@given(size=st.integers(1, 300), negatives=st.integers(0, 3), seed=st.integers(0, 5))
def test_an_epoch_of_edges_meets_every_different_pair_once(
    size: int, negatives: int, seed: int
) -> None:
    catalog = planted_tiny(seed).catalog
    batches = epoch(catalog, Sampling(negatives=negatives), size, seed)
    users, items = joined(batches)
    assert sorted(zip(users.tolist(), items.tolist(), strict=True)) == sorted(
        zip(*(part.tolist() for part in catalog.matrix.nonzero()), strict=True)
    )
    assert all(len(b.users) == size for b in batches[:-1])
    assert all(b.negatives.shape == (len(b.users), negatives) for b in batches)
    assert len(batches) == len(batches_of(catalog, Sampling(), size))


def test_a_repeated_item_is_one_pair() -> None:
    users, _ = joined(epoch(Catalog(6, three_users), Sampling()))
    assert users.bincount().tolist() == [3, 1, 3]


def test_small_chunks_change_neither_pairs_nor_the_rule_for_negatives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalog = planted_tiny().catalog
    whole = joined(epoch(catalog, Sampling(), 16))
    monkeypatch.setattr(module, "CHUNK_ITEMS", 1)
    batches = epoch(catalog, Sampling(), 16)
    assert all(torch.equal(a, b) for a, b in zip(whole, joined(batches), strict=True))
    met = catalog.matrix.toarray() > 0
    assert not any(met[b.users[:, None], b.negatives].any() for b in batches)


def test_epochs_differ_but_equal_seeds_give_equal_epochs() -> None:
    catalog = planted_tiny().catalog
    batches = batches_of(catalog, Sampling(), 32)
    generator = torch.Generator().manual_seed(3)
    first, second = (joined(cast("list[Pairs]", list(batches.epoch(generator)))) for _ in "12")
    assert not torch.equal(first[0], second[0])
    again = epoch(catalog, Sampling(), 32, seed=3)
    assert torch.equal(first[1], joined(again)[1])


def test_drawing_users_weights_every_user_with_items_equally() -> None:
    histories = Histories(
        np.array([0, 90, 90, 100]), np.r_[np.arange(90), np.arange(10)].astype(np.int32)
    )
    catalog = Catalog(120, histories)
    sampling = Sampling(draw="user")
    drawn = [joined(epoch(catalog, sampling, seed=seed)) for seed in range(20)]
    users, items = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    counts = users.bincount(minlength=3).tolist()
    assert sum(counts) == 2000
    assert counts[1] == 0
    assert abs(counts[0] - counts[2]) < 180  # 4 standard deviations
    assert items[users == 2].unique().tolist() == list(range(10))


def test_shared_negatives_serve_a_whole_batch() -> None:
    sampling = Sampling(negatives=7, sampler="uniform", shared=True)
    batches = epoch(planted_tiny().catalog, sampling, 100)
    assert {b.negatives.shape for b in batches} == {(7,)}
    assert not torch.equal(batches[0].negatives, batches[1].negatives)


def test_shared_negatives_cannot_be_rejected() -> None:
    with pytest.raises(ValueError, match="cannot be rejected for one user"):
        batches_of(planted_tiny().catalog, Sampling(shared=True), 8)


def test_batches_read_histories_from_memory_they_must_not_write() -> None:
    items = three_users.items.copy()
    items.setflags(write=False)
    catalog = Catalog(6, Histories(three_users.indptr, items))
    assert isinstance(epoch(catalog, Sampling("sequences", length=4))[0], Sequences)
    assert isinstance(epoch(catalog, Sampling())[0], Pairs)
