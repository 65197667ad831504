"""Ten million generated interactions: prepared, and opened again."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from studies.speed.figure import Figure
from studies.speed.fresh import fresh

EVENTS = 10_000_000
QUICK_EVENTS = 200_000
USERS_PER_EVENT, ITEMS_PER_EVENT = 1 / 50, 1 / 200
REPEATS = 3
SEED = 0


def write_events(path: Path, count: int) -> None:
    """A CSV whose users and items are drawn with a long tail, in no order of time."""
    draw = np.random.default_rng(SEED)
    users, items = int(count * USERS_PER_EVENT), int(count * ITEMS_PER_EVENT)
    table = {
        "user": (users * draw.random(count) ** 2).astype(np.int64),
        "item": (items * draw.random(count) ** 3).astype(np.int64),
        "time": draw.integers(1_500_000_000, 1_600_000_000, count),
    }
    pl.DataFrame(table).write_csv(path)


def column(runs: list[dict[str, Any]], key: str) -> tuple[float, ...]:
    return tuple(run[key] for run in runs)


def main() -> None:
    count = QUICK_EVENTS if "--quick" in sys.argv else EVENTS
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events.csv"
        write_events(events, count)
        size = events.stat().st_size
        caches = [Path(folder) / f"cache{repeat}" for repeat in range(REPEATS)]
        request = json.dumps({"path": str(events)})
        prepared = [fresh("prepare_once", request, cache) for cache in caches]
        opened = [fresh("open_once", request, cache) for cache in caches]
    file = f"{count:,} events, {size / 1e6:,.0f} MB of CSV"

    wall, processor, peak = (column(prepared, key) for key in ("wall", "processor", "peak"))
    shares = tuple(value / size for value in peak)
    Figure("prepare, wall", "s", wall, most=60, note=file).emit()
    Figure("prepare, processor", "s", processor).emit()
    Figure("prepare, peak memory over the file's bytes", "x", shares, most=10).emit()
    Figure("open, with the train part", "s", column(opened, "open"), most=1).emit()
    note = "digests the file to see that it is the same"
    Figure("prepare again", "s", column(opened, "prepare"), note=note).emit()


if __name__ == "__main__":
    main()
