"""A sparsity with as many entries in every row."""

from collections.abc import Mapping
from functools import partial

import torch

from automl_rec.plugin import Form, Interval, Leaf, Matrix, Sparsity, Weight, keep, map_leaves


class BestOfRow(Sparsity):
    """Keeps the ``entries`` largest absolute values of every row, or all of a narrower row.

    Of equal values the first stays. A weight that is sparse by nature gains no entry.

    Source: Acme's own, after magnitude pruning.
    """

    def __init__(self, entries: int) -> None:
        self.entries = entries

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """See `Sparsity.price`; exact for dense weights."""
        return {name: form.map_leaves(self._priced) for name, form in forms.items()}

    def compress(self, weights: Mapping[str, Weight]) -> None:
        """See `Sparsity.compress`."""
        for weight in weights.values():
            kept = partial(self._kept, sparse=weight.limit is not None)
            weight.matrix = map_leaves(weight.matrix, kept)

    def _priced(self, leaf: Leaf) -> Leaf:
        present = leaf.entries
        return leaf.kept(Interval(self._fewest(leaf, present.low), self._most(leaf, present.high)))

    def _fewest(self, leaf: Leaf, present: float) -> float:
        """What stays if the entries present stand in as few rows as they can."""
        rows, rest = divmod(present, max(leaf.columns.low, 1))
        return rows * min(self.entries, leaf.columns.low) + min(self.entries, rest)

    def _most(self, leaf: Leaf, present: float) -> float:
        """What stays if they are spread over all rows."""
        return min(present, leaf.rows.high * min(self.entries, leaf.columns.high))

    def _kept(self, leaf: Matrix, *, sparse: bool) -> Matrix:
        values = leaf.dense()
        order = values.abs().argsort(dim=1, descending=True, stable=True)
        kept = torch.zeros_like(values, dtype=torch.bool)
        kept.scatter_(1, order[:, : self.entries], value=True)
        return keep(values, kept & (values != 0) if sparse else kept)
