from pathlib import Path

import pytest
import torch
from torch import Tensor

from automl_rec.builder import Built, build
from automl_rec.errors import StorageError
from automl_rec.plugin import GradientModel, Kind, TrainableMatrix
from automl_rec.registry import Registry
from automl_rec.space.configuration import Chosen
from automl_rec.testing.contract import configuration_of, same
from automl_rec.testing.planted import planted_tiny
from automl_rec.training.progress import Progress, Training
from automl_rec.training.resumption import TrainingFile
from automl_rec.training.trainer import train

CATALOG = planted_tiny().catalog
REGISTRY = Registry.discover()
GRADUAL = Chosen("magnitude", {"density": 0.3, "mode": "gradual", "scope": "uniform"})


class EndedError(Exception):
    """Stands for whatever ends a process."""


def built(model: str, sparsity: Chosen | None = None) -> Built:
    compressions: dict[Kind, Chosen] = {"sparsity": sparsity} if sparsity else {}
    configuration = configuration_of(REGISTRY, model, compressions=compressions)
    return build(configuration, CATALOG, REGISTRY, seed=3)


def run(
    made: Built, path: Path | None, *, until: int = 99, patience: int = 9, identity: str = "one"
) -> Training:
    """Trains for six epochs, interrupted after ``until`` of them."""
    model = made.model
    assert isinstance(model, GradientModel)
    settings = {**made.training, "epochs": 6, "patience": patience, "batch_size": 64}

    def validate() -> tuple[float, float]:
        total = sum(float(p.detach().abs().sum()) for p in model.parameters())
        return -total % 1.0, 0.0

    def report(progress: Progress) -> bool:
        if progress.epoch > until:
            raise EndedError
        return True

    return train(
        model,
        CATALOG,
        validate,
        settings=settings,
        seed=3,
        cycles=made.cycles,
        report=report,
        file=None if path is None else TrainingFile(path, identity),
    )


def weights(made: Built) -> dict[str, Tensor]:
    """What training decides, masks included."""
    matrices = (part for part in made.model.modules() if isinstance(part, TrainableMatrix))
    masks = {f"mask {n}": m.mask for n, m in enumerate(matrices) if m.mask is not None}
    return {**made.model.state_dict(), **masks}


@pytest.mark.parametrize(
    ("model", "sparsity"), [("bpr-mf", None), ("sasrec", None), ("bpr-mf", GRADUAL)]
)
def test_an_interrupted_training_goes_on_as_if_it_had_never_stopped(
    model: str,
    sparsity: Chosen | None,
    tmp_path: Path,
) -> None:
    path = tmp_path / "folder" / "training.safetensors"
    whole, cut, continued = (built(model, sparsity) for _ in range(3))
    expected = run(whole, None)
    with pytest.raises(EndedError):
        run(cut, path, until=3)
    found = run(continued, path)
    points = [(p.epoch, p.quality) for p in expected.curve]
    assert [(p.epoch, p.quality) for p in found.curve] == points
    assert len(points) == 6
    assert same(weights(whole), weights(continued))


def test_a_finished_training_is_not_run_again(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    first, second = built("bpr-mf"), built("bpr-mf")
    found, again = (run(made, path, patience=1) for made in (first, second))
    assert found.stopped == again.stopped == "patience"
    assert found.curve == again.curve
    assert same(weights(first), weights(second))


def test_the_file_of_another_training_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    run(built("bpr-mf"), path)
    content = path.read_bytes()
    with pytest.raises(
        StorageError,
        match="another configuration, other data, another seed or another first quality",
    ):
        run(built("bpr-mf"), path, identity="two")
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"no tensors", None])
def test_a_damaged_file_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    if content is None:
        run(built("bpr-mf"), path)
        content = path.read_bytes()[:-1]
    path.write_bytes(content)
    with pytest.raises(StorageError, match="no complete training"):
        run(built("bpr-mf"), path)


def test_a_file_that_cannot_be_written_keeps_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    file = TrainingFile(path, "one")
    file.write({"a": torch.ones(2)}, {"epoch": 1})
    (tmp_path / "in_the_way").write_text("")
    with pytest.raises(StorageError, match="could not be written"):
        TrainingFile(tmp_path / "in_the_way" / "x", "one").write({}, {})
    found = file.read()
    assert found is not None
    assert found[1] == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("training")] == [path.name]
