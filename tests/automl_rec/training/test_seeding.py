import torch

from automl_rec.training.seeding import generator_for, seed_for


def test_seeds_differ_by_seed_and_by_purpose_and_fit_torch() -> None:
    seeds = {seed_for(seed, purpose) for seed in range(50) for purpose in ("batches", "model")}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_generator_repeats() -> None:
    first, second = (torch.rand(4, generator=generator_for(7, "batches")) for _ in range(2))
    assert torch.equal(first, second)
