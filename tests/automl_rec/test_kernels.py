from typing import cast

import pytest
import torch
from torch import Tensor

from automl_rec.builder import build, finalize, restore
from automl_rec.kernels import choose_kernels
from automl_rec.objectives.memory import resident_bytes
from automl_rec.plugin import Requests, RetrievalModel, Use, Value, Weight, keep
from automl_rec.plugin.matrices.describing import blank, describe
from automl_rec.plugin.matrices.expanding import KERNELS, Kernel
from automl_rec.plugin.matrices.sparse import SparseMatrix
from automl_rec.registry import Registry
from automl_rec.served import Served
from automl_rec.space.configuration import Chosen
from automl_rec.testing.contract import answers, configuration_of, trained
from automl_rec.testing.planted import planted_tiny

CATALOG = planted_tiny().catalog


class One(RetrievalModel):
    """A model of one weight."""

    def __init__(self, size: int, density: float, use: Use) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = Weight("one", size, size, "linear", use)
        values = torch.randn(size, size, generator=generator)
        self.weight.matrix = keep(values, torch.rand(size, size, generator=generator) < density)

    def scores(self, requests: Requests) -> Tensor:
        return self.weight.matrix.multiply(torch.ones(1, self.weight.columns))


def matrix_of(served: Served) -> SparseMatrix:
    return cast("SparseMatrix", cast("One", served.model).weight.matrix)


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_gives_the_same(kernel: Kernel) -> None:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(7, 11, generator=generator)
    kept = torch.rand(7, 11, generator=generator) < 0.3
    matrix = cast("SparseMatrix", keep(values, kept))
    matrix.kernel = kernel
    dense = values * kept
    x, ids = torch.randn(2, 3, 11, generator=generator), torch.tensor([[6, 0], [3, 3]])
    torch.testing.assert_close(matrix.multiply(x), x @ dense.T)
    torch.testing.assert_close(matrix.project(x[..., :7]), x[..., :7] @ dense)
    assert torch.equal(matrix.gather(ids), dense[ids])
    assert torch.equal(matrix.dense(), dense)
    bags = matrix.bag(torch.tensor([0, 2, 2, 4]), ids.reshape(-1))
    expected = torch.stack([dense[6] + dense[0], torch.zeros(11), 2 * dense[3]])
    torch.testing.assert_close(bags, expected)
    assert cast("SparseMatrix", blank(describe(matrix))).kernel == kernel


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_empty_matrix_has_every_kernel(kernel: Kernel) -> None:
    matrix = cast("SparseMatrix", keep(torch.ones(5, 9), torch.zeros(5, 9, dtype=torch.bool)))
    matrix.kernel = kernel
    assert torch.equal(matrix.multiply(torch.ones(3, 9)), torch.zeros(3, 5))
    assert matrix.multiply(torch.ones(0, 9)).shape == (0, 5)


def test_what_two_kernels_share_counts_once_in_memory() -> None:
    model = One(64, 0.1, Use(1.0))
    served = Served(model)
    resident = []
    for kernel in ("scipy", "torch"):
        matrix_of(served).kernel = kernel
        resident.append(resident_bytes(served, CATALOG.histories))
    assert resident[0] == resident[1]


def test_a_kernel_that_there_is_not_is_refused() -> None:
    matrix = cast("SparseMatrix", keep(torch.eye(8), torch.eye(8) > 0))
    with pytest.raises(ValueError, match="must be one of scipy, torch, dense, got 'quick'"):
        matrix.kernel = "quick"  # type: ignore[assignment]


@pytest.mark.slow
@pytest.mark.parametrize(("density", "kernel"), [(0.5, {"dense"}), (0.002, {"scipy", "torch"})])
def test_the_faster_kernel_is_chosen(density: float, kernel: set[Kernel]) -> None:
    served = Served(One(1024, density, Use(64.0)))
    choose_kernels(served)
    assert matrix_of(served).kernel in kernel


def test_a_matrix_that_is_too_large_is_not_written_out() -> None:
    places = torch.arange(8192)
    values, kept = torch.ones(8192, 2048), torch.zeros(8192, 2048, dtype=torch.bool)
    kept[places, places % 2048] = True
    model = One(8, 0.1, Use(1.0))
    model.weight.matrix = keep(values, kept)
    choose_kernels(Served(model))
    assert cast("SparseMatrix", model.weight.matrix).kernel == "scipy"


def test_what_is_loaded_again_has_the_kernels_that_were_chosen() -> None:
    registry = Registry.discover()
    settings: dict[str, Value] = {"density": 0.2, "mode": "one-shot", "scope": "uniform"}
    parts = {"sparsity": Chosen("magnitude", settings)}
    configuration = configuration_of(registry, "bpr-mf", compressions=parts)  # type: ignore[arg-type]
    served = finalize(trained(configuration, CATALOG, registry))
    sparse = [part for part in served.model.modules() if isinstance(part, SparseMatrix)]
    resident = resident_bytes(served, CATALOG.histories)
    for matrix in sparse:
        matrix.kernel = "dense"
    written = sum(4 * matrix.rows * matrix.columns for matrix in sparse)
    assert resident_bytes(served, CATALOG.histories) >= written
    assert resident < resident_bytes(served, CATALOG.histories)
    loaded = restore(configuration, CATALOG, registry, served.structure(), served.tensors())
    assert loaded.structure() == served.structure()
    assert torch.equal(answers(loaded, CATALOG), answers(served, CATALOG))
    found = [part for part in loaded.model.modules() if isinstance(part, SparseMatrix)]
    assert {matrix.kernel for matrix in found} == {"dense"}


def test_kernels_are_never_chosen_of_a_model_under_training() -> None:
    configuration = configuration_of(Registry.discover(), "bpr-mf")
    built = build(configuration, CATALOG, Registry.discover(), seed=0)
    with pytest.raises(TypeError, match="of what is served, got BprMf"):
        choose_kernels(built.model)  # type: ignore[arg-type]
