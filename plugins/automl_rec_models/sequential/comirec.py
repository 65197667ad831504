"""ComiRec: several vectors a user, one for each of his interests."""

from abc import abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from automl_rec.plugin import Batch, Catalog, GradientModel, Layers, Requests, Sampling, Sequences
from automl_rec_models.losses import sampled_softmax, without_targets
from automl_rec_models.sequential.diversity import Diversity
from automl_rec_models.sequential.reach import reach

REQUESTS_AT_ONCE = 512
SMALLEST = 1e-9


class ComiRec(GradientModel):
    """s(h, i) = max_k v_k(h) . e_i, v_1 ... v_K what is read from the last items of history h.

    It learns from random cuts of histories. The interest next to the target is read out, or a mean
    of all weighted by their nearness, and pays the softmax over the target and shared negatives,
    corrected for how often each item is drawn. Items drawn by popularity stand for the original's
    log-uniform draw of frequency ranks, which is the same where counts follow Zipf's law.

    Lists may trade scores for diversity: see `Diversity`.

    Source: Cen et al., KDD 2020. Positions count from the newest item, so padding and whatever is
    older than L change nothing; the original's count from the oldest of the last L.
    """

    def __init__(
        self,
        catalog: Catalog,
        layers: Layers,
        *,
        width: int,
        interests: int,
        length: int,
        negatives: int,
        sampler: Literal["popularity", "uniform"],
        draw: Literal["user", "edge"],
        readout: Literal["hard", "soft"] = "hard",
        power: float = 1.0,
        diversity: float,
    ) -> None:
        super().__init__()
        histories = catalog.histories
        self._length = reach(histories, length)
        reached = histories.lengths[:, None] > range(self._length)
        self._reached = tuple(float(share) for share in reached.mean(0))
        self._positions = sum(self._reached)
        std = (2 / (catalog.num_items + width)) ** 0.5
        self.item = layers.table("item", width, std=std, lookups=self._positions, scored=True)
        self.sampling = Sampling(
            "sequences",
            negatives=negatives,
            sampler=sampler,
            exponent=1.0,
            shared=True,
            draw=draw,
            length=self._length,
            cut=True,
        )
        self._interests, self._readout, self._power = interests, readout, power
        self._diversity = Diversity.of(catalog, diversity) if diversity > 0 else None
        self._log_shares = torch.zeros(0)

    @abstractmethod
    def interests(self, histories: Tensor) -> Tensor:
        """The interests (B, K, D) of histories (B, L), zeros where there are no items."""

    def begin(self, catalog: Catalog, generator: torch.Generator) -> None:
        """See `TrainedModel.begin`; how often each item is drawn as a negative."""
        counts = torch.from_numpy(catalog.item_counts).float()
        weights = counts if self.sampling.sampler == "popularity" else torch.ones_like(counts)
        self._log_shares = (weights / weights.sum()).log()

    def loss(self, batch: Batch) -> Tensor:
        """See `TrainedModel.loss`; the mean over targets."""
        assert isinstance(batch, Sequences)
        targets, negatives = batch.targets[:, -1], batch.negatives
        rows = self.item.lookup(torch.cat([targets, negatives]))
        positive_rows, negative_rows = rows[: len(targets)], rows[len(targets) :]
        states = self.read_out(self.interests(batch.histories), positive_rows)
        positive = torch.linalg.vecdot(states, positive_rows) - self._log_shares[targets]
        negative = states @ negative_rows.T - self._log_shares[negatives]
        return sampled_softmax(positive, without_targets(negative, negatives, targets))

    def read_out(self, interests: Tensor, targets: Tensor) -> Tensor:
        """The state (B, D) that interests (B, K, D) have for targets (B, D)."""
        nearness = torch.linalg.vecdot(interests, targets[:, None])  # (B, K)
        if self._readout == "hard":
            return interests[torch.arange(len(interests)), nearness.argmax(1)]
        weights = torch.softmax(self._power * nearness, 1)
        return (weights[:, :, None] * interests).sum(1)

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        longest = int(requests.indptr.diff().max()) if len(requests) else 0
        histories = requests.recent(max(1, min(self._length, longest)))
        parts = torch.split(histories, REQUESTS_AT_ONCE)
        first, *others = torch.cat([self.interests(part) for part in parts]).unbind(1)
        best = self.item.score(first)
        for interest in others:
            best = torch.maximum(best, self.item.score(interest))
        return best

    def shortlist(self, k: int) -> int:
        """See `RetrievalModel.shortlist`: as many as all interests together bring."""
        return k if self._diversity is None else k * self._interests

    def choose(self, items: Tensor, scores: Tensor, k: int) -> Tensor:
        """See `RetrievalModel.choose`."""
        if self._diversity is None:
            return super().choose(items, scores, k)
        return self._diversity.choose(items, scores, k)

    def operations(self) -> float:
        """Multiply-adds to score all items with the interests beyond the first."""
        return float((self._interests - 1) * self.item.num_rows * self.item.width)


