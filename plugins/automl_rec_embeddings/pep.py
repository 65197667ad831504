"""Thresholds learned with the rows, and a second training of the entries above them."""

from typing import TYPE_CHECKING

from automl_rec.plugin import Field, Weight
from automl_rec_embeddings.pruning import PrunedEmbedding
from automl_rec_embeddings.row_stores.selection import Entries
from automl_rec_embeddings.row_stores.thresholded_rows import Granularity, ThresholdedRows

if TYPE_CHECKING:
    from automl_rec.plugin import Precision


class Pep(PrunedEmbedding):
    """A search of soft thresholds, then the initial values trained again within the mask.

    Source: Liu et al., 2021 (soft thresholds, retraining from the initial values). Published, the
    mask is what is above its threshold at the moment when few enough entries are, if weight decay
    ever brings it there. Ours keeps exactly the budget's number of entries, those farthest above
    their thresholds (or least below) at the search's best point: no target is missed, and bytes are
    known before training.
    """

    def __init__(
        self, budget: float, granularity: Granularity, start: float, precision: "Precision"
    ) -> None:
        super().__init__(precision, budget, retrain=True)
        self._granularity, self._start = granularity, start

    def store(self, weight: Weight, field: Field, kept: int) -> ThresholdedRows:
        """See `PrunedEmbedding.store`."""
        selection = Entries(field.num_rows, field.width, kept)
        return ThresholdedRows(weight, selection, self._granularity, self._start)
