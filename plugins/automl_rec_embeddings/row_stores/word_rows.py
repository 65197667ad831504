"""Rows that are read as the nearest words of a codebook, part by part."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from automl_rec.plugin import (
    CodebookMatrix,
    Coded,
    DenseMatrix,
    Interval,
    TrainableMatrix,
    dense_form,
)
from automl_rec_embeddings.k_means import k_means, nearest
from automl_rec_embeddings.row_stores.draws import Draws
from automl_rec_embeddings.row_stores.stored_rows import StoredRows

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from automl_rec.plugin import Use

SEED = 0
"""Of k-means: the same rows always get the same words."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of a store, and who may use them.

    Attributes:
        parts: parts P of a row, which divide its width.
        words: number of words K.
        rare_words: the first words, which rare rows choose among.
        frequent: rows that choose among all words; None if all do.
    """

    parts: int
    words: int
    rare_words: int
    frequent: "npt.NDArray[np.int64] | None" = None


class WordRows(StoredRows):
    """Full rows of queries in training; a code a part, and the words, when served.

    A part of a row is read as the nearest word. The word gets its slopes, and the query gets them
    straight through. `distance`, added to the loss, draws the two together. Before there are words
    worth reading, queries may be trained as they are.

    Attributes:
        words: (K, D) parameter, until the store is settled.
        plain: whether queries are read as they are.
    """

    exact = False
    words: nn.Parameter | None
    draws: Draws | None
    used: Tensor | None
    common: Tensor | None

    def __init__(
        self, name: str, size: int, width: int, use: "Use", vocabulary: Vocabulary
    ) -> None:
        super().__init__(name, size, width, use)
        # Who is frequent takes memory, and no one asks once there are codes.
        self.computed, self.vocabulary = True, replace(vocabulary, frequent=None)
        parts, words = vocabulary.parts, vocabulary.words
        self.weight.sensitive = True
        self.weight.expected = Coded(Interval(size, size), parts, dense_form(words, width))
        self.words, self.draws = nn.Parameter(torch.zeros(words, width)), Draws()
        # Whether part p of word k was read since unused ones restarted.
        self.register_buffer("used", torch.zeros(words, parts, dtype=torch.bool))
        common = torch.full((size,), vocabulary.frequent is None)
        if vocabulary.frequent is not None and not common.is_meta:
            common[torch.from_numpy(vocabulary.frequent)] = True
        self.register_buffer("common", common, persistent=False)
        self.plain = False
        self._heard: list[Tensor] | None = None
        self._commitment = 0.0

    def read(self, slots: Tensor) -> Tensor:
        """See `RowStore.read`."""
        queries = self.weight.matrix.gather(slots)
        return queries if self._as_they_are else self._worded(queries, slots)

    def rows(self) -> Tensor:
        """See `RowStore.rows`."""
        rows = super().rows()
        return rows if self._as_they_are else self._worded(rows, torch.arange(self.size))

    def score(self, x: Tensor) -> Tensor:
        """See `RowStore.score`."""
        return super().score(x) if self._as_they_are else x @ self.rows().T

    def initialise(self, mean: float, std: float, generator: torch.Generator) -> None:
        """See `RowStore.initialise`; words start as queries of rows that may use them."""
        super().initialise(mean, std, generator)
        if not self.weight.trainable.is_meta:
            with torch.no_grad():
                self._learned.copy_(self.weight.trainable[self._drawn_rows(generator)])

    def assign(self, rows: Tensor) -> None:
        """See `RowStore.assign`."""
        super().assign(rows)
        self.find()

    @torch.no_grad()
    def find(self) -> None:
        """Chooses words for the queries by k-means, unless those it has are nearer."""
        queries, before = self.weight.matrix.dense(), self._learned.clone()
        error = self._error(queries)
        self._learned.copy_(self._found(queries))
        if self._error(queries) > error:
            self._learned.copy_(before)

    def begin(self, generator: torch.Generator, *, plain: bool) -> None:
        """Draws the seed of all restarts, and says how queries are read from here on."""
        self._draws.begin(generator)
        self.plain = plain

    def listen(self, commitment: float) -> None:
        """What is read from here on counts for `distance`.

        Args:
            commitment: weight of moving queries to words, beside 1 for words to queries.
        """
        self._heard, self._commitment = [], commitment

    def distance(self) -> Tensor:
        """Mean squared distance of the rows read since `listen` to their queries: ()."""
        heard, self._heard = self._heard, None
        return torch.cat(heard).mean() if heard else torch.zeros(())

    @torch.no_grad()
    def restart(self) -> None:
        """Gives words that nothing has read since the last call the place of drawn queries."""
        used = self._used
        queries = self.weight.trainable[self._drawn_rows(self._draws.next())]
        free = (~used).repeat_interleave(self.width // self.vocabulary.parts, dim=1)
        self._learned.copy_(torch.where(free, queries, self._learned))
        used.fill_(value=False)

    def settle(self) -> None:
        """See `RowStore.settle`."""
        matrix, words = self.weight.matrix, self._learned
        if not isinstance(matrix, TrainableMatrix):  # as on the meta device, before tensors come
            if self.plain:
                self.find()
            codes = self._codes(matrix.dense(), torch.arange(self.size))
            self.weight.matrix = CodebookMatrix(codes, DenseMatrix(words.detach().clone()))
        self.words = self.draws = self.used = self.common = None
        self.computed = False

    @property
    def _as_they_are(self) -> bool:
        return self.plain or self.words is None

    @property
    def _learned(self) -> nn.Parameter:
        assert self.words is not None, "the words of a settled store belong to its matrix"
        return self.words

    @property
    def _draws(self) -> Draws:
        assert self.draws is not None, "a settled store is not trained"
        return self.draws

    @property
    def _used(self) -> Tensor:
        assert self.used is not None, "a settled store is not trained"
        return self.used

    @property
    def _common(self) -> Tensor:
        assert self.common is not None, "a settled store has its codes"
        return self.common

    def _found(self, rows: Tensor) -> Tensor:
        """Words (K, D) near to rows (N, D): the first of rare ones, the others of frequent ones."""
        common, rare = self._common, self.vocabulary.rare_words
        more, generator = self.vocabulary.words - rare, torch.Generator().manual_seed(SEED)
        found = []
        for part in self._shares(rows):
            words, _ = k_means(part if common.all() else part[~common], rare, generator)
            extra = k_means(part[common], more, generator)[0] if more else part[:0]
            found.append(torch.cat([words, extra]))
        return torch.cat(found, dim=1)

    def _error(self, rows: Tensor) -> float:
        return float((self._worded(rows, torch.arange(self.size)) - rows).square().sum())

    def _worded(self, queries: Tensor, slots: Tensor) -> Tensor:
        """The words (B, D) nearest to queries (B, D) of slots (B,)."""
        held = queries.detach()
        places = self._codes(held, slots) * self.vocabulary.parts
        places += torch.arange(self.vocabulary.parts)
        parts = self._learned.reshape(-1, self.width // self.vocabulary.parts)  # (K * P, D / P)
        words = parts.index_select(0, places.reshape(-1)).reshape(queries.shape)
        if self._heard is not None:
            self._used.view(-1)[places.reshape(-1)] = True
            pulled = (words - held).square().sum(1)
            committed = (words.detach() - queries).square().sum(1)
            self._heard.append(pulled + self._commitment * committed)
        return words + (queries - held)

    @torch.no_grad()
    def _codes(self, queries: Tensor, slots: Tensor) -> Tensor:
        """Numbers (B, P) of the words nearest to queries (B, D), of those that slots may use."""
        codes = self._nearest(queries, self.vocabulary.rare_words)
        frequent = self._common[slots]
        if self.vocabulary.words > self.vocabulary.rare_words and bool(frequent.any()):
            codes[frequent] = self._nearest(queries[frequent], self.vocabulary.words)
        return codes

    def _nearest(self, queries: Tensor, words: int) -> Tensor:
        pairs = zip(self._shares(queries), self._shares(self._learned[:words]), strict=True)
        return torch.stack([nearest(part, among)[0] for part, among in pairs], dim=1)

    def _shares(self, rows: Tensor) -> tuple[Tensor, ...]:
        return rows.tensor_split(self.vocabulary.parts, dim=1)

    def _drawn_rows(self, generator: torch.Generator) -> Tensor:
        """A row (K,) for every word, different as far as possible, of those that may use it."""
        rare, words = self.vocabulary.rare_words, self.vocabulary.words
        every = torch.randperm(self.size, generator=generator)
        chosen = every[torch.arange(rare) % self.size]
        if words == rare:
            return chosen
        frequent = every[self._common[every]]
        return torch.cat([chosen, frequent[torch.arange(words - rare) % len(frequent)]])
