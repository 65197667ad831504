"""Small interactions with a known structure, drawn from a seed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from automl_rec.plugin import Catalog, Histories

IN_OWN_BLOCK = 0.85
POPULARITY_EXPONENT = -0.6
FOLLOWS_CYCLE = 0.9


@dataclass(frozen=True, slots=True)
class Planted:
    """Interactions whose structure is known.

    Attributes:
        catalog: the train part.
        heldout: what every user met beside it.
    """

    catalog: Catalog
    heldout: Histories


def planted_interactions(
    seed: int = 0,
    *,
    users: int = 600,
    items: int = 400,
    blocks: int = 8,
    events: int = 30,
    heldout: int = 6,
) -> Planted:
    """Users who mostly stay in one block of items.

    Item i is in block ``i % blocks``, user u prefers block ``u % blocks`` with 85 % of his
    probability; within a block popularity falls as ``(1 + rank) ** -0.6``. A collaborative model
    should reach a multiple of the NDCG@10 of popularity.

    Args:
        seed: source of everything drawn.
        users: number of users U.
        items: number of items I.
        blocks: number of blocks.
        events: different items each user meets.
        heldout: how many of them, drawn at random, are held out.
    """
    generator = np.random.default_rng(seed)
    probability = _preferences(users, items, blocks)
    # The largest of log-probability plus Gumbel noise are a draw without replacement.
    noise = generator.gumbel(size=probability.shape)
    met = np.argsort(-(np.log(probability) + noise), axis=1)[:, :events]
    met = generator.permuted(met, axis=1)
    train = _histories(met[:, heldout:])
    return Planted(Catalog(items, train), _histories(met[:, :heldout]))


def planted_tiny(seed: int = 0) -> Planted:
    """`planted_interactions` of 60 users and 40 items, for tests of many combinations."""
    return planted_interactions(seed, users=60, items=40, blocks=4, events=9, heldout=2)


def planted_sequences(
    seed: int = 0, *, users: int = 400, items: int = 100, events: int = 13
) -> Planted:
    """Users who follow one fixed cycle through all items, and jump anywhere one time in ten.

    Held out is the item that follows a user's last train item on the cycle, for the users who have
    not met it before: a sequential model should put it first.

    Args:
        seed: source of everything drawn.
        users: number of users U.
        items: number of items I.
        events: items of each user, the held-out one included.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(items)
    following = np.empty(items, np.int64)
    following[order] = np.roll(order, -1)
    met = np.empty((users, events - 1), np.int64)
    met[:, 0] = generator.integers(items, size=users)
    for step in range(1, events - 1):
        jumps = generator.random(users) >= FOLLOWS_CYCLE
        anywhere = generator.integers(items, size=users)
        met[:, step] = np.where(jumps, anywhere, following[met[:, step - 1]])
    expected = following[met[:, -1]]
    unknown = ~(met == expected[:, None]).any(1)
    indptr = np.concatenate([[0], np.cumsum(unknown)])
    heldout = Histories(indptr, expected[unknown].astype(np.int32))
    return Planted(Catalog(items, _histories(met)), heldout)


def _preferences(users: int, items: int, blocks: int) -> npt.NDArray[np.float64]:
    """(U, I) probabilities, rows sum to 1."""
    popularity = (1.0 + np.arange(items) // blocks) ** POPULARITY_EXPONENT
    own = np.arange(users)[:, None] % blocks == np.arange(items) % blocks
    inside = np.where(own, popularity, 0.0)
    outside = np.where(own, 0.0, popularity)
    inside /= inside.sum(1, keepdims=True)
    outside /= outside.sum(1, keepdims=True)
    return IN_OWN_BLOCK * inside + (1 - IN_OWN_BLOCK) * outside


def _histories(met: npt.NDArray[np.int64]) -> Histories:
    """Histories of the items (U, L) of users who met equally many."""
    indptr = np.arange(len(met) + 1) * met.shape[1]
    return Histories(indptr, met.reshape(-1).astype(np.int32))
