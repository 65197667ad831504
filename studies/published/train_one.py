"""Trains the one configuration of a space: train_one.py SPACE RESULT MINUTES.

Measures it on test at the end and writes what it found as JSON.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch

from automl_rec.data import prepare
from automl_rec.errors import Infeasible
from automl_rec.evaluation import Evaluated, evaluate, measure
from automl_rec.objectives import is_quality, resolve
from automl_rec.objectives.objective import Measurement
from automl_rec.registry import Registry
from automl_rec.search.shipping import only_configuration
from automl_rec.space.checker import read_space
from automl_rec.training.progress import Progress

SEED = 0


def report(progress: Progress) -> bool:
    print(f"  epoch {progress.epoch}  {progress.quality:.4f}", flush=True)
    return True


def spent_before(result: Path, checkpoint: Path) -> float:
    """Processor seconds of the runs that this one goes on from."""
    if not (checkpoint.exists() and result.exists()):
        return 0.0
    return float(json.loads(result.read_text())["cpu_seconds"])


def facts(found: Evaluated, tested: dict[str, Measurement], seconds: float) -> dict[str, Any]:
    outcome = found.outcome
    return {
        "validation": {name: m.value for name, m in outcome.measurements.items()},
        "test": {name: m.value for name, m in tested.items()},
        "test_standard_error": {name: m.standard_error for name, m in tested.items()},
        "curve": [
            {"epoch": p.epoch, "quality": p.quality, "train_seconds": round(p.seconds, 1)}
            for p in outcome.curve
        ],
        "stopped": outcome.stopped,
        "cpu_seconds": round(seconds, 1),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "load": os.getloadavg()[0],
        "seed": SEED,
    }


def main(space_path: str, result_path: str, minutes: str) -> None:
    torch.set_num_threads(1)
    registry = Registry.discover()
    space = read_space(Path(space_path), registry)
    objectives, data = resolve(space.objectives, space.data.task), prepare(space.data)
    result = Path(result_path)
    checkpoint = Path(space_path).with_name("checkpoint.safetensors")
    before, started = spent_before(result, checkpoint), time.process_time()
    try:
        found = evaluate(
            only_configuration(space),
            data,
            objectives,
            registry,
            seed=SEED,
            report=report,
            seconds=60 * float(minutes),
            checkpoint=checkpoint,
        )
    except Infeasible as error:
        print(f"  {error}")
        result.write_text(json.dumps({"infeasible": str(error)}, indent=1) + "\n")
        return
    qualities = [objective for objective in objectives if is_quality(objective.name)]
    assert found.served is not None
    tested = measure(found.served, data, "test", qualities)
    seconds = before + time.process_time() - started
    result.write_text(json.dumps(facts(found, tested, seconds), indent=1) + "\n")
    print("  test", *(f"{name} {m.value:.4f}" for name, m in tested.items()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
