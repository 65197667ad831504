"""Artefacts and trainings: files that somebody else may have written."""

import hashlib
import io
import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from automl_rec import export, serving
from automl_rec.builder import build, finalize
from automl_rec.data import DataRequest, FeatureFile, Prepared, prepare
from automl_rec.errors import AutomlRecError, DivergenceError, NotResumableError
from automl_rec.evaluation import Evaluated, evaluate
from automl_rec.objectives import resolve
from automl_rec.plugin import ClosedFormModel, Value
from automl_rec.registry import Registry
from automl_rec.space.checker import check
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.space.space import Space
from automl_rec.testing.settings import settings_of
from automl_rec.training.progress import Progress

CASES, TRAINING_CASES = 1500, 600
SHARE_ANSWERED = 0.2
HEADERS = ("automl_rec", "training 3")
MODELS: dict[str, tuple[str, dict[str, Value], dict[str, tuple[str, dict[str, Value]]]]] = {
    "sparse": ("ease", {}, {"sparsity": ("magnitude", {"density": 0.03})}),
    "bits": ("ease", {}, {"sparsity": ("magnitude", {"density": 0.6})}),
    "hashed": (
        "bpr-mf",
        {"width": 8},
        {"embedding": ("hash", {"budget": 0.5}), "rank": ("svd", {})},
    ),
    "coded": ("bpr-mf", {"width": 8}, {"embedding": ("dpq", {"budget": 0.9})}),
    "halves": ("bpr-mf", {"width": 8}, {"embedding": ("quant", {"sized_by": "bits", "bits": 4})}),
    "pairs": ("lightgcn", {"width": 8}, {"embedding": ("qr", {"budget": 0.9})}),
    "neighbours": ("user-knn", {}, {}),
    "attention": ("simplex", {"width": 8, "history": "self-attention"}, {}),
    "towers": ("two-tower", {"width": 8}, {}),
    "sequence": ("sasrec", {"width": 16, "length": 20}, {}),
    "rows": ("fm", {"width": 4}, {"embedding": ("hash", {"budget": 0.5})}),
    "crossed": ("dcn-v2", {"width": 4}, {"sparsity": ("magnitude", {"density": 0.3})}),
}
NUMBERS = [0, 1, -1, 2, 3, 7, 127, 255, 2**31 - 1, 2**31, 2**63 - 1, -(2**63), 10**12, 10**30]
ODD: list[Any] = [
    *(None, True, False, *NUMBERS, 0.0, 0.5, -1.5, 1e308, "", "x", "../../bait.csv", "/etc/passwd"),
    *("dense", "csr", "bitmap", "low-rank", "codes", "blocks", "fp16", "int4", "categorical"),
    *(
        "multi",
        "numeric",
        "vector",
        [],
        {},
        [1],
        [[]],
        {"layout": "dense"},
        {"a": {}},
        "\0",
        "\U0001f600",
    ),
]
DTYPES = [torch.float32, torch.float16, torch.int8, torch.uint8, torch.int64, torch.int32]
DTYPES += [torch.bool, torch.bfloat16, torch.float64, torch.uint16, torch.uint32, torch.complex64]


@dataclass(frozen=True)
class Shelf:
    """Sound artefacts by name, as the bytes of their files, and rows to ask about."""

    artefacts: dict[str, dict[str, bytes]] = field(repr=False)
    rows: pl.DataFrame = field(repr=False)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Shelf:
    return make_shelf(tmp_path_factory.mktemp("shelf"), registry)


def make_shelf(folder: Path, registry: Registry) -> Shelf:
    draw = np.random.default_rng(0)
    rows = pl.DataFrame(
        {
            "user": [f"u{n % 9}" for n in range(120)],
            "item": draw.integers(0, 12, 120),
            "tags": ["|".join("abc"[: n % 4]) for n in range(120)],
            "price": draw.random(120).round(3),
            "label": draw.integers(0, 2, 120),
        }
    )
    rows.write_csv(folder / "events.csv")
    shelves = pl.DataFrame({"item": range(12), "shelf": [n % 3 for n in range(12)], "size": 1.5})
    shelves.write_csv(folder / "items.csv")
    features = FeatureFile(str(folder / "items.csv"), {"shelf": "categorical", "size": "numeric"})
    asked = {
        "retrieval": DataRequest(path=str(folder / "events.csv"), item_features=features),
        "ranking": DataRequest(
            path=str(folder / "events.csv"),
            task="ranking",
            fields={"tags": "multi", "price": "numeric"},
            item_features=FeatureFile(str(folder / "items.csv"), {"shelf": "categorical"}),
        ),
    }
    data = {task: prepare(request, folder / "cache") for task, request in asked.items()}
    artefacts = {}
    for name, (model, values, others) in MODELS.items():
        tasks = registry.component("model", model).tasks
        task = "ranking" if "ranking" in tasks else "retrieval"
        parts = {
            kind: Chosen(part, settings_of(registry.component(kind, part), **fixed))  # type: ignore[arg-type]
            for kind, (part, fixed) in others.items()
        }
        own = settings_of(registry.component("model", model), **values)
        configuration = Configuration(Chosen(model, own), **parts)
        artefacts[name] = shipped(folder / name, configuration, data[task], registry)
    return Shelf(artefacts, rows)


