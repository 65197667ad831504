from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from automl_rec.builder import Built, build
from automl_rec.errors import NotResumableError, StorageError
from automl_rec.plugin import GradientModel, Kind, TrainableMatrix
from automl_rec.registry import Registry
from automl_rec.space.configuration import Chosen
from automl_rec.testing.contract import configuration_of, same
from automl_rec.testing.planted import planted_tiny
from automl_rec.training.checkpoint import state_of
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
    made: Built,
    path: Path | None,
    *,
    until: int = 99,
    patience: int = 9,
    identity: str = "one",
    keep: bool = False,
    seconds: float | None = None,
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
        seconds=seconds,
        file=None if path is None else TrainingFile(path, identity, keep=keep),
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


@pytest.mark.parametrize(("patience", "stopped"), [(9, None), (1, "patience")])
@pytest.mark.parametrize("sparsity", [None, GRADUAL])
def test_a_kept_training_is_taken_over_without_a_step(
    sparsity: Chosen | None,
    patience: int,
    stopped: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "training.safetensors"
    first, second = built("bpr-mf", sparsity), built("bpr-mf", sparsity)
    found = run(first, path, patience=patience, keep=True)
    assert found.stopped == stopped
    tensors = safetensors.torch.load_file(path)
    assert tensors.keys() == state_of(first.model).keys(), "moments and the like are left out"
    monkeypatch.setattr(type(second.model), "loss", None)
    assert run(second, path, patience=patience) == found
    assert same(weights(first), weights(second))


def test_a_training_cut_short_is_kept_as_it_was_left(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    first, second = built("bpr-mf"), built("bpr-mf")
    found = run(first, path, keep=True, seconds=0.0)
    assert found.stopped == "time"
    assert run(second, path) == found
    assert same(weights(first), weights(second))


def test_a_training_to_be_kept_goes_on_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    with pytest.raises(EndedError):
        run(built("bpr-mf"), path, keep=True, until=2)
    whole, continued = built("bpr-mf"), built("bpr-mf")
    run(whole, None)
    assert len(run(continued, path, keep=True).curve) == 6
    assert same(weights(whole), weights(continued))


@pytest.mark.parametrize(
    ("name", "value"), [("curve", 3), ("curve", [3]), ("epochs", -1), ("seconds", "long")]
)
def test_facts_of_no_ended_training_are_refused(name: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    run(built("bpr-mf"), path, keep=True)
    rewritten(path, lambda _, facts: facts.update({name: value}))
    with pytest.raises(NotResumableError, match="no complete training"):
        run(built("bpr-mf"), path)
    rewritten(path, lambda tensors, _: tensors.clear())
    with pytest.raises(NotResumableError, match="no complete training"):
        run(built("bpr-mf"), path)


def test_the_file_of_another_training_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    run(built("bpr-mf"), path)
    content = path.read_bytes()
    with pytest.raises(
        NotResumableError,
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
    with pytest.raises(NotResumableError, match="no complete training"):
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


def rewritten(path: Path, change: Callable[[dict[str, Tensor], dict[str, Any]], None]) -> None:
    """The file of a training of the same identity with something else in it."""
    file = TrainingFile(path, "one")
    found = file.read()
    assert found is not None
    change(*found)
    file.write(*found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("phase", None), ("phase", "x"), ("phase", -1), ("phase", 1), ("phase", True)],
        *[("epoch", None), ("epoch", -(10**9)), ("epoch", 7), ("epoch", "3"), ("epoch", 0.5)],
        *[("step", None), ("step", -1), ("before", -1), ("seconds", "long"), ("waited", "x")],
        *[("best", []), ("entries", None), ("curve", 3), ("curve", [3]), ("curve", [{"epoch": 1}])],
    ],
)
def test_facts_of_no_training_are_refused(name: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    run(built("bpr-mf"), path, patience=1)
    rewritten(path, lambda _, facts: facts.update({name: value}))
    with pytest.raises(StorageError, match="no complete training"):
        run(built("bpr-mf"), path)
    rewritten(path, lambda _, facts: facts.pop(name))
    with pytest.raises(StorageError, match=f"no complete training .{name} is missing"):
        run(built("bpr-mf"), path)


@pytest.mark.parametrize(
    "prefix", ["now.", "best.", "adam.mean.", "random.global", "random.batches"]
)
def test_tensors_of_another_shape_or_type_are_refused(prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    run(built("bpr-mf"), path, patience=1)
    content = path.read_bytes()
    for change in (lambda t: t[:1].clone(), lambda t: t.double(), lambda t: torch.ones(())):
        path.write_bytes(content)

        def put(tensors: dict[str, Tensor], _: object, change: Any = change) -> None:
            name = next(name for name in tensors if name.startswith(prefix))
            tensors[name] = change(tensors[name])

        rewritten(path, put)
        with pytest.raises(StorageError, match="no complete training"):
            run(built("bpr-mf"), path)


@pytest.mark.parametrize("facts", ["[]", "3", "{}", "[" * 10**5, '{"identity": 3}'])
def test_a_header_of_another_form_is_refused(facts: str, tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    safetensors.torch.save_file({"a": torch.ones(2)}, path, {"training 2": facts})
    with pytest.raises(StorageError, match=r"no complete training|another configuration"):
        TrainingFile(path, "one").read()


def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no complete training .*File name too long"):
        TrainingFile(tmp_path / ("n" * 300), "one").read()
