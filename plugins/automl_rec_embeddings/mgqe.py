"""Product quantisation with fewer words for rare ids."""

from typing import TYPE_CHECKING

import numpy as np

from automl_rec_embeddings.dpq import Dpq
from automl_rec_embeddings.row_stores.word_rows import Vocabulary

if TYPE_CHECKING:
    from automl_rec.plugin import Field, Precision
    from automl_rec_embeddings.sizing import Structure


class Mgqe(Dpq):
    """`Dpq` whose rare ids choose among the first words alone.

    Codes say all that serving needs: whether an id is frequent is not stored. A code is a byte for
    every id, so that bytes are those of `Dpq`. Where nothing counts ids, all have all words.

    Source: Kang et al., 2020 (256 words for the most frequent tenth, 64 for the others). Ties in
    frequency are broken by the smaller id.
    """

    def __init__(
        self,
        hot_share: float,
        cold_words: float,
        commitment: float,
        precision: "Precision",
        sized_by: str,
        budget: float | None = None,
        parts: int | None = None,
        words: int | None = None,
    ) -> None:
        super().__init__(commitment, precision, sized_by, budget, parts, words)
        self._hot_share, self._cold_words = hot_share, cold_words

    def vocabulary(self, field: "Field", structure: "Structure") -> Vocabulary:
        """See `Dpq.vocabulary`."""
        parts, words = structure["parts"], structure["words"]
        if field.counts is None:
            return super().vocabulary(field, structure)
        hot = max(round(self._hot_share * field.num_rows), 1)
        frequent = np.argsort(-field.counts, kind="stable")[:hot]
        return Vocabulary(parts, words, max(round(self._cold_words * words), 1), frequent)