def shipped(
    folder: Path, configuration: Configuration, data: Prepared, registry: Registry
) -> dict[str, bytes]:
    built = build(configuration, data.catalog, registry, seed=0)
    if isinstance(built.model, ClosedFormModel):
        built.model.fit(data.catalog, torch.Generator().manual_seed(0))
    served = finalize(built)
    export.write_model(folder / export.MODEL, served, configuration)
    content = export.Artefact(folder / export.MODEL, configuration.as_dict(), data, {}, {})
    written = export.write(folder / "artefact", content)
    return {path.name: path.read_bytes() for path in written.iterdir()}


def parsed(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and tensors' bytes of a safetensors file."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def assembled(header: Any, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def ways(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside nested data."""
    pairs: Any = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = list(enumerate(value))[:40]
    return [inner for key, held in pairs for inner in ((*way, key), *ways(held, (*way, key)))]


def changed(draw: st.DrawFn, value: Any) -> Any:
    """Nested data with something else in one place, or a key more or less."""
    found = ways(value)
    if not found or draw(st.integers(0, 30)) == 0:
        return json.loads(json.dumps(draw(st.sampled_from(ODD))))
    *outer, last = draw(st.sampled_from(found))
    holder = value
    for step in outer:
        holder = holder[step]
    odd = json.loads(json.dumps(draw(st.sampled_from(ODD))))
    match draw(st.sampled_from(["value", "value", "value", "near", "remove", "key"])):
        case "near" if isinstance(holder[last], int | float):
            holder[last] += draw(st.sampled_from([-1, 1, 0.5, 2**31]))
        case "remove":
            del holder[last]
        case "key" if isinstance(holder, dict):
            holder[draw(st.sampled_from([f"{last}x", "..", "a/../b", "", "plan"]))] = holder.pop(
                last
            )
        case _:
            holder[last] = odd
    return value


def other_tensors(draw: st.DrawFn, content: bytes) -> bytes:
    """A safetensors file with another tensor, or other tensors."""
    header, _ = parsed(content)
    tensors = safetensors.torch.load(content)
    name = draw(st.sampled_from(sorted(tensors)))
    tensor = tensors[name]
    match draw(
        st.sampled_from(["entry", "entry", "entry", "dtype", "shape", "drop", "more", "all"])
    ):
        case "entry" if tensor.numel():
            flat = tensor.reshape(-1).clone()
            put(draw, flat)
            tensors[name] = flat.reshape(tensor.shape)
        case "dtype":
            tensors[name] = tensor.to(draw(st.sampled_from(DTYPES)))
        case "shape":
            size = draw(st.sampled_from([0, 1, tensor.numel() // 2, tensor.numel() * 2]))
            tensors[name] = tensor.reshape(-1).repeat(2)[:size].clone()
        case "drop":
            del tensors[name]
        case "all":
            tensors[name] = torch.full_like(tensor, draw(st.sampled_from([0, 1, 3])))
        case _:
            tensors[draw(st.sampled_from(["x", "../x", f"{name}.x"]))] = tensor.clone()
    return safetensors.torch.save(tensors, header.get("__metadata__"))


def put(draw: st.DrawFn, flat: torch.Tensor) -> None:
    """Another number at a place, as far as the type can hold it."""
    place = draw(st.integers(0, len(flat) - 1))
    if flat.dtype == torch.bool:
        flat[place] = not flat[place]
    elif flat.is_floating_point():
        flat[place] = draw(st.sampled_from([0.0, -1.0, 1e38, float("nan"), float("inf")]))
    else:
        limits = torch.iinfo(flat.dtype)
        known = flat.to(torch.int64)
        near = [int(known[place]) + 1, int(known[place]) - 1, 0, limits.max, limits.min]
        known[place] = max(limits.min, min(limits.max, draw(st.sampled_from(near))))
        flat.copy_(known.to(flat.dtype))


def other_header(draw: st.DrawFn, content: bytes) -> bytes:
    """A safetensors file whose header says something else of tensors, offsets or structure."""
    header, body = parsed(content)
    (key,) = header["__metadata__"].keys() & set(HEADERS)
    described = header["__metadata__"][key]
    kind = draw(
        st.sampled_from(["described", "described", "described", "header", "length", "deep"])
    )
    if kind == "described":
        header["__metadata__"][key] = json.dumps(changed(draw, json.loads(described)))
    elif kind == "deep":
        header["__metadata__"][key] = draw(st.sampled_from(["[" * 10**5, "{", "NaN", "1" * 5000]))
    elif kind == "header":
        header = changed(draw, header)
    whole = assembled(header, body)
    if kind == "length":
        length = draw(st.sampled_from([0, 1, len(whole), 2**31, 2**62, 2**64 - 1]))
        whole = struct.pack("<Q", length) + whole[8:]
    return whole


def other_table(draw: st.DrawFn, content: bytes) -> bytes:
    """A Parquet file with other rows, cells, names or types."""
    frame = pl.read_parquet(content)
    name = draw(st.sampled_from(frame.columns))
    match draw(st.sampled_from(["rows", "null", "name", "type", "twice", "odd"])):
        case "rows":
            frame = frame.head(draw(st.integers(0, frame.height)))
        case "null":
            frame = frame.with_columns(pl.lit(None, frame[name].dtype).alias(name))
        case "name":
            frame = frame.rename({name: draw(st.sampled_from(["x", "", "../x"]))})
        case "type":
            frame = frame.with_columns(pl.Series(name, range(frame.height)))
        case "twice":
            frame = pl.concat([frame, frame])
        case _:
            value = draw(st.sampled_from(["", "x", "categorical", "numeric", "multi", "u1", "\0"]))
            frame = frame.with_columns(pl.lit(value).alias(name))
    target = io.BytesIO()
    frame.write_parquet(target)
    found: bytes = target.getvalue()
    return found


def other_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    at = draw(st.integers(0, len(content)))
    end = at + draw(st.sampled_from([0, 1, 1, 8, 10**6]))
    piece = draw(st.sampled_from([b"", b"\0", b"\xff", b"\xff" * 8, b"[", b"{}", b'"', b"PAR1"]))
    return content[:at] + piece + content[end:]


def other_json(draw: st.DrawFn, content: bytes) -> bytes:
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from([b"", b"[" * 10**5, b"nan", b"\xff", b"[]", b"1" * 5000]))
    return json.dumps(changed(draw, json.loads(content))).encode()


WAYS: dict[str, list[Callable[[st.DrawFn, bytes], bytes]]] = {
    ".safetensors": [other_tensors, other_tensors, other_header, other_header, other_bytes],
    ".parquet": [other_table, other_table, other_bytes],
    ".json": [other_json, other_json, other_bytes],
    ".yaml": [other_bytes],
}
FILES = [export.MODEL] * 4 + [export.CATALOG] * 4 + [export.USERS, export.ITEMS, export.ROWS] * 2
FILES += [export.MEASUREMENTS, export.CONFIGURATION]


@st.composite
def damaged(draw: st.DrawFn, shelf: Shelf) -> dict[str, bytes]:
    """The files of an artefact, of which some are others; most have the hash they are said to."""
    name = draw(st.sampled_from(sorted(shelf.artefacts)))
    files = dict(shelf.artefacts[name])
    here = st.sampled_from([file for file in FILES if file in files])
    number = draw(st.sampled_from([0, 1, 1, 1, 1, 2]))
    for file in draw(st.lists(here, min_size=number, max_size=number, unique=True)):
        if draw(st.integers(0, 15)) == 0:
            other = shelf.artefacts[draw(st.sampled_from(sorted(shelf.artefacts)))]
            files[file] = other.get(file, b"")
        else:
            files[file] = draw(st.sampled_from(WAYS[Path(file).suffix]))(draw, files[file])
    if draw(st.integers(0, 19)):
        manifest = json.loads(files[export.MANIFEST])
        manifest["files"] = {f: hashed(c) for f, c in files.items() if f != export.MANIFEST}
        files[export.MANIFEST] = json.dumps(manifest).encode()
    if draw(st.integers(0, 11)) == 0:
        files[export.MANIFEST] = other_json(draw, files[export.MANIFEST])
    return files


def hashed(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def answered(folder: Path, rows: pl.DataFrame, registry: Registry) -> str:
    """Loads an artefact and asks it about everybody, or about rows."""
    loaded = serving.load(folder, registry=registry)
    if isinstance(loaded, serving.Ranker):
        found = loaded.predict(rows)
        assert found.height == rows.height
        return "judged"
    lists = loaded.recommend(k=5)
    assert set(lists["item"]) <= set(loaded.item_ids)
    return "recommended"


@pytest.mark.slow
def test_an_artefact_answers_or_is_refused(
    shelf: Shelf, registry: Registry, confinement: Any
) -> None:
    folder = confinement.bait.parent / "case"

    @settings(max_examples=CASES, suppress_health_check=list(HealthCheck))
    @given(damaged(shelf), st.sampled_from([None] * 30 + ["link", "folder", "absent"]))
    def case(files: dict[str, bytes], instead: str | None) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        if instead is not None:
            victim = folder / sorted(files)[len(files[export.MODEL]) % len(files)]
            victim.unlink()
            if instead == "link":
                victim.symlink_to(confinement.bait)
            elif instead == "folder":
                victim.mkdir()
        found = confinement.attempt(folder, lambda: answered(folder, shelf.rows, registry))
        outcome = type(found).__name__ if isinstance(found, AutomlRecError) else found
        event(outcome)
        confinement.ends[outcome] += 1
        assert {path.name for path in folder.iterdir()} <= set(files)

    for files in shelf.artefacts.values():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        assert answered(folder, shelf.rows, registry) in {"judged", "recommended"}
    case()
    ends = confinement.ends
    assert ends.total() >= CASES
    assert ends["judged"] + ends["recommended"] >= SHARE_ANSWERED * ends.total()


@dataclass(frozen=True)
class Training:
    """A training that has ended or was cut off, as the bytes of its file, and how to go on."""

    content: bytes = field(repr=False)
    go_on: Callable[..., Evaluated]


def make_trainings(folder: Path, registry: Registry) -> list[Training]:
    """A solution, a training that has ended, and one that was stopped after two of three epochs."""
    pairs = [(n % 30, n * n % 17) for n in range(240)]
    rows = pl.DataFrame(pairs, ["user", "item"], orient="row").unique(maintain_order=True)
    rows.write_csv(folder / "events.csv")
    gradient = "{bpr-mf: {width: 8, epochs: 3, batch_size: 256, evaluate_every: 1, patience: 3}}"
    found = []
    for model, report in (("ease", None), (gradient, None), (gradient, _two_epochs)):
        text = f"data: {{path: events.csv}}\nobjectives: [ndcg@5, bytes]\nmodel: {model}\n"
        space = check(text, folder / "space.yaml", registry)
        again = partial(
            evaluate,
            _first(space),
            prepare(space.data, folder / "cache"),
            resolve(space.objectives, space.data.task),
            registry,
            seed=0,
        )
        file = folder / "training"
        again(report=report, checkpoint=file, keep=True)
        found.append(Training(file.read_bytes(), again))
        file.unlink()
    return found


def _two_epochs(progress: Progress) -> bool:
    return progress.epoch < 2


def _first(space: Space) -> Configuration:
    """The defaults of what the space leaves open."""
    (model,) = space.components["model"]
    return space.defaults(model)


@pytest.mark.slow
def test_a_training_goes_on_or_is_refused(
    tmp_path: Path, registry: Registry, confinement: Any
) -> None:
    trainings = make_trainings(tmp_path, registry)
    folder = confinement.bait.parent / "training"

    @settings(max_examples=TRAINING_CASES, suppress_health_check=list(HealthCheck))
    @given(st.data(), st.sampled_from(trainings))
    def case(data: st.DataObject, training: Training) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        way = data.draw(st.sampled_from(WAYS[".safetensors"]))
        content = data.draw(st.composite(lambda draw: way(draw, training.content))())
        (folder / "file").write_bytes(content)
        found = confinement.attempt(folder, lambda: training.go_on(checkpoint=folder / "file"))
        if isinstance(found, AutomlRecError):
            assert isinstance(found, NotResumableError | DivergenceError), found
        event(type(found).__name__)
        confinement.ends[type(found).__name__] += 1

    case()
    assert confinement.ends["Evaluated"] >= SHARE_ANSWERED * TRAINING_CASES
    assert confinement.ends["NotResumableError"] >= SHARE_ANSWERED * TRAINING_CASES
