import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from automl_rec.plugin import Catalog, Feature, Histories
from automl_rec_models.sequential.diversity import Diversity

NOBODY = Histories(np.array([0]), np.empty(0, np.int32))


def diversity_of(feature: Feature, weight: float) -> Diversity:
    numbers = Feature("numeric", np.zeros(len(feature.values), np.float32))
    features = {"price": numbers, "kind": feature}
    return Diversity.of(Catalog(len(feature.values), NOBODY, item_features=features), weight)


def categorical(values: list[int]) -> Feature:
    return Feature("categorical", np.array(values, np.int32), max(values) + 1)


def slowly(
    items: list[int], scores: list[float], sets: list[set[int]], k: int, w: float
) -> list[int]:
    """The greedy choice as the source states it: pairs that differ are worth w."""
    chosen: list[int] = []
    for _ in range(k):
        left = [n for n in range(len(items)) if items[n] >= 0 and items[n] not in chosen]
        if not left:
            return chosen + [-1] * (k - len(chosen))
        gains = [
            scores[n] + w * sum(not sets[items[n]] & sets[other] for other in chosen) for n in left
        ]
        chosen.append(items[left[gains.index(max(gains))]])
    return chosen


def drawn(seed: int, items: int, users: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shown = torch.stack([torch.randperm(items, generator=generator) for _ in range(users)])
    scores = torch.randn(users, items, generator=generator).sort(1, descending=True).values
    return shown, scores


@given(
    sets=st.lists(st.sets(st.integers(0, 4), max_size=3), min_size=6, max_size=12),
    weight=st.floats(0.01, 3),
    seed=st.integers(0, 99),
)
def test_it_is_the_slow_greedy_choice(sets: list[set[int]], weight: float, seed: int) -> None:
    indptr = np.cumsum([0, *map(len, sets)])
    values = np.array([value for each in sets for value in sorted(each)], np.int32)
    features = {"genres": Feature("multi", values, 5, indptr)}
    diversity = Diversity.of(Catalog(len(sets), NOBODY, item_features=features), weight)
    items, scores = drawn(seed, len(sets), 3)
    items[1, 3:], scores[1, 3:] = -1, -torch.inf  # a user for whom few items were left
    chosen = diversity.choose(items, scores.double(), 5).tolist()
    rows = zip(items.tolist(), scores.double().tolist(), strict=True)
    assert chosen == [slowly(row, values, sets, 5, weight) for row, values in rows]


def test_a_weight_of_nothing_leaves_the_best_scores() -> None:
    items, scores = drawn(0, 9, 4)
    chosen = diversity_of(categorical([0] * 9), 0.0).choose(items, scores, 6)
    assert torch.equal(chosen, items[:, :6])


def test_items_without_a_value_differ_from_all() -> None:
    diversity = diversity_of(categorical([0, 0, -1, -1, 0]), 100.0)
    items, scores = torch.tensor([[0, 1, 2, 3, 4]]), torch.tensor([[5.0, 4, 3, 2, 1]])
    assert diversity.choose(items, scores, 5).tolist() == [[0, 2, 3, 1, 4]]


def test_a_larger_weight_never_lowers_the_mean_diversity() -> None:
    kinds = torch.arange(60) % 5
    items, scores = drawn(3, 60, 200)
    found = []
    for weight in (0.0, 0.1, 0.3, 1.0, 3.0, 10.0):
        chosen = diversity_of(categorical(kinds.tolist()), weight).choose(items, scores, 10)
        of = kinds[chosen]
        found.append(float((of[:, :, None] != of[:, None, :]).float().mean()))
    assert found == sorted(found)
    assert found[-1] > found[0]
