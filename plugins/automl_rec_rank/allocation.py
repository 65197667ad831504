"""How many ranks every weight is given."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from automl_rec.plugin import Either, Form, Infeasible, Interval, Leaf, Product

LARGEST_SPECTRUM = 4096
"""Narrow side whose whole spectrum still takes seconds, not minutes."""

Importance: TypeAlias = Callable[[Tensor, "Size"], Tensor]
"""How much each rank of a weight is worth, from its energies (R,), largest first: (R,)."""


@dataclass(frozen=True, slots=True)
class Size:
    """The shape of a weight that may be factored.

    Attributes:
        rows: M.
        columns: N.
        saving: share of its numbers that factors must save.
    """

    rows: int
    columns: int
    saving: float = 0.0

    @classmethod
    def of(cls, form: Form, saving: float = 0.0) -> "Size":
        """The size of a form of one matrix."""
        (leaf,) = form.leaves()
        return cls(int(leaf.rows.low), int(leaf.columns.low), saving)

    @property
    def narrow(self) -> int:
        """The full rank."""
        return min(self.rows, self.columns)

    @property
    def most(self) -> int:
        """The largest rank whose factors hold fewer numbers than the weight; 0 where none does."""
        numbers = self.rows * self.columns
        return int(min(numbers - 1, (1.0 - self.saving) * numbers) // (self.rows + self.columns))

    def numbers(self, rank: int) -> int:
        """Numbers stored at a rank; past `most` the weight stays whole."""
        whole = rank > self.most
        return self.rows * self.columns if whole else rank * (self.rows + self.columns)

    def rank_within(self, numbers: int) -> int:
        """The largest rank that stores no more numbers."""
        if numbers >= self.rows * self.columns:
            return self.narrow
        return min(self.most, numbers // (self.rows + self.columns))

    @property
    def largest_step(self) -> int:
        """The most numbers that one more rank takes."""
        return max(self.numbers(1), self.rows * self.columns - self.numbers(max(self.most, 1)))

    def steps(self) -> Tensor:
        """Numbers that each further rank takes: (narrow,) int64, none once the weight is whole."""
        ranks = torch.arange(self.narrow + 1)
        numbers = ranks * (self.rows + self.columns)
        return torch.where(ranks > self.most, self.rows * self.columns, numbers).diff()


class Allocation(ABC):
    """A rule for the ranks of all weights; a rank past `Size.most` leaves a weight whole.

    Attributes:
        reads_energies: whether ranks follow from values, not from sizes alone.
        saving: share of a weight's numbers that its factors must save.
    """

    reads_energies: bool = True
    saving: float = 0.0

    @abstractmethod
    def bounds(self, sizes: Mapping[str, Size]) -> dict[str, Interval]:
        """The least and the largest rank of every weight.

        Raises:
            Infeasible: no ranks follow the rule.
        """

    @abstractmethod
    def ranks(self, energies: Mapping[str, Tensor], sizes: Mapping[str, Size]) -> dict[str, int]:
        """The rank of every weight.

        Args:
            energies: of every weight (R,) float64, R <= narrow, largest first; none where the rule
                does not read them.
            sizes: of every weight.
        """

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """The forms with factors in place of weights, as far as sizes decide.

        Raises:
            Infeasible: no ranks follow the rule, or they would take minutes to find.
        """
        sizes = self.sizes(forms)
        if self.reads_energies:
            for size in sizes.values():
                refuse_large(size)
        bounds = self.bounds(sizes)
        return {name: priced(form, sizes[name], bounds[name]) for name, form in forms.items()}

    def sizes(self, forms: Mapping[str, Form]) -> dict[str, Size]:
        """The size of every weight."""
        return {name: Size.of(form, self.saving) for name, form in forms.items()}


class Uniform(Allocation):
    """A share of the narrow side, at least one rank."""

    reads_energies = False

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio

    def bounds(self, sizes: Mapping[str, Size]) -> dict[str, Interval]:
        """See `Allocation.bounds`; exact."""
        return {name: Interval(rank, rank) for name, rank in self.ranks({}, sizes).items()}

    def ranks(self, energies: Mapping[str, Tensor], sizes: Mapping[str, Size]) -> dict[str, int]:
        """See `Allocation.ranks`."""
        return {name: max(round(self.ratio * size.narrow), 1) for name, size in sizes.items()}


class Energy(Allocation):
    """The smallest rank that holds a share of the energies."""

    def __init__(self, energy: float) -> None:
        self.energy = energy

    def bounds(self, sizes: Mapping[str, Size]) -> dict[str, Interval]:
        """See `Allocation.bounds`; any rank."""
        return {name: Interval(1, size.narrow) for name, size in sizes.items()}

    def ranks(self, energies: Mapping[str, Tensor], sizes: Mapping[str, Size]) -> dict[str, int]:
        """See `Allocation.ranks`."""
        return {name: self._rank(own) for name, own in energies.items()}

    def _rank(self, energies: Tensor) -> int:
        held = energies.cumsum(0)
        return min(int((held < self.energy * held[-1]).sum()) + 1, len(held))


class Budget(Allocation):
    """The most important ranks of all weights together, as many as a budget of numbers pays for.

    Weights that no factors can replace are left out of it; every other has one rank in any case.
    Ranks are taken in the order of their importance until
    one does not fit, so that one threshold divides those taken from the others; a weight whose
    ranks no longer save enough stays whole. What is left of the budget is less than the numbers of
    one step: one rank, or what makes a weight whole.
    """

    def __init__(self, budget: float, importance: Importance, saving: float = 0.0) -> None:
        """Sets the rule.

        Args:
            budget: share of the numbers of all weights that factors can replace.
            importance: of every rank, never larger than that of the rank before.
            saving: see `Allocation.saving`.
        """
        self.budget, self.importance, self.saving = budget, importance, saving

    def bounds(self, sizes: Mapping[str, Size]) -> dict[str, Interval]:
        """See `Allocation.bounds`; exact for one weight alone."""
        found = {name: Interval(size.narrow, size.narrow) for name, size in sizes.items()}
        sizes = {name: size for name, size in sizes.items() if size.most}
        limit = self._limit(sizes)
        least = {name: size.numbers(1) for name, size in sizes.items()}
        whole = {name: size.rows * size.columns for name, size in sizes.items()}
        step = max((size.largest_step for size in sizes.values()), default=0)
        for name, size in sizes.items():
            allowed = limit - (sum(least.values()) - least[name])
            passed = limit - step - (sum(whole.values()) - whole[name])
            low = max(size.rank_within(passed), 0) + 1  # more than these numbers are taken
            found[name] = Interval(min(low, size.narrow), size.rank_within(allowed))
        return found

    def ranks(self, energies: Mapping[str, Tensor], sizes: Mapping[str, Size]) -> dict[str, int]:
        """See `Allocation.ranks`."""
        whole = {name: size.narrow for name, size in sizes.items() if not size.most}
        sizes = {name: size for name, size in sizes.items() if size.most}
        return whole | (self._shared(energies, sizes) if sizes else {})

    def _shared(self, energies: Mapping[str, Tensor], sizes: Mapping[str, Size]) -> dict[str, int]:
        steps = [size.steps()[: len(energies[name])] for name, size in sizes.items()]
        worth = [self._worth(energies[name], size) for name, size in sizes.items()]
        owners = torch.arange(len(sizes)).repeat_interleave(torch.tensor([len(w) for w in worth]))
        order = torch.cat(worth).argsort(descending=True, stable=True)
        spent = torch.cat(steps)[order].cumsum(0)
        taken = owners[order[: int((spent <= self._limit(sizes)).sum())]]
        return dict(zip(sizes, taken.bincount(minlength=len(sizes)).tolist(), strict=True))

    def _worth(self, energies: Tensor, size: Size) -> Tensor:
        worth = self.importance(energies, size).clone()
        worth[0] = torch.inf
        return worth

    def _limit(self, sizes: Mapping[str, Size]) -> int:
        limit = int(self.budget * sum(size.rows * size.columns for size in sizes.values()))
        needed = sum(size.numbers(1) for size in sizes.values())
        if needed > limit:
            raise Infeasible(
                f"A budget of {self.budget:g} is {limit:,} numbers, but one rank for every weight "
                f"takes {needed:,}. Raise the budget, or allocate ranks by ratio or energy."
            )
        return limit


def allocation_of(name: str, ratio: float, energy: float, budget: Budget) -> Allocation:
    """The rule of a name: ``"uniform"``, ``"energy"``, or by budget."""
    by_weight: dict[str, Allocation] = {"uniform": Uniform(ratio), "energy": Energy(energy)}
    return by_weight.get(name, budget)


def by_energy(energies: Tensor, size: Size) -> Tensor:
    """Energy gained for each number that a rank takes."""
    return energies / (size.rows + size.columns)


def by_share(energies: Tensor, size: Size) -> Tensor:
    """Share of its weight's energy gained for each number that a rank takes."""
    total = energies.sum()
    return by_energy(energies / total if total > 0 else energies, size)


