"""Lists that trade scores for different categories."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from automl_rec.plugin import PADDING, Catalog, Feature, Infeasible


@dataclass(frozen=True, slots=True)
class Diversity:
    """Greedy choice of a list with a large sum of scores and of pairs that differ in category.

    Source: Cen et al., KDD 2020, section 3.3 (controllable aggregation). Two items differ unless
    they share a value of the feature; one without a value differs from all.

    Attributes:
        categories: (I, M) int64 values of each item, padded with `PADDING`.
        weight: what a pair that differs is worth, in units of scores.
    """

    categories: Tensor
    weight: float

    @classmethod
    def of(cls, catalog: Catalog, weight: float) -> "Diversity":
        """Diversity by the first categorical or multi-valued feature of the items.

        Raises:
            Infeasible: the items have no such feature.
        """
        features = catalog.item_features.values()
        first = next((part for part in features if part.kind in {"categorical", "multi"}), None)
        if first is None:
            raise Infeasible(
                f"diversity {weight:g} needs a categorical or multi-valued feature of the items, "
                f"got none. Add data.item_features, or leave diversity at 0."
            )
        return cls(_values(first), weight)

    def choose(self, items: Tensor, scores: Tensor, k: int) -> Tensor:
        """See `automl_rec.plugin.RetrievalModel.choose`."""
        rows = torch.arange(len(items))
        values = scores.masked_fill(items < 0, -torch.inf)
        categories = self.categories[items.clamp(min=0)].masked_fill_(
            items[:, :, None] < 0, PADDING
        )
        chosen = []
        for _ in range(k):
            place = values.argmax(1)
            exhausted = values[rows, place] == -torch.inf
            chosen.append(items[rows, place].masked_fill(exhausted, PADDING))
            # A pair that differs gains as much as one that is alike loses.
            values = values - self.weight * _alike(categories, categories[rows, place])
            values[rows, place] = -torch.inf
        return torch.stack(chosen, 1)


def _alike(categories: Tensor, chosen: Tensor) -> Tensor:
    """(B, C) bool, whether categories (B, C, M) share a value with those chosen (B, M)."""
    equal = categories[:, :, :, None] == chosen[:, None, None, :]
    return (equal & (chosen >= 0)[:, None, None, :]).flatten(2).any(2)


def _values(feature: Feature) -> Tensor:
    """(N, M) int64 values of each id, padded with `PADDING`."""
    values = np.asarray(feature.values, np.int64)
    if feature.indptr is None:
        return torch.from_numpy(values[:, None])
    lengths = np.diff(feature.indptr)
    padded = np.full((len(lengths), max(int(lengths.max(initial=0)), 1)), PADDING)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = values
    return torch.from_numpy(padded)
