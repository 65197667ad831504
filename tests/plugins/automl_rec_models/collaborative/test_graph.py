import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor

from automl_rec.plugin import Catalog
from automl_rec_models.collaborative.graph import Graph, Rows

Array = npt.NDArray[np.float64]


def dense(met: Array) -> Array:
    """D^-1/2 M D^-1/2 of users and items together, node by node."""
    users, items = met.shape
    adjacency = np.zeros((users + items, users + items))
    adjacency[:users, users:] = met
    adjacency[users:, :users] = met.T
    degrees = adjacency.sum(1)
    for row, column in zip(*adjacency.nonzero(), strict=True):
        adjacency[row, column] /= np.sqrt(degrees[row] * degrees[column])
    return adjacency


def graph_of(matrix: sp.csr_matrix) -> Graph:
    return Graph(matrix.indptr, matrix.indices, matrix.shape[1])


def drawn(catalog: Catalog, width: int = 3) -> Rows:
    generator = torch.Generator().manual_seed(0)
    shapes = (catalog.num_users, width), (catalog.num_items, width)
    return Rows(*(torch.randn(shape, generator=generator) for shape in shapes))


@pytest.mark.parametrize("weights", [(1.0,), (0.0, 1.0), (0.25,) * 4, (0.0, 0.5, 0.0, -2.0)])
def test_spreading_is_the_polynomial_of_the_dense_matrix(
    catalog: Catalog, weights: tuple[float, ...]
) -> None:
    rows = drawn(catalog)
    spread = graph_of(catalog.matrix).spread(rows, weights)
    full = dense(catalog.matrix.toarray().astype(np.float64))
    powers = (np.linalg.matrix_power(full, power) * w for power, w in enumerate(weights))
    expected = sum(powers) @ torch.cat(rows).double().numpy()
    np.testing.assert_allclose(torch.cat(spread).numpy(), expected, atol=1e-6)


def test_the_slope_of_spreading_is_that_of_the_dense_product(catalog: Catalog) -> None:
    weights = (0.2, 0.3, 0.5)
    rows, factors = drawn(catalog), torch.cat(drawn(catalog)).flip(0)
    for part in rows:
        part.requires_grad_()
    (torch.cat(graph_of(catalog.matrix).spread(rows, weights)) * factors).sum().backward()
    full = torch.from_numpy(dense(catalog.matrix.toarray().astype(np.float64)))
    powers = sum(w * torch.linalg.matrix_power(full, power) for power, w in enumerate(weights))
    slopes = [part.grad for part in rows if part.grad is not None]
    expected = (powers @ factors.double()).float()
    torch.testing.assert_close(torch.cat(slopes), expected, rtol=1e-5, atol=1e-6)


def test_the_spectrum_lies_between_minus_one_and_one_and_mirrors_itself(catalog: Catalog) -> None:
    nodes = catalog.num_users + catalog.num_items
    units = torch.eye(nodes)
    parts = Rows(*torch.split(units, [catalog.num_users, catalog.num_items]))
    matrix = torch.cat(graph_of(catalog.matrix).spread_once(parts)).double().numpy()
    np.testing.assert_array_equal(matrix, matrix.T)
    values = np.linalg.eigvalsh(matrix)
    np.testing.assert_allclose(values, -values[::-1], atol=1e-6)
    assert values[-1] == pytest.approx(1.0, abs=1e-6)


def test_nodes_without_an_edge_receive_nothing(catalog: Catalog) -> None:
    spread = graph_of(catalog.matrix).spread_once(drawn(catalog))
    assert spread.users[0].tolist() == [0.0, 0.0, 0.0]  # user 0 has no event, item 11 neither
    assert spread.items[11].tolist() == [0.0, 0.0, 0.0]
    assert bool(torch.cat(spread).isfinite().all())


def test_a_graph_without_edges_gives_zeros() -> None:
    spread = Graph(np.zeros(4, np.int32), np.zeros(0, np.int32), 2).spread_once(
        Rows(torch.ones(3, 2), torch.ones(2, 2))
    )
    assert spread.users.tolist() == [[0.0, 0.0]] * 3
    assert spread.items.tolist() == [[0.0, 0.0]] * 2


@pytest.mark.parametrize("side", ["users", "items"])
def test_spreading_follows_a_new_numbering(catalog: Catalog, side: str) -> None:
    rows, weights = drawn(catalog), (0.5, 0.25, 0.25)
    order = np.random.default_rng(0).permutation(getattr(rows, side).shape[0])
    matrix = catalog.matrix
    renumbered = matrix[order] if side == "users" else sp.csr_matrix(matrix[:, order])
    part: Tensor = getattr(rows, side)
    moved = graph_of(renumbered).spread(rows._replace(**{side: part[order]}), weights)
    plain = graph_of(catalog.matrix).spread(rows, weights)
    expected = plain._replace(**{side: getattr(plain, side)[order]})
    torch.testing.assert_close(torch.cat(moved), torch.cat(expected))


@pytest.mark.parametrize(
    ("indptr", "items"), [([0, 1, 2], [0, 9]), ([0, 1, 2], [-1, 0]), ([0, 9, 2], [0, 1])]
)
def test_places_outside_of_the_graph_are_refused(indptr: list[int], items: list[int]) -> None:
    with pytest.raises(ValueError, match=r"ind(ex|ices|ptr|ex pointer)"):
        Graph(np.array(indptr, np.int32), np.array(items, np.int32), 3)
