"""The losses of models that predict an item from a state."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from automl_rec.plugin import Sampling, Table
from automl_rec_models.inner_products import inner_products
from automl_rec_models.losses import (
    binary_cross_entropy,
    calibrated_beta,
    sampled_softmax,
    without_targets,
)
from automl_rec_models.softmax import cross_entropy

LossName: TypeAlias = Literal["full-ce", "sampled-softmax", "gbce", "bce"]


@dataclass(frozen=True, slots=True)
class NextItemLoss:
    """What a state pays for the scores it gives its target and the other items.

    Attributes:
        name: ``"full-ce"`` is the softmax over all items, ``"sampled-softmax"`` that over the
            target and negatives; ``"bce"`` judges target and negatives one by one, ``"gbce"`` with
            the target's probability raised to a power.
        negatives: sampled per target; 0 for ``"full-ce"``.
        shared: whether one set of them serves a whole batch.
        calibration: of ``"gbce"``.
    """

    name: LossName
    negatives: int = 0
    shared: bool = False
    calibration: float = 0.0

    def sampling(self, length: int, horizon: int = 1) -> Sampling:
        """The batches to learn from.

        Args:
            length: longest history.
            horizon: of the targets.
        """
        return Sampling(
            "sequences",
            negatives=self.negatives,
            sampler="uniform" if self.shared else "uniform-rejecting",
            shared=self.shared,
            length=length,
            horizon=horizon,
        )

    def of(self, items: Table, states: Tensor, targets: Tensor, negatives: Tensor) -> Tensor:
        """The mean over states.

        Args:
            items: table of width D.
            states: (P, D).
            targets: (P,) int64 item numbers.
            negatives: (P, N) int64 item numbers, or (N,) where they are shared.
        """
        if self.name == "full-ce":
            return cross_entropy(states, items.rows(), targets)
        positive, negative = sampled_scores(items, states, targets, negatives)
        if self.name == "sampled-softmax":
            return sampled_softmax(positive, negative)
        beta = 1.0
        if self.name == "gbce":
            beta = calibrated_beta(self.negatives, items.num_rows, self.calibration)
        return binary_cross_entropy(positive, negative, beta)


def sampled_scores(
    items: Table, states: Tensor, targets: Tensor, negatives: Tensor
) -> tuple[Tensor, Tensor]:
    """Scores of targets (P,), and of negatives (P, N), at -inf where one is the target itself.

    Args:
        items: table of width D.
        states: (P, D).
        targets: (P,) int64 item numbers.
        negatives: (P, N) int64 item numbers, or (N,) where they are shared.
    """
    if negatives.ndim == 1:
        rows = items.lookup(torch.cat([targets, negatives]))
        positive = torch.linalg.vecdot(states, rows[: len(targets)])
        negative = states @ rows[len(targets) :].T
    else:
        rows = items.lookup(torch.cat([targets[:, None], negatives], 1))
        scores = inner_products(states, rows)
        positive, negative = scores[:, 0], scores[:, 1:]
    return positive, without_targets(negative, negatives, targets)
