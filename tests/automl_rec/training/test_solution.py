from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from automl_rec.builder import Built, build, finalize
from automl_rec.errors import NotResumableError
from automl_rec.plugin import ClosedFormModel
from automl_rec.registry import Registry
from automl_rec.testing.contract import configuration_of, same
from automl_rec.testing.planted import planted_tiny
from automl_rec.training.resumption import TrainingFile
from automl_rec.training.solution import solve

CATALOG = planted_tiny().catalog
REGISTRY = Registry.discover()
SOLVED = ["ease", "item-knn", "user-knn", "rp3beta", "ials", "fastrp", "popularity"]


def built(model: str) -> Built:
    return build(configuration_of(REGISTRY, model), CATALOG, REGISTRY, seed=3)


def solved(model: str, path: Path, *, keep: bool = True) -> Built:
    made = built(model)
    assert isinstance(made.model, ClosedFormModel)
    solve(made.model, CATALOG, 3, TrainingFile(path, "one", keep=keep))
    return made


@pytest.mark.parametrize("model", SOLVED)
def test_a_kept_solution_is_taken_over_without_solving(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "solution"
    first = solved(model, path)
    monkeypatch.setattr(type(first.model), "fit", None)
    second = solved(model, path)
    assert same(finalize(first).tensors(), finalize(second).tensors())


def test_nothing_is_written_unless_it_is_to_be_kept(tmp_path: Path) -> None:
    solved("ease", tmp_path / "solution", keep=False)
    assert not (tmp_path / "solution").exists()


@pytest.mark.parametrize("change", [lambda t: t[:1].clone(), lambda t: t.double()])
def test_a_solution_of_another_shape_or_type_is_refused(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "solution"
    solved("ease", path)
    file = TrainingFile(path, "one")
    tensors: dict[str, Tensor]
    tensors, facts = file.read()  # type: ignore[misc]
    file.write({name: change(tensor) for name, tensor in tensors.items()}, facts)
    with pytest.raises(NotResumableError, match="no complete training"):
        solved("ease", path)
    file.write({"other": torch.ones(1)}, facts)
    with pytest.raises(NotResumableError, match="no complete training"):
        solved("ease", path)