class ComiRecSa(ComiRec):
    """Interests by self-attention: V = A E, A = softmax over items of W_2 tanh(W_1 (E + P)).

    E are the item rows of a history, P rows of positions, which attention alone sees. See `ComiRec`
    for the rest.

    Source: Cen et al., KDD 2020, section 3.2.
    """

    def __init__(self, catalog: Catalog, layers: Layers, **reading: Any) -> None:
        super().__init__(catalog, layers, **reading)
        width = self.item.width
        positions, rows = self._positions, self._length
        std = (2 / (rows + width)) ** 0.5
        self.position = layers.table("position", width, std=std, lookups=positions, rows=rows)
        self.hidden = layers.linear("hidden", width, 4 * width, products=positions)
        self.attention = layers.linear(
            "attention",
            4 * width,
            self._interests,
            bias=False,
            products=positions,
            after=self.hidden,
        )

    def interests(self, histories: Tensor) -> Tensor:
        """See `ComiRec.interests`."""
        items = self.item.lookup(histories)
        return self.weights(histories, items) @ items

    def weights(self, histories: Tensor, items: Tensor) -> Tensor:
        """How much each interest reads of each item (B, L, D): (B, K, L), rows sum to 1."""
        length = histories.shape[1]
        positions = self.position.lookup(torch.arange(self._length - length, self._length))
        logits = self.attention(torch.tanh(self.hidden(items + positions)))  # (B, L, K)
        hidden = (histories < 0)[:, :, None]
        banned = logits.masked_fill(hidden, torch.finfo(logits.dtype).min)
        return torch.softmax(banned, 1).transpose(1, 2)

    def operations(self) -> float:
        """See `ComiRec.operations`; and those to sum items to interests."""
        return super().operations() + self._interests * self._positions * self.item.width


class ComiRecDr(ComiRec):
    """Interests by dynamic routing: each item votes for each interest, interests share the items.

    The vote of the item at position t for interest k is u = W_tk e. In each round an item's shares
    c are the softmax over interests of its logits b, zero at first; v_k = squash(sum_t c u); then
    b += u . v. The logits learn nothing: only the last round has a gradient. Matrices of their own
    keep interests apart: if they shared one, all would be equal for ever. See `ComiRec` for the
    rest.

    Source: Cen et al., KDD 2020, section 3.2; squash of Sabour et al., NeurIPS 2017.
    """

    def __init__(
        self,
        catalog: Catalog,
        layers: Layers,
        *,
        matrices: Literal["position", "interest"],
        rounds: int = 1,
        **reading: Any,
    ) -> None:
        super().__init__(catalog, layers, **reading)
        width = self.item.width
        products = self._reached if matrices == "position" else (self._positions,)
        self.votes = nn.ModuleList(
            layers.linear(
                f"votes{n}", width, self._interests * width, bias=False, std=1.0, products=each
            )
            for n, each in enumerate(products)
        )
        self._rounds, self._by_position = rounds, matrices == "position"

    def interests(self, histories: Tensor) -> Tensor:
        """See `ComiRec.interests`."""
        votes = self._votes(self.item.lookup(histories))
        logits = self._agreement(votes.detach())
        return squash((torch.softmax(logits, 2)[..., None] * votes).sum(1))

    def _votes(self, items: Tensor) -> Tensor:
        """(B, L, K, D) of items (B, L, D), newest last; zeros for padding."""
        if self._by_position:
            newest_first = items.unbind(1)[::-1]
            voted = [vote(item) for vote, item in zip(self.votes, newest_first, strict=False)]
            votes = torch.stack(voted[::-1], 1)
        else:
            votes = self.votes[0](items)
        return votes.reshape(*items.shape[:2], self._interests, self.item.width)

    @torch.no_grad()
    def _agreement(self, votes: Tensor) -> Tensor:
        """(B, L, K) logits after all rounds but the last."""
        logits = votes.new_zeros(votes.shape[:3])
        for _ in range(self._rounds - 1):
            shares = torch.softmax(logits, 2)
            interests = squash(torch.einsum("blk,blkd->bkd", shares, votes))
            logits += torch.einsum("blkd,bkd->blk", votes, interests)
        return logits

    def operations(self) -> float:
        """See `ComiRec.operations`; and those of routing, which reads all votes twice a round."""
        votes = self._positions * self._interests * self.item.width
        return super().operations() + (2 * self._rounds - 1) * votes


def squash(sums: Tensor) -> Tensor:
    """Vectors (..., D) of length ``|s|^2 / (1 + |s|^2)``, below 1, in the direction of s."""
    square = sums.square().sum(-1, keepdim=True)
    return sums * (square * (square + SMALLEST).rsqrt() / (1 + square))
