"""The entries that matter most for what a weight is multiplied with."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Literal

from torch import Tensor

from automl_rec.plugin import Form, Matrix, Pattern, Sparsity, Weight, keep, map_leaves
from automl_rec_sparsity.bounds import kept_of_each_row
from automl_rec_sparsity.groups import largest_of_groups, largest_present
from automl_rec_sparsity.kept_share import stored_entries
from automl_rec_sparsity.selection import of_row
from automl_rec_sparsity.swaps import Inputs, swapped, wanda_scores
from automl_rec_sparsity.watching import MultipliedMatrix


class DsNot(Sparsity):
    """Keeps as many entries of every row, once after training, by what meets them in service.

    Of a row the entries of largest ``|W_ij|`` times the root mean square of input j stay (Wanda).
    Then entries swap places until what the others would add to the row's product is near 0 in the
    mean (dynamic sparse no training). No value changes. Every row keeps
    ``round(density * columns)`` entries, at least one, or all it has; ties go to the first.

    Inputs are those of the train part before anything is pruned: of linears, of tables that score,
    where queries are the inputs, and of the factor of a product that is multiplied last. What is
    only looked up or summed up, the other factor, grids, a GRU's weights, which torch's kernel
    multiplies, and weights stored sparse keep the largest of each row, and nothing swaps.

    Where inputs have mean 0, behind a normalisation say, Wanda's choice stays as it is. Where means
    are small beside the spread, or rows short, swaps may lose a little: 0 cycles leave them out.

    Source: Sun et al., ICLR 2024 (Wanda); Zhang et al., ICLR 2024 (DSnoT), without its patterns of
    N in M. Ours has means of inputs where that has sums, so that near 0 is relative: see `swapped`.
    """

    def __init__(
        self, density: float, cycles: int = 50, start: Literal["wanda", "magnitude"] = "wanda"
    ) -> None:
        """Sets the scheme.

        Args:
            density: share of entries that stays.
            cycles: swaps of a row at most; 0 leaves the first choice as it is.
            start: which entries are chosen first, where inputs are seen.
        """
        self._density, self._cycles, self._by_size = density, cycles, start == "magnitude"
        self._seen: dict[str, list[Inputs | None]] = {}

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """See `Sparsity.price`; exact for weights that are not stored sparse."""
        return kept_of_each_row(forms, self._density)

    def calibrate(self, weights: Mapping[str, Weight], answer: Callable[[], None]) -> None:
        """See `Sparsity.calibrate`."""
        stored = {name: w.matrix for name, w in weights.items() if w.limit is None}
        watched: dict[str, list[MultipliedMatrix]] = {name: [] for name in stored}
        for name, matrix in stored.items():
            weights[name].matrix = map_leaves(matrix, partial(_watched, notes=watched[name]))
        answer()
        for name, matrix in stored.items():
            weights[name].matrix = matrix
        self._seen = {name: [leaf.inputs for leaf in found] for name, found in watched.items()}

    def compress(self, weights: Mapping[str, Weight]) -> None:
        """See `Sparsity.compress`."""
        for name, weight in weights.items():
            if weight.limit is not None:
                matrix = stored_entries(weight.matrix)
                matrix.data[~largest_present(matrix, self._rows(weight.columns))] = 0.0
                weight.assign(matrix)
                continue
            kept = partial(self._kept, seen=iter(self._seen[name]))
            weight.matrix = map_leaves(weight.matrix, kept)

    def _kept(self, leaf: Matrix, seen: Iterator[Inputs | None]) -> Matrix:
        values = leaf.dense()
        return keep(values, self._chosen(values, next(seen)))

    def _chosen(self, values: Tensor, inputs: Inputs | None) -> Tensor:
        rows = self._rows(values.shape[1])
        if inputs is None:
            return largest_of_groups(values, rows)
        scores = values if self._by_size else wanda_scores(values, inputs)
        return swapped(values, largest_of_groups(scores, rows), inputs, self._cycles)

    def _rows(self, columns: int) -> Pattern:
        """Every row as one group."""
        return Pattern(of_row(self._density, columns), columns)


def _watched(leaf: Matrix, notes: list[MultipliedMatrix]) -> Matrix:
    notes.append(MultipliedMatrix(leaf))
    return notes[-1]
