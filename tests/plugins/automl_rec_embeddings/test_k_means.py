import numpy as np
import torch
from torch import Tensor

from automl_rec_embeddings.k_means import k_means, nearest


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(rows: int, width: int) -> Tensor:
    return torch.randn(rows, width, generator=generator(1))


def test_the_nearest_centre_is_that_of_the_least_distance() -> None:
    vectors, centres = drawn(50, 4), drawn(7, 4) + 0.5
    distances = torch.cdist(vectors, centres, compute_mode="donot_use_mm_for_euclid_dist")
    chosen, squared = nearest(vectors, centres)
    assert torch.equal(chosen, distances.argmin(1))
    assert torch.allclose(squared, distances.min(1).values.square(), atol=1e-5)


def test_the_first_of_equally_near_centres_is_chosen() -> None:
    centres = drawn(5, 4).repeat(60, 1)
    chosen, squared = nearest(centres, centres)
    assert torch.equal(chosen, torch.arange(300) % 5)
    assert squared.max() < 1e-5


def test_every_centre_is_the_mean_of_the_vectors_that_chose_it() -> None:
    vectors = drawn(3000, 4)
    for rows in (300, 3000):  # all of them in the sample, and not
        centres, chosen = k_means(vectors[:rows], 8, generator())
        for code in range(8):
            mean = vectors[:rows][chosen == code].mean(0)
            assert torch.allclose(centres[code], mean, atol=1e-5)


def test_clusters_far_apart_are_found() -> None:
    places = torch.arange(12).repeat_interleave(30)
    vectors = 100.0 * drawn(12, 5)[places] + drawn(360, 5)
    _, chosen = k_means(vectors, 12, generator())
    assert len(np.unique(np.stack([places, chosen]), axis=1).T) == 12


def test_as_many_centres_as_different_vectors_hold_them_exactly() -> None:
    different = drawn(9, 3)
    vectors = different[torch.arange(9).repeat(40)]
    for size in (9, 20):
        centres, chosen = k_means(vectors, size, generator())
        assert torch.allclose(centres[chosen], vectors, atol=1e-6)
        assert centres.isfinite().all()


def test_fewer_vectors_than_centres_are_served() -> None:
    centres, chosen = k_means(drawn(3, 2), 5, generator())
    assert torch.allclose(centres[chosen], drawn(3, 2))


def test_the_same_draw_gives_the_same_centres() -> None:
    first, second = (k_means(drawn(200, 3), 6, generator(4)) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
