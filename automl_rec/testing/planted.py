"""Small interactions and rows with a known structure, drawn from a seed."""

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from automl_rec.plugin import Catalog, Feature, Histories, RowTable

Number = TypeVar("Number", bound=np.generic)

IN_OWN_BLOCK = 0.85
POPULARITY_EXPONENT = -0.6
FOLLOWS_CYCLE = 0.9
TAG_PROBABILITY = 0.25
PAIR_EFFECT = 1.5


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
    """`planted_interactions` of 60 users and 40 items with features, for many combinations."""
    planted = planted_interactions(seed, users=60, items=40, blocks=4, events=9, heldout=2)
    return Planted(planted_features(planted.catalog, blocks=4), planted.heldout)


def planted_features(catalog: Catalog, *, blocks: int) -> Catalog:
    """The catalog of `planted_interactions` with a feature of each kind that tells the block.

    One user or item in ten or so lacks each of them: users have ``group`` (categorical), items
    ``kind`` (categorical), ``tags`` (multi: the block and the rank in it, by fives), ``size``
    (numeric) and ``place`` (vector: a point of a circle).

    Args:
        catalog: with items in ``blocks`` blocks.
        blocks: number of blocks.
    """
    users, items = np.arange(catalog.num_users), np.arange(catalog.num_items)
    group = np.where(users % 10 == 9, -1, users % blocks).astype(np.int32)
    kind = np.where(items % 11 == 10, -1, items % blocks).astype(np.int32)
    size = np.where(items % 9 == 8, np.nan, 100 + 7 * (items % blocks)).astype(np.float32)
    angles = 2 * np.pi * (items % blocks) / blocks
    place = np.stack([np.cos(angles), np.sin(angles)], 1) * (items % 7 != 6)[:, None]
    tagged = np.arange(blocks) == (items % blocks)[:, None]
    fifth = np.arange(-(-catalog.num_items // (5 * blocks))) == (items // (5 * blocks))[:, None]
    item_features = {
        "kind": Feature("categorical", _mapped(kind), blocks),
        "tags": _several(np.hstack([tagged, fifth]) & (items % 8 != 7)[:, None], first=0),
        "size": Feature("numeric", _mapped(size)),
        "place": Feature("vector", _mapped(place.astype(np.float32)), 2),
    }
    user_features = {"group": Feature("categorical", _mapped(group), blocks)}
    return replace(catalog, user_features=user_features, item_features=item_features)


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


def planted_rows(seed: int = 0, rows: int = 4000) -> tuple[Catalog, RowTable]:
    """Train rows, and a quarter as many held out, whose labels follow a logistic law.

    Fields are ``user`` (30 users), ``item`` (20), ``device`` (3), ``tags`` (any of 6) and
    ``price`` (numeric). The log-odds are effects of single values, and a product of hidden vectors
    of user and item that weighs more: a model of pairs should do clearly better than one of single
    values, and that clearly better than a guess.

    Args:
        seed: source of everything drawn.
        rows: number of train rows R.
    """
    generator = np.random.default_rng(seed)
    total = rows + rows // 4
    user, item, device = (generator.integers(1, n + 1, total) for n in (30, 20, 3))
    price = generator.standard_normal(total)
    tagged = generator.random((total, 6)) < TAG_PROBABILITY
    hidden_user, hidden_item = (generator.standard_normal((n + 1, 2)) for n in (30, 20))
    odds = PAIR_EFFECT * (hidden_user[user] * hidden_item[item]).sum(1)
    odds += 0.5 * generator.standard_normal(21)[item] + 0.5 * generator.standard_normal(4)[device]
    odds += 0.5 * price + tagged @ (0.5 * generator.standard_normal(6))
    labels = (generator.random(total) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    codes = {"user": (user, 31), "item": (item, 21), "device": (device, 4)}

    def part(start: int, stop: int) -> RowTable:
        fields = {
            name: Feature("categorical", _mapped(values[start:stop].astype(np.int32)), cardinality)
            for name, (values, cardinality) in codes.items()
        }
        fields["tags"] = _several(tagged[start:stop])
        fields["price"] = Feature("numeric", _mapped(price[start:stop].astype(np.float32)))
        groups = fields["user"].values.astype(np.int32)
        return RowTable(fields, _mapped(labels[start:stop]), _mapped(groups))

    nobody = Histories(np.zeros(1, np.int64), np.empty(0, np.int32))
    return Catalog(0, nobody, rows=part(0, rows)), part(rows, total)


def _several(chosen: npt.NDArray[np.bool_], first: int = 1) -> Feature:
    """A multi-valued feature or field (N, V), whose values are numbered from ``first``."""
    indptr = np.concatenate([[0], np.cumsum(chosen.sum(1))])
    values = chosen.nonzero()[1].astype(np.int32) + first
    return Feature("multi", _mapped(values), chosen.shape[1] + first, _mapped(indptr))


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
    return Histories(_mapped(indptr), _mapped(met.reshape(-1).astype(np.int32)))


def _mapped(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """A copy that cannot be written to, as prepared data cannot, which are memory-mapped."""
    copy = values.copy()
    copy.setflags(write=False)
    return copy
