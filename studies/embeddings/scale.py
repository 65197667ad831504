"""Ten million ids: the memory that each scheme takes to train, write and read its table again.

Each scheme runs in a process of its own: a table for 10,000,000 ids of width 16 is planned, built,
trained on a stream of batches, settled, encoded, written and read again. No data are read; ids are
drawn from Zipf's law and labels are fixed by a hash of the id.

    python -m studies.embeddings.scale          writes results/scale.jsonl, in two minutes
    python -m studies.embeddings.scale tt       prints the figures of one scheme

Bytes are peaks of resident memory above those of the program before: once the table is built, once
it is trained, and once it is written and read again, which holds it twice.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F

from automl_rec.plugin import Catalog, Embedding, Field, Histories, Table
from automl_rec.plugin.matrices.describing import blank, describe
from automl_rec.registry import Registry
from automl_rec.testing.settings import settings_of
from automl_rec.training.adam import Adam
from studies.processes import peak_bytes

RESULTS = Path(__file__).parent / "results" / "scale.jsonl"
IDS, WIDTH = 10_000_000, 16
BUDGET = 0.01
BATCH, STEPS, FULL_STEPS = 4096, 300, 5
PROBES = 20_000
SCHEMES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "full": ("full", {}),
    "hash": ("hash", {"budget": BUDGET}),
    "hash, counts known": ("hash", {"budget": 0.1}),
    "qr": ("qr", {"budget": BUDGET}),
    "tt": ("tt", {"budget": BUDGET}),
    "robe": ("robe", {"budget": BUDGET}),
    "unified": ("unified", {"budget": BUDGET}),
}
CATALOG = Catalog(1, Histories(np.zeros(2, np.int64), np.empty(0, np.int32)))
"""Of no events: a field says how many ids it has."""


def main() -> None:
    if len(sys.argv) > 1:
        sys.stdout.write(json.dumps(measured(sys.argv[1])) + "\n")
        return
    found = []
    for scheme in SCHEMES:
        command = [sys.executable, "-m", "studies.embeddings.scale", scheme]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        found.append(done.stdout.splitlines()[-1])
        sys.stdout.write(f"{found[-1]}\n")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("".join(f"{line}\n" for line in found))


def measured(scheme: str) -> dict[str, Any]:
    """Peaks of memory above that of the program itself, after each stage; seconds; bytes."""
    torch.set_num_threads(1)
    field = field_of(scheme)
    peaks, started = [peak_bytes()], time.monotonic()
    embedding = embedding_of(scheme)
    plan = embedding.plan({"item": field}, CATALOG)
    embedding.adopt(plan)
    table = embedding.table(field, torch.Generator().manual_seed(0))
    peaks.append(peak_bytes())
    built = time.monotonic()
    losses = trained(table, FULL_STEPS if scheme == "full" else STEPS)
    peaks.append(peak_bytes())
    learned = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.safetensors"
        layouts = finished(embedding, table)
        safetensors.torch.save_file(table.state_dict(), path)
        probes = next(batches(1, PROBES, seed=1))
        rows = table.lookup(probes)
        again = reloaded(embedding_of(scheme), field, plan, layouts, path)
        assert torch.equal(again.lookup(probes), rows), "what is read must be what was written"
        peaks.append(peak_bytes())
        size = path.stat().st_size
    table_bytes = sum(tensor.nbytes for tensor in table.state_dict().values())
    return {
        "scheme": scheme,
        "share": table_bytes / (4 * IDS * WIDTH),
        "table_bytes": table_bytes,
        "file_bytes": size,
        "program_bytes": peaks[0],
        "build_bytes": peaks[1] - peaks[0],
        "train_bytes": peaks[2] - peaks[0],
        "all_bytes": peaks[3] - peaks[0],
        "build_seconds": round(built - started, 3),
        "step_seconds": round((learned - built) / len(losses), 5),
        "first_loss": round(float(np.mean(losses[:5])), 4),
        "last_loss": round(float(np.mean(losses[-5:])), 4),
    }


def field_of(scheme: str) -> Field:
    """The table that is asked for; train counts take 80 MB, which are none of the scheme's."""
    counts = None
    if scheme.endswith("counts known"):
        counts = np.arange(IDS, 0, -1, dtype=np.int64)
    return Field("item", IDS, WIDTH, counts=counts)


def embedding_of(scheme: str) -> Embedding:
    """The embedding at its defaults, within the budget."""
    name, settings = SCHEMES[scheme]
    component = Registry.discover().component("embedding", name)
    made: Embedding = component.load()(**settings_of(component, **settings))
    return made


def batches(number: int, size: int, seed: int) -> Iterator[torch.Tensor]:
    """Ids (B,) of Zipf's law with exponent 1, drawn without a list of all ids."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(number):
        share = torch.rand(size, generator=generator, dtype=torch.float64)
        yield ((IDS + 1.0) ** share).long().clamp(max=IDS) - 1


def trained(table: Table, steps: int) -> list[float]:
    """The losses of steps of Adam towards labels that a hash of the id fixes."""
    optimizer, losses = Adam(table.parameters(), 1e-2), []
    for ids in batches(steps, BATCH, seed=0):
        labels = (ids * 2654435761 >> 16 & 1).float()
        loss = F.binary_cross_entropy_with_logits(table.lookup(ids).sum(1), labels)
        optimizer.clear()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def finished(embedding: Embedding, table: Table) -> list[dict[str, Any]]:
    """Freezes, settles and encodes a table; the layouts of its weights."""
    for weight in table.weights():
        weight.freeze()
    table.settle()
    embedding.encode(table)
    table.requires_grad_(False).eval()
    return [describe(weight.matrix) for weight in table.weights()]


def reloaded(
    embedding: Embedding,
    field: Field,
    plan: Mapping[str, Any],
    layouts: list[dict[str, Any]],
    path: Path,
) -> Table:
    """The table of a file, from its plan and layouts, as an artefact is read."""
    embedding.adopt(plan)
    with torch.device("meta"):
        table = embedding.table(field, torch.Generator())
        table.settle()
        for weight, layout in zip(table.weights(), layouts, strict=True):
            weight.matrix = blank(layout)
    table.load_state_dict(safetensors.torch.load_file(path), assign=True)
    return table.eval()


if __name__ == "__main__":
    main()
