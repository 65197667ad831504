"""Rows put together from the words of a learned codebook."""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from automl_rec.plugin import Field, Phase, Table, Use, dense_bytes
from automl_rec_embeddings.combinations.sum import Sum
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.id_transforms.identity import Identity
from automl_rec_embeddings.output_maps.same_width import SameWidth
from automl_rec_embeddings.row_stores.word_rows import Vocabulary, WordRows
from automl_rec_embeddings.sizing import SizedEmbedding, Structure

if TYPE_CHECKING:
    from automl_rec.plugin import Loss, Precision, Step

QUERIES_THEN_WORDS = (Phase("queries", 0.5), Phase("words", 0.5))
MOST_WORDS = 256
"""A code is a byte."""
RESTART_STEPS = 100
"""Steps between looks for words that nobody uses."""


class Dpq(SizedEmbedding):
    """Identity, and full rows that are read as the nearest words, part by part.

    A budget takes the parts and words that tell the most rows apart; parts divide the width. A
    table that this would not make smaller keeps full rows.

    Source: Chen et al., ICML 2020 (product quantisation of embeddings, nearest words); the
    commitment loss and its weight are those of van den Oord et al., 2017. Ours trains the queries
    alone in the first half of the epochs and finds the first words by k-means, gives the slopes of
    the task to the words too, does not normalise distances over a batch, and lets words that no
    row was read as for a while restart as queries.
    """

    def __init__(
        self,
        commitment: float,
        precision: "Precision",
        sized_by: str,
        budget: float | None = None,
        parts: int | None = None,
        words: int | None = None,
    ) -> None:
        super().__init__(precision, budget)
        self._commitment, self._parts, self._words = commitment, parts, words
        self._stores: list[WordRows] = []

    def largest(self, field: Field, limit: int) -> Structure | None:
        """See `SizedEmbedding.largest`: the most bits a row that the limit allows."""
        pairs = [(p, self._affordable(field, p, limit)) for p in divisors(field.width)]
        possible = [(parts, words) for parts, words in pairs if words > 1]
        if not possible:
            return None
        parts, words = max(possible, key=lambda pair: pair[0] * math.log2(pair[1]))
        return {"parts": parts, "words": words}

    def chosen(self, field: Field) -> Structure:
        """See `SizedEmbedding.chosen`; the most parts that divide the width."""
        assert self._parts is not None, "it is sized by a budget or its parts and words"
        assert self._words is not None, "it is sized by a budget or its parts and words"
        parts = max(n for n in divisors(field.width) if n <= self._parts)
        return {"parts": parts, "words": min(self._words, field.num_rows)}

    def structure_bytes(self, field: Field, structure: Structure) -> int:
        """See `SizedEmbedding.structure_bytes`: codes and words."""
        codes: int = field.num_rows * structure["parts"]
        return codes + dense_bytes(structure["words"], field.width, self.precision)

    def vocabulary(self, field: Field, structure: Structure) -> Vocabulary:
        """The words of a table, all of them for every id."""
        parts, words = structure["parts"], structure["words"]
        return Vocabulary(parts, words, words)

    def build(self, field: Field, structure: Structure, generator: torch.Generator) -> Table:
        """See `SizedEmbedding.build`."""
        use = Use(products=float(field.scored), rows=field.lookups)
        name, rows = f"{field.name}.store", field.num_rows
        store = WordRows(name, rows, field.width, use, self.vocabulary(field, structure))
        self._stores.append(store)
        output = SameWidth(field.width)
        return ComposedTable(field, Identity(rows), [store], Sum(), output, generator)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """See `LifeCycle.phases`; one, where every table stays full."""
        return QUERIES_THEN_WORDS if self._stores else super().phases

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        """See `LifeCycle.begin`."""
        for store in self._trained():
            store.begin(generator, plain=phase == QUERIES_THEN_WORDS[0])

    def end(self, phase: Phase) -> None:
        """See `LifeCycle.end`: the first words."""
        for store in self._trained():
            store.find()

    def loss(self, own: "Loss") -> Tensor:
        """See `LifeCycle.loss`: with the distances of words and queries."""
        stores = [store for store in self._trained() if not store.plain]
        for store in stores:
            store.listen(self._commitment)
        total = own()
        return total + sum((store.distance() for store in stores), start=torch.zeros(()))

    def after_step(self, step: "Step") -> None:
        """See `LifeCycle.after_step`."""
        if step.number % RESTART_STEPS == 0:
            for store in self._trained():
                if not store.plain:
                    store.restart()

    def _trained(self) -> list[WordRows]:
        return [store for store in self._stores if store.weight.trainable.requires_grad]

    def _affordable(self, field: Field, parts: int, limit: int) -> int:
        """As many words as the codes of so many parts leave bytes for."""
        word_bytes = dense_bytes(1, field.width, self.precision)
        words = (limit - field.num_rows * parts) // word_bytes
        return min(words, MOST_WORDS, field.num_rows)


def divisors(number: int) -> list[int]:
    """The divisors of a number >= 1, the smallest first."""
    return [n for n in range(1, number + 1) if number % n == 0]