def by_normalised_values(energies: Tensor, size: Size) -> Tensor:
    """Singular values, shifted and scaled so that those of a weight reach from 0 to 1."""
    values = energies.sqrt()
    values = values - values[-1]
    return values / values[0] if values[0] > 0 else values


def refuse_large(size: Size) -> None:
    """Refuses a weight whose whole spectrum would take minutes.

    Raises:
        Infeasible: its narrow side is too large.
    """
    if size.most and size.narrow > LARGEST_SPECTRUM:
        raise Infeasible(
            f"This rank needs the whole spectrum of a weight of {size.rows:,} x "
            f"{size.columns:,}, which is done up to a narrow side of {LARGEST_SPECTRUM:,}. "
            f"Use svd with allocation: uniform."
        )


def priced(form: Form, size: Size, ranks: Interval) -> Form:
    """The form of a weight at a rank between two; past `Size.most` the form it has."""
    if size.most == 0 or ranks.low > size.most:
        return form
    kept = Interval(ranks.low, min(ranks.high, size.most))
    factors = Product(_factor_form(size.rows, kept), _factor_form(size.columns, kept))
    return Either(form, factors) if ranks.high > size.most else factors


def _factor_form(rows: int, rank: Interval) -> Leaf:
    return Leaf(Interval(rows, rows), rank, rank.times(rows))
