"""Principal components of what weights give, in place of those of the weights."""

from collections.abc import Callable, Mapping
from typing import Literal

from torch import nn

from automl_rec.plugin import Form, Matrix, Rank, Weight, map_leaves
from automl_rec_rank.allocation import (
    LARGEST_SPECTRUM,
    Budget,
    allocation_of,
    by_share,
    refuse_large,
)
from automl_rec_rank.components import Components
from automl_rec_rank.factoring import factor, served_part
from automl_rec_rank.spectrum import Spectrum
from automl_rec_rank.watching import GivingMatrix, Moments


class Afm(Rank):
    """Keeps the directions in which what a weight gives for the train part varies most.

    The products y = W x of a linear are projected on the R leading eigenvectors U of their
    covariance: y ~ U U' W x + (I - U U') m, with m their mean, whose last term the bias takes in.
    Without a bias, and of looked-up rows and sums of rows (tables, item-item weights), projections
    are about 0: the mean is one of the directions. A rank R then errs by the sum of the other
    eigenvalues, in the mean over the train part, and no factors of that rank err less.

    Factors are U and W'U of a linear, W U and U of other weights. So a table that scores projects
    the query once and never multiplies it with whole rows: its output map is fused with the query.

    A weight whose products nobody sees is factored as by svd, all its rows alike: a table that is
    multiplied as a whole and never looked up, and a GRU's, which torch's kernel multiplies.

    Source: Yu and Wu, AAAI 2023 ("Compressing transformers: features are low-rank, but weights are
    not"), and its form for click-through rates, unified low-rank compression (2024). Ours projects
    rows of tables about 0, does not fuse linears that follow each other, which models do not
    declare, and trains nothing afterwards.
    """

    def __init__(
        self,
        allocation: Literal["uniform", "energy", "global"],
        ratio: float = 0.25,
        energy: float = 0.95,
        budget: float = 0.25,
    ) -> None:
        """Sets the scheme.

        Args:
            allocation: which rule gives a weight its rank.
            ratio: share of the narrow side.
            energy: share of the variance of what it gives.
            budget: share of the numbers of all weights together; ranks are taken by the share of
                its weight's variance that each holds for each number it takes.
        """
        self._allocation = allocation_of(allocation, ratio, energy, Budget(budget, by_share))
        self._seen: dict[str, Moments] = {}
        self._biases: dict[str, nn.Parameter] = {}

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """See `Rank.price`; exact under the uniform allocation.

        Raises:
            Infeasible: a budget does not pay for one rank of every weight, or the covariance of
                what a weight gives would take minutes.
        """
        for size in self._allocation.sizes(forms).values():
            refuse_large(size)
        return self._allocation.price(forms)

    def calibrate(
        self,
        weights: Mapping[str, Weight],
        biases: Mapping[str, nn.Parameter],
        answer: Callable[[], None],
    ) -> None:
        """See `Rank.calibrate`."""
        watched = {name: GivingMatrix(served_part(w), w.role) for name, w in weights.items()}
        watched = {n: m for n, m in watched.items() if m.width <= LARGEST_SPECTRUM}
        for name, matrix in watched.items():
            _put(weights[name], matrix)
        answer()
        for name, matrix in watched.items():
            _put(weights[name], matrix.watched)
        self._seen = {name: matrix.given for name, matrix in watched.items() if matrix.given.count}
        self._biases = {name: bias for name, bias in biases.items() if name in self._seen}

    def compress(self, weights: Mapping[str, Weight]) -> None:
        """See `Rank.compress`."""
        sizes = self._allocation.sizes({n: served_part(w).form() for n, w in weights.items()})
        found = {name: self._components(weight) for name, weight in weights.items()}
        energies = {name: part.energies[: sizes[name].narrow] for name, part in found.items()}
        for name, rank in self._allocation.ranks(energies, sizes).items():
            if rank <= sizes[name].most:
                part = found[name]
                factor(weights[name], *part.factors(rank))
                if isinstance(part, Components) and name in self._biases:
                    shift = part.left_of_mean(rank)
                    self._biases[name][: len(shift)] += shift

    def _components(self, weight: Weight) -> "Spectrum | Components":
        matrix = served_part(weight).dense()
        given = self._seen.get(weight.name)
        if given is None:
            return Spectrum.of(matrix)
        about_mean = weight.name in self._biases
        return Components.of(matrix, given, about_mean=about_mean, products=weight.role == "linear")


def _put(weight: Weight, matrix: Matrix) -> None:
    """Sets the served part of a weight."""
    weight.matrix = map_leaves(weight.matrix, lambda _: matrix)
