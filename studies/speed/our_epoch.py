"""An epoch or a fit: our_epoch.py PREPARED MODEL VALUES PROFILE.

Tells its processor seconds, what is computed once included, and the peak of memory.
"""

import json
import sys
import time

import torch

from automl_rec.builder import Built, build
from automl_rec.data import Prepared
from automl_rec.plugin import ClosedFormModel, TrainedModel
from automl_rec.registry import Registry
from automl_rec.space.configuration import Configuration
from automl_rec.training.progress import Progress
from automl_rec.training.trainer import train
from studies.processes import peak_bytes
from studies.speed.configurations import plain

PROFILED_SECONDS = 8.0
"""Of an epoch; a profile of more would fill the memory with its events."""
OPERATIONS = 8
"""Operations of a profile that are told."""


def main(prepared: str, model: str, values: str, profile: str) -> None:
    data, registry = Prepared.open(prepared), Registry.discover()
    given = json.loads(values) | (
        {}
        if "epochs" not in registry.component("model", model).domains
        else {"epochs": 1, "patience": 1}
    )
    built = build(Configuration.from_dict(plain(model, **given)), data.catalog, registry, seed=0)
    if isinstance(built.model, ClosedFormModel):
        started = time.process_time()
        built.model.fit(data.catalog, torch.Generator().manual_seed(0))
        seconds = time.process_time() - started
    elif profile == "profile":
        profile_of(built, data)
        return
    else:
        seconds = trained(built, data)
    print(json.dumps({"epoch": seconds, "peak": peak_bytes()}))


def trained(built: Built, data: Prepared, seconds: float | None = None) -> float:
    """Processor seconds of one epoch, or so many seconds of it, no validation among them."""
    assert isinstance(built.model, TrainedModel)
    started, ended = time.process_time(), list[float]()

    def report(_progress: Progress) -> bool:
        ended.append(time.process_time())
        return False

    train(
        built.model,
        data.catalog,
        lambda: (0.0, 0.0),
        settings=built.training,
        seed=0,
        report=report,
        seconds=seconds,
    )
    return ended[0] - started


def profile_of(built: Built, data: Prepared) -> None:
    """Tells the operations that an epoch spends most in, by their own time."""
    with torch.profiler.profile() as profiler:
        trained(built, data, PROFILED_SECONDS)
    events = profiler.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    for event in sorted(events, key=lambda event: -event.self_cpu_time_total)[:OPERATIONS]:
        print(f"{event.key}: {event.self_cpu_time_total / total:.0%}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
