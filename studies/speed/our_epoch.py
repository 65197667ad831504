"""Seconds of an epoch, or of a fit, and peak memory: our_epoch.py PREPARED MODEL VALUES PROFILE."""

import json
import sys
import time

import torch
from fresh import peak_bytes

from automl_rec.builder import Built, build
from automl_rec.data import Prepared
from automl_rec.plugin import ClosedFormModel
from automl_rec.registry import Registry
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.training.trainer import train

EPOCHS = 1
"""Epochs of a training; the last one is told."""
OPERATIONS = 8
"""Operations of a profile that are told."""


def configuration_of(registry: Registry, model: str, given: dict) -> Configuration:
    """A model at its defaults but for some values, uncompressed."""
    domains = registry.component("model", model).domains
    values = {name: domain.default for name, domain in domains.items()} | given
    applying = {
        name: value
        for name, value in values.items()
        if all(values.get(other) in some for other, some in (domains[name].only_if or {}).items())
    }
    return Configuration(Chosen(model, applying))


def main(prepared: str, model: str, values: str, profile: str) -> None:
    data, registry = Prepared.open(prepared), Registry.discover()
    given = json.loads(values) | (
        {}
        if "epochs" not in registry.component("model", model).domains
        else {"epochs": EPOCHS, "patience": EPOCHS}
    )
    built = build(configuration_of(registry, model, given), data.catalog, registry, seed=0)
    if isinstance(built.model, ClosedFormModel):
        started = time.perf_counter()
        built.model.fit(data.catalog, torch.Generator().manual_seed(0))
        seconds = [time.perf_counter() - started]
    else:
        seconds = epochs(built, data, profiled=profile == "profile")
    print(json.dumps({"epoch": seconds[-1], "peak": peak_bytes()}))


def epochs(built: Built, data: Prepared, *, profiled: bool) -> list[float]:
    """Wall seconds of each epoch."""
    reports = []

    def run() -> None:
        train(
            built.model,
            data.catalog,
            lambda: (float(len(reports)), 0.0),
            settings=built.training,
            seed=0,
            report=lambda progress: not reports.append(progress.seconds),
        )

    if not profiled:
        run()
    else:
        with torch.profiler.profile() as profiler:
            run()
        total = sum(event.self_cpu_time_total for event in profiler.key_averages())
        for event in sorted(profiler.key_averages(), key=lambda event: -event.self_cpu_time_total)[
            :OPERATIONS
        ]:
            print(f"{event.key}: {event.self_cpu_time_total / total:.0%}", file=sys.stderr)
    return [after - before for before, after in zip([0.0, *reports], reports, strict=False)]


if __name__ == "__main__":
    main(*sys.argv[1:])
