"""What a worker does with one epoch: train_epoch.py PREPARED OUT CONFIGURATION."""

import json
import sys
import time
from dataclasses import asdict

from fresh import peak_bytes

from automl_rec.objectives import named
from automl_rec.search.worker import Bench
from automl_rec.training.progress import Progress

QUALITY = "ndcg@20"


def main() -> None:
    _, prepared, out, configuration = sys.argv
    objectives = [asdict(named(name)) for name in (QUALITY, "bytes")]
    bench = Bench.of({"data": prepared, "artefacts": out, "objectives": objectives, "without": ()})
    reports: list[Progress] = []

    def report(progress: Progress) -> bool:
        reports.append(progress)
        return True

    job = {"configuration": json.loads(configuration), "seed": 0, "seconds": None}
    started = time.perf_counter()
    outcome = bench.run(job, report)
    total = time.perf_counter() - started
    epoch = reports[-1].seconds
    found = {"quality": outcome["measurements"][QUALITY][0], "epoch": epoch, "rest": total - epoch}
    print(json.dumps(found | {"peak": peak_bytes()}))


if __name__ == "__main__":
    main()
