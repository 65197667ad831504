from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from automl_rec.plugin import Catalog, Field, Layers, PlainTable, Requests, Table
from automl_rec.testing.planted import Planted
from automl_rec_models.collaborative.ials import Ials, solve_rows
from automl_rec_models.collaborative.popularity import Popularity

Fit = Callable[..., Any]
Array = npt.NDArray[np.float64]
PLAIN: dict[str, Any] = {
    "width": 3,
    "regularization": 0.02,
    "unobserved_weight": 0.2,
    "frequency_exponent": 1.0,
    "iterations": 4,
}


class QuarterTable(PlainTable):
    """Stores every value as the nearest quarter."""

    def assign(self, rows: Tensor) -> None:
        super().assign((rows * 4).round() / 4)


class Quarters:
    """Makes coarse tables of items, plain ones of users."""

    def table(self, field: Field, generator: torch.Generator) -> Table:
        return (QuarterTable if field.name == "item" else PlainTable)(field, generator)


def row_by_row(x: Array, fixed: Array, penalties: Array, unobserved: float) -> Array:
    """Every row from its own normal equations, one after the other."""
    shared = unobserved * fixed.T @ fixed
    solved = np.zeros((len(x), fixed.shape[1]))
    for row, met in enumerate(x.astype(bool)):
        system = shared + penalties[row] * np.eye(fixed.shape[1]) + fixed[met].T @ fixed[met]
        solved[row] = np.linalg.solve(system, fixed[met].sum(0))
    return solved


def rows_of(model: Ials) -> tuple[Array, Array]:
    return model.user.rows().double().numpy(), model.item.rows().double().numpy()


def objective(
    x: Array, model: Ials, regularization: float, unobserved: float, exponent: float
) -> float:
    users, items = rows_of(model)
    scores, masses = users @ items.T, masses_of(x, unobserved)
    strength = (
        regularization * sum(m.sum() for m in masses) / sum((m**exponent).sum() for m in masses)
    )
    penalty = sum(
        (m**exponent * (rows**2).sum(1)).sum()
        for m, rows in zip(masses, (users, items), strict=True)
    )
    fit = (x * (scores - 1) ** 2).sum() + unobserved * (scores**2).sum()
    return float(fit + strength * penalty)


def masses_of(x: Array, unobserved: float) -> tuple[Array, Array]:
    users, items = x.shape
    return x.sum(1) + unobserved * items, x.sum(0) + unobserved * users


@pytest.mark.parametrize("width", [3, 9])
def test_users_solve_their_own_normal_equations(fit: Fit, catalog: Catalog, width: int) -> None:
    x = catalog.matrix.toarray().astype(np.float64)
    assert x.sum(1).min() < 3 < x.sum(1).max() < 9  # both ways of solving are met
    users, items = rows_of(fit(Ials, catalog, **{**PLAIN, "width": width}))
    expected = row_by_row(x, items, 0.02 * masses_of(x, 0.2)[0], 0.2)
    np.testing.assert_allclose(users, expected, atol=1e-5)
    assert np.abs(expected).max() > 0.3


def test_alternating_slowly_reaches_the_same_rows(fit: Fit, catalog: Catalog) -> None:
    x = catalog.matrix.toarray().astype(np.float64)
    by_user, by_item = (0.02 * masses for masses in masses_of(x, 0.2))
    start = torch.randn(12, 3, generator=torch.Generator().manual_seed(1)) * 0.1 / 3**0.5
    items = start.double().numpy()
    for _ in range(4):
        users = row_by_row(x, items, by_user, 0.2)
        items = row_by_row(x.T, users, by_item, 0.2)
    np.testing.assert_allclose(rows_of(fit(Ials, catalog, **PLAIN))[1], items, atol=1e-4)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_the_objective_falls_with_every_iteration(
    fit: Fit, catalog: Catalog, exponent: float
) -> None:
    x = catalog.matrix.toarray().astype(np.float64)
    settings = {**PLAIN, "frequency_exponent": exponent}
    values = [
        objective(x, fit(Ials, catalog, **{**settings, "iterations": n}), 0.02, 0.2, exponent)
        for n in range(1, 8)
    ]
    assert all(later < earlier for earlier, later in pairwise(values))


def test_users_answer_to_the_item_table_as_it_is_stored(catalog: Catalog) -> None:
    x = catalog.matrix.toarray().astype(np.float64)
    model = Ials(catalog, Layers(catalog, torch.Generator(), Quarters()), **PLAIN)
    model.fit(catalog, torch.Generator().manual_seed(1))
    users, items = (table.rows().detach().double().numpy() for table in (model.user, model.item))
    assert set(np.unique(items * 4 % 1)) == {0.0}
    expected = row_by_row(x, items, 0.02 * masses_of(x, 0.2)[0], 0.2)
    np.testing.assert_allclose(users, expected, atol=1e-5)


def test_rows_without_interactions_are_zero(fit: Fit, catalog: Catalog) -> None:
    users, items = rows_of(fit(Ials, catalog, **PLAIN))
    assert users.any(1).tolist() == (catalog.user_counts > 0).tolist()
    assert items.any(1).tolist() == (catalog.item_counts > 0).tolist()
    assert not users[0].any()
    assert not items[11].any()


def test_a_system_singular_in_float32_is_solved_all_the_same() -> None:
    met, weak = torch.ones(1, 4, 2), torch.full((1, 2), 1e-9)
    np.testing.assert_allclose(solve_rows(met, weak), [[0.5, 0.5]], rtol=1e-6)


def test_the_same_seed_gives_the_same_bits(fit: Fit, catalog: Catalog) -> None:
    first, again, other = (
        torch.from_numpy(rows_of(fit(Ials, catalog, seed=seed, **PLAIN))[1]) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_scores_are_inner_products(fit: Fit, catalog: Catalog) -> None:
    model = fit(Ials, catalog, **PLAIN)
    users, items = rows_of(model)
    nothing = torch.zeros(0, dtype=torch.int64)
    scores = model.scores(Requests(torch.tensor([5, 2]), torch.tensor([0, 0, 0]), nothing))
    np.testing.assert_allclose(scores, users[[5, 2]] @ items.T, atol=1e-6)


def test_the_model_builds_without_memory(catalog: Catalog) -> None:
    with torch.device("meta"):
        model = Ials(catalog, Layers(catalog, torch.Generator()), **PLAIN)
    assert {name: tuple(t.shape) for name, t in model.state_dict().items()} == {
        "user.store.matrix.weight": (40, 3),
        "item.store.matrix.weight": (12, 3),
    }


def test_planted_blocks_are_found(
    fit: Fit, planted: Planted, ndcg_at_10: Callable[[Any, Planted], float]
) -> None:
    model = fit(Ials, planted.catalog, **{**PLAIN, "width": 16, "iterations": 8})
    popularity = ndcg_at_10(fit(Popularity, planted.catalog), planted)
    assert ndcg_at_10(model, planted) >= 2.5 * popularity
