"""Truncated singular value decomposition."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from automl_rec.plugin import Form, LowRankMatrix, Phase, Rank, TrainableMatrix, Weight
from automl_rec_rank.allocation import (
    Budget,
    allocation_of,
    by_energy,
    by_normalised_values,
)
from automl_rec_rank.factoring import factor, served_part
from automl_rec_rank.factors import LateFactors, learns_as_a_whole
from automl_rec_rank.spectrum import Spectrum, leading_factors

LARGE = 1024
SMALL_SHARE = 8
"""Ranks below 1/8 of a larger narrow side are found by projection: within 1 % of the best."""


class Svd(Rank):
    """Factors weights after training, where the factors are smaller than the weight.

    A rank R pays for a weight (M, N) while ``R (M + N) < M N``; else the weight stays whole. Ranks
    are a share of each weight's narrow side (``uniform``), what holds a share of its sum of squares
    (``energy``), or what a budget of numbers over all weights pays for: the ranks of largest
    squared singular value for each number they take (``global``), or of largest singular value
    between the least and the largest of their weight (``welore``).

    Under the uniform allocation the last share ``tune`` of a training may train the factors, which
    then start as the decomposition of the best weights so far; closed forms are not tuned.

    A matrix that is block triangular is factored as it is served, so what its zeros were is
    approximated as well. Matrices near the identity have no low rank: by energy or budget they
    stay whole.

    Source: Eckart and Young, 1936. Factors are balanced, U S^1/2 and V S^1/2. Low ranks of large
    weights are found by random projection, see `leading_factors`. ``welore`` after Jaiswal et al.,
    arXiv 2407.11239: ours finds the threshold that a budget leaves.
    """

    def __init__(
        self,
        allocation: Literal["uniform", "energy", "global", "welore"],
        ratio: float = 0.25,
        energy: float = 0.95,
        budget: float = 0.25,
        least_saving: float = 0.0,
        tune: float = 0.0,
    ) -> None:
        """Sets the scheme.

        Args:
            allocation: which rule gives a weight its rank.
            ratio: share of the narrow side.
            energy: share of the sum of squares.
            budget: share of the numbers of all weights together.
            least_saving: share of a weight's numbers that factors must save for it to be factored.
            tune: share of training in which factors are trained.
        """
        shared = Budget(budget, by_energy)
        if allocation == "welore":
            shared = Budget(budget, by_normalised_values, least_saving)
        self._allocation = allocation_of(allocation, ratio, energy, shared)
        self._phases = (Phase("whole", 1.0 - tune), Phase("factors", tune)) if tune else ()
        self._late: list[LateFactors] = []

    @property
    def acts_in_training(self) -> bool:
        """See `Rank.acts_in_training`."""
        return bool(self._phases)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """See `LifeCycle.phases`."""
        return self._phases

    def join(self, weights: Mapping[str, Weight]) -> None:
        """See `Rank.join`; what can be tuned has its factors beside it from the start."""
        learning = {name: w for name, w in weights.items() if learns_as_a_whole(w)}
        sizes = self._allocation.sizes({name: w.price() for name, w in learning.items()})
        self._late = []
        for name, rank in self._allocation.ranks({}, sizes).items():
            matrix = learning[name].matrix
            if rank <= sizes[name].most and isinstance(matrix, TrainableMatrix):
                late = LateFactors(matrix, rank)
                learning[name].matrix = late
                self._late.append(late)

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        """See `LifeCycle.begin`: the second phase begins with factors."""
        for matrix in self._late:
            matrix.factored.fill_(phase.name == "factors")
            if phase.name == "factors":
                left, right = _factors(matrix.whole.dense(), matrix.factors.left.shape[1], None)
                matrix.factors.left.copy_(left)
                matrix.factors.right.copy_(right)

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """See `Rank.price`; exact under the uniform allocation.

        Raises:
            Infeasible: a budget does not pay for one rank of every weight, or the spectrum of a
                weight would take minutes.
        """
        return self._allocation.price(forms)

    def compress(self, weights: Mapping[str, Weight]) -> None:
        """See `Rank.compress`; weights that were tuned are factored already."""
        weights = {n: w for n, w in weights.items() if not isinstance(w.matrix, LowRankMatrix)}
        matrices = {name: served_part(weight) for name, weight in weights.items()}
        sizes = self._allocation.sizes({name: m.form() for name, m in matrices.items()})
        spectra: dict[str, Spectrum] = {}
        if self._allocation.reads_energies:
            spectra = {name: Spectrum.of(matrix.dense()) for name, matrix in matrices.items()}
        energies = {name: spectrum.energies for name, spectrum in spectra.items()}
        for name, rank in self._allocation.ranks(energies, sizes).items():
            if rank <= sizes[name].most:
                factor(weights[name], *_factors(matrices[name].dense(), rank, spectra.get(name)))


def _factors(matrix: Tensor, rank: int, spectrum: Spectrum | None) -> tuple[Tensor, Tensor]:
    narrow = min(matrix.shape)
    if spectrum is None and narrow > LARGE and rank * SMALL_SHARE < narrow:
        return leading_factors(matrix, rank)
    whole = Spectrum.of(matrix) if spectrum is None else spectrum
    return whole.factors(rank)
