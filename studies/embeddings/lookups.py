"""Times reading 4,096 rows of a served table of a million ids, and writes results/lookups.jsonl.

usage: python -m studies.embeddings.lookups [--only STORE ...] [--rounds N]

Every table is that of a bpr-mf of width 32 as it would be served: built, settled, encoded and
restored from its tensors; not trained, since the values do not change the time.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from automl_rec.builder import build, finalize, restore
from automl_rec.plugin import Catalog, Histories, Table
from automl_rec.registry import Registry
from automl_rec.served import Served
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.testing.settings import settings_of
from studies.embeddings.study import HERE, RESULTS

IDS, WIDTH, BATCH = 1_000_000, 32, 4096
USERS, EVENTS = 250, 2_000_000
SKEW = 1.5
"""Exponent of the power law of the skewed draw: few ids are most of a batch."""
SEED = 0
LEAST_SECONDS = 0.02
"""Of one timing: what is faster is read several times."""


def catalog() -> Catalog:
    """A few users with events on a million items, popular ones first."""
    draw = np.random.default_rng(SEED)
    items = (IDS * draw.random(EVENTS) ** 3).astype(np.int32)
    indptr = np.linspace(0, EVENTS, USERS + 1).astype(np.int64)
    return Catalog(IDS, Histories(indptr, items))


def served(told: dict[str, Any], data: Catalog, registry: Registry) -> Served:
    component = registry.component("embedding", told["embedding"])
    model = settings_of(registry.component("model", "bpr-mf"), width=WIDTH)
    configuration = Configuration(
        Chosen("bpr-mf", model),
        Chosen(component.name, settings_of(component, **told.get("with", {}))),
    )
    found = finalize(build(configuration, data, registry, seed=SEED))
    return restore(configuration, data, registry, found.structure(), found.tensors())


def item_table(found: Served) -> Table:
    (table,) = [
        part for part in found.model.modules() if isinstance(part, Table) and part.num_rows == IDS
    ]
    return table


def microseconds(table: Table, ids: torch.Tensor) -> float:
    """Of one lookup: the mean over as many as take long enough to be timed."""
    count, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < LEAST_SECONDS or count == 0:
        table.lookup(ids)
        count += 1
    return 1e6 * spent / count


def batches() -> dict[str, torch.Tensor]:
    draw = np.random.default_rng(SEED)
    uniform = draw.integers(0, IDS, BATCH)
    # The inverse of the power law's distribution function between 1 and IDS + 1.
    tail = 1 - draw.random(BATCH) * (1 - float(IDS + 1) ** (1 - SKEW))
    skewed = (tail ** (1 / (1 - SKEW))).astype(np.int64) - 1
    return {"uniform": torch.from_numpy(uniform), "skewed": torch.from_numpy(skewed)}


@torch.inference_mode()
def timed(tables: dict[str, Table], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Store -> kind of batch -> microseconds, one a round; the stores take turns."""
    ids = batches()
    found: dict[str, dict[str, list[float]]] = {s: {kind: [] for kind in ids} for s in tables}
    for table in tables.values():
        table.lookup(ids["uniform"])  # what is expanded at first use
    for _ in range(rounds):
        for store, table in tables.items():
            for kind, batch in ids.items():
                found[store][kind].append(microseconds(table, batch))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Times lookups of served tables.")
    parser.add_argument("--only", nargs="+", metavar="STORE")
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    stores = yaml.safe_load((HERE / "lookups.yaml").read_text())
    stores = {name: told for name, told in stores.items() if name in (asked.only or stores)}
    data, registry = catalog(), Registry.discover()
    tables, sizes = {}, {}
    for name, told in stores.items():
        found = served(told, data, registry)
        tables[name] = table = item_table(found)
        sizes[name] = sum(tensor.nbytes for tensor in table.state_dict().values())
        print(f"{name}: {sizes[name] / 1e6:.3g} MB", file=sys.stderr, flush=True)
    times = timed(tables, asked.rounds)
    different = {kind: len(batch.unique()) for kind, batch in batches().items()}
    lines = [
        {
            "store": name,
            **{
                f"{kind}_{what}": round(of(values), 1)
                for kind, values in times[name].items()
                for what, of in (("us", statistics.median), ("least", min), ("most", max))
            },
            "different_ids": different,
            "bytes": sizes[name],
            "specified": told.get("specified"),
            "rounds": asked.rounds,
            "load": os.getloadavg()[0],
        }
        for name, told in stores.items()
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    print(text, end="")
    if not asked.only:
        RESULTS.mkdir(exist_ok=True)
        Path(RESULTS / "lookups.jsonl").write_text(text)


if __name__ == "__main__":
    main()
