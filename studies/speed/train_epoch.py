"""What a worker does with one epoch: train_epoch.py PREPARED OUT CONFIGURATION."""

import json
import sys
import time
from dataclasses import asdict

from automl_rec.search.bench import Bench
from automl_rec.search.engine import Job, Setup
from automl_rec.training.progress import Progress
from studies.processes import peak_bytes
from studies.speed.configurations import objectives

QUALITY = "ndcg@20"


def main() -> None:
    _, prepared, out, configuration = sys.argv
    asked = tuple(asdict(found) for found in objectives(QUALITY, "bytes"))
    bench = Bench.of(asdict(Setup(prepared, asked, f"{out}/artefacts", f"{out}/trainings")))
    reports: list[Progress] = []

    def report(progress: Progress) -> bool:
        reports.append(progress)
        return True

    given = json.loads(configuration)
    (model,) = given["model"]
    job = Job("", given, 0, model, model)
    started = time.perf_counter()
    outcome = bench.attempt(asdict(job), report)
    total = time.perf_counter() - started
    epoch = reports[-1].seconds
    found = {"quality": outcome["measurements"][QUALITY][0], "epoch": epoch, "rest": total - epoch}
    print(json.dumps(found | {"peak": peak_bytes()}))


if __name__ == "__main__":
    main()
