"""Factors of linears that descend along matrices of low rank."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from automl_rec.plugin import Interval, Phase, Step, Weight
from automl_rec_rank.allocation import Size
from automl_rec_rank.dynamics import Decomposition, narrowed, widened
from automl_rec_rank.factors import Factors, TrainedProduct
from automl_rec_rank.spectrum import Spectrum

LEAST = 2
"""Ranks that stay in any case, as published."""
DECAY = 0.999
EPSILON = 1e-16


class Dlrt(TrainedProduct):
    """Trains linears as U S V' with orthonormal U and V, at a rank that follows the gradient.

    In each step both factors, K = U S and L = V S', move against the gradient; U and V are widened
    by where they went, up to twice the rank; the core S moves against the gradient of a second
    pass; and its smallest singular values are left out, as many as together hold no more than a
    share ``theta`` of its length. For the first ``warm_up`` epochs the rank stays. It starts at
    half the narrow side and never exceeds what makes factors smaller than the weight.

    These steps are the loop's learning rate times the gradient, divided by the root of its running
    mean square over all entries of both slopes: one number a weight, which bases may turn under,
    where moments of single entries would mean nothing afterwards. Other parameters go on with Adam.

    Tables stay whole: a step would make all of their rows orthogonal, however few it has read.

    Source: Schotthoefer et al., NeurIPS 2022, arXiv 2205.13571 (algorithm 1), with a fixed rate in
    place of ours.
    """

    linears_alone = True

    def __init__(self, theta: float, start: float = 0.5, warm_up: float = 1.0) -> None:
        """Sets the scheme.

        Args:
            theta: share of a core's length that may be left out in each step.
            start: share of the narrow side that the rank starts at.
            warm_up: epochs in which the rank stays.
        """
        super().__init__()
        self._theta, self._start, self._warm_up = theta, start, warm_up
        self._initial: list[dict[str, Tensor]] = []

    def ranks(self, size: Size) -> Interval:
        """See `TrainedProduct.ranks`."""
        return Interval(min(LEAST, size.most), max(size.most, 1))

    def factors(self, weight: Weight, size: Size) -> Factors:
        """See `TrainedProduct.factors`."""
        start = min(max(round(self._start * size.narrow), LEAST), size.most)
        factors = TurningFactors(weight.rows, weight.columns, size.most, start)
        if not weight.trainable.is_meta:
            with torch.no_grad():
                factors.assign(weight.trainable)
        return factors

    def owned(self) -> Iterable[nn.Parameter]:
        """See `LifeCycle.owned`: all factors."""
        return [parameter for part in self._parts() for parameter in part.parameters()]

    def begin(self, phase: Phase, generator: torch.Generator) -> None:
        """See `LifeCycle.begin`: what it owns goes back to the start where the phase does."""
        parts = self._parts()
        if not self._initial:
            self._initial = [{n: t.clone() for n, t in p.state_dict().items()} for p in parts]
        elif phase.start == "initial":
            for part, state in zip(parts, self._initial, strict=True):
                part.load_state_dict(state)

    def after_backward(self, step: Step) -> None:
        """See `LifeCycle.after_backward`."""
        parts = self._parts()
        rates = [part.widen(step.learning_rate) for part in parts]
        slopes = _slopes(step, [part.core() for part in parts])
        still = step.number <= self._warm_up * step.per_epoch
        for part, rate, slope in zip(parts, rates, slopes, strict=True):
            part.narrow(rate, slope, self._theta, still=still)

    def _parts(self) -> list["TurningFactors"]:
        return [part for part in self.factored.values() if isinstance(part, TurningFactors)]


class TurningFactors(Factors):
    """K V' under training, with K = U S, in bases that turn.

    Beside K there is a factor B of zeros: read as K V' + U B', the product gives the slopes by both
    K and L in one pass. All tensors have the most columns there may be, of which the first act.

    Attributes:
        moved: K, (rows, R) parameter.
        turned: B, (columns, R) parameter, always 0.
        left: U, (rows, R).
        right: V, (columns, R).
        values: (R,) singular values, the diagonal of S.
        acts: () int64 rank.
        square: () running mean square of the slopes.
        steps: () int64 steps it is the mean of.
    """

    left: Tensor
    right: Tensor
    values: Tensor
    acts: Tensor
    square: Tensor
    steps: Tensor

    def __init__(self, rows: int, columns: int, most: int, rank: int) -> None:
        super().__init__(rows, columns)
        self.moved = nn.Parameter(torch.empty(rows, most))
        self.turned = nn.Parameter(torch.zeros(columns, most))
        self.register_buffer("left", torch.zeros(rows, most))
        self.register_buffer("right", torch.zeros(columns, most))
        self.register_buffer("values", torch.zeros(most))
        self.register_buffer("acts", torch.tensor(rank))
        self.register_buffer("square", torch.zeros(()))
        self.register_buffer("steps", torch.tensor(0))
        self._wide: Decomposition | None = None

    @property
    def rank(self) -> int:
        """Of the product."""
        return int(self.acts)

    def acting(self) -> tuple[Tensor, Tensor]:
        """See `Factors.acting`."""
        if self._wide is not None:
            return self._wide.left, self._wide.right @ self._wide.core.T
        r = self.rank
        if not self.training:
            return self.moved[:, :r], self.right[:, :r]
        left = torch.cat([self.moved[:, :r], self.left[:, :r]], 1)
        return left, torch.cat([self.right[:, :r], self.turned[:, :r]], 1)

    def assign(self, values: Tensor) -> None:
        """See `Matrix.assign`; the nearest of its rank."""
        spectrum = Spectrum.of(values)
        left, right = spectrum.factors(self.rank)
        root = spectrum.energies[: self.rank].pow(0.25).to(values.dtype)
        inverse = torch.where(root > 0, 1.0 / root, 0.0)
        self._set(Decomposition(left * inverse, torch.diag(root.square()), right * inverse))

    @torch.no_grad()
    def widen(self, learning_rate: float) -> float:
        """Reads as the same product in wider bases, whose core learns.

        Returns:
            The rate of this step.
        """
        r = self.rank
        slopes = _of(self.moved)[:, :r], _of(self.turned)[:, :r]
        rate = learning_rate * self._scale(slopes)
        core = torch.diag(self.values[:r])
        wide = widened(Decomposition(self.left[:, :r], core, self.right[:, :r]), slopes, rate)
        self._wide = wide._replace(core=wide.core.requires_grad_())
        return rate

    def core(self) -> Tensor:
        """The core of the wider bases."""
        assert self._wide is not None, "it was widened"
        return self._wide.core

    @torch.no_grad()
    def narrow(self, rate: float, slope: Tensor, theta: float, *, still: bool) -> None:
        """Moves the core against its slope, and leaves the ranks it does not need.

        Args:
            rate: of the step.
            slope: of the loss by the core, as large as it is.
            theta: share of the core's length that may be left out.
            still: whether the rank stays.
        """
        assert self._wide is not None, "it was widened"
        wide = self._wide._replace(core=self._wide.core.detach() - rate * slope)
        least, most = (self.rank, self.rank) if still else (LEAST, len(self.values))
        self._wide = None
        self._set(narrowed(wide, min(least, most), most, theta))

    def _scale(self, slopes: tuple[Tensor, Tensor]) -> float:
        """One over the root of the running mean square of slopes, this step's included."""
        self.steps += 1
        count = sum(slope.numel() for slope in slopes)
        now = sum(float(slope.square().sum()) for slope in slopes) / count
        self.square.mul_(DECAY).add_((1.0 - DECAY) * now)
        mean = float(self.square) / (1.0 - DECAY ** int(self.steps))
        return float(max(mean, EPSILON) ** -0.5)

    def _set(self, found: Decomposition) -> None:
        rank = found.core.shape[0]
        self.acts.fill_(rank)
        products = found.left, found.right, found.left @ found.core
        for kept, own in zip((self.left, self.right, self.moved), products, strict=True):
            kept.zero_()
            kept[:, :rank] = own
        self.values.zero_()
        self.values[:rank] = found.core.diagonal()


def _of(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _slopes(step: Step, cores: Sequence[Tensor]) -> list[Tensor]:
    """The slopes of the model's loss by the cores, in a second pass."""
    found = torch.autograd.grad(step.loss(), cores, allow_unused=True, materialize_grads=True)
    return list(found)
