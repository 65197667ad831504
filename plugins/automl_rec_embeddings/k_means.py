"""K-means: a few centres near many vectors."""

import torch
from torch import Tensor

ROUNDS = 10
SAMPLED = 64
"""Vectors a centre is sought from, on average; the others only choose among centres."""
DRAWN = 8
"""Vectors a centre is first drawn from, on average."""
CHUNK_ROWS = 512
"""Whose distances stay in the cache of a processor."""


def k_means(vectors: Tensor, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Centres, each the mean of its vectors, and the centre of every vector.

    Lloyd's rounds on a sample, from the draw of k-means++ (Arthur and Vassilvitskii, 2007); a
    centre that loses all of its vectors moves to the one farthest from its own centre. Then every
    vector chooses once.

    Args:
        vectors: (N, D) with N >= 1.
        size: number of centres K; some have no vector if fewer vectors are different.
        generator: of the draw.

    Returns:
        Centres (K, D), and (N,) int64 numbers of centres.
    """
    order = torch.randperm(len(vectors), generator=generator)
    sample = vectors[order[: size * SAMPLED]]
    centres = _drawn(sample[: size * DRAWN], size, generator)
    chosen = torch.full((len(sample),), -1)
    for _ in range(ROUNDS):
        before, (chosen, distances) = chosen, nearest(sample, centres)
        if torch.equal(before, chosen):
            break
        centres, idle = _means(sample, chosen, centres)
        farthest = distances.topk(min(int(idle.sum()), len(sample))).indices
        centres[idle.nonzero()[: len(farthest), 0]] = sample[farthest]
    chosen, _ = nearest(vectors, centres)
    return _means(vectors, chosen, centres)[0], chosen


def nearest(vectors: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """The centre nearest to every vector (N,) int64, and the squared distance (N,) to it.

    Distances that are equal but for their last bits, as many as number the centres, are ties, and
    the first centre wins: those bits hold its number, because torch takes several times longer
    to find the least and its place together.
    """
    offsets, numbers = centres.square().sum(1), torch.arange(len(centres), dtype=torch.int32)
    low = (1 << max(len(centres) - 1, 0).bit_length()) - 1
    found = []
    for chunk in vectors.split(CHUNK_ROWS):
        distances = torch.addmm(offsets, chunk, centres.T, alpha=-2)
        distances.add_(chunk.square().sum(1, keepdim=True)).clamp_(min=0)
        found.append(distances.view(torch.int32).bitwise_and_(~low).bitwise_or_(numbers).amin(1))
    least = torch.cat(found)
    return (least & low).long(), (least & ~low).view(torch.float32)


def _drawn(vectors: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Vectors (K, D), each drawn in proportion to the squared distances from those before."""
    distances = torch.full((len(vectors),), torch.inf)
    drawn = [torch.zeros((), dtype=torch.int64)]
    for _ in range(size - 1):
        distances = distances.minimum((vectors - vectors[drawn[-1]]).square().sum(1))
        # With no distance left, one vector is as good as another.
        odds = distances if bool(distances.any()) else torch.ones_like(distances)
        drawn.append(odds.multinomial(1, generator=generator)[0])
    return vectors[torch.stack(drawn)]


def _means(vectors: Tensor, chosen: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the vectors of every centre, and which (K,) have none and stay where they are."""
    counts = torch.bincount(chosen, minlength=len(centres))
    sums = torch.zeros_like(centres).index_add_(0, chosen, vectors)
    idle = counts == 0
    return torch.where(idle[:, None], centres, sums / counts.clamp(min=1)[:, None]), idle
