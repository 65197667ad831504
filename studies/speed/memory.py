"""Gowalla: one epoch and its evaluation in a worker's process, and how much memory that takes."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from studies import places
from studies.speed.configurations import factors
from studies.speed.figure import Figure
from studies.speed.fresh import fresh

MOST_BYTES = 2e9
BATCH_SIZE, QUICK_BATCH_SIZE = 2048, 16384
MODELS: dict[str, dict[str, Any]] = {
    "bpr-mf": {"negatives": 1, "regularization": 1e-4},
    "lightgcn": {"layers": 3, "combine": "mean", "draw": "edge", "regularization": 1e-4},
}


def main() -> None:
    gowalla = places.data("gowalla")
    request = {part: str(gowalla / f"{part}.txt") for part in ("train", "test")}
    request |= {"format": "lists"}
    batch_size = QUICK_BATCH_SIZE if "--quick" in sys.argv else BATCH_SIZE
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        prepared = fresh("prepare_once", json.dumps(request), cache)["folder"]
        for model, own in MODELS.items():
            configuration = json.dumps(factors(model, 1, batch_size=batch_size, **own))
            found = fresh("train_epoch", prepared, folder, configuration)
            quality = f"NDCG@20 {found['quality']:.4f} on validation"
            note = f"width 64, batch {batch_size:,}, {quality}"
            peak = (found["peak"],)
            Figure(f"{model}, peak of a worker", "B", peak, most=MOST_BYTES, note=note).emit()
            Figure(f"{model}, an epoch", "s", (found["epoch"],)).emit()
            note = "builds, ranks all users twice, prices and writes the model"
            Figure(f"{model}, all but the epoch", "s", (found["rest"],), note=note).emit()


if __name__ == "__main__":
    main()
