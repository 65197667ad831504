"""One training, on one thread, in the process that `run.py` starts for it."""

import os
import resource
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml

from automl_rec.data import Prepared, prepare
from automl_rec.errors import DivergenceError, Infeasible
from automl_rec.evaluation import evaluate, measure
from automl_rec.objectives import is_quality, resolve
from automl_rec.objectives.objective import Objective
from automl_rec.price import price
from automl_rec.registry import Registry
from automl_rec.search.shipping import only_configuration
from automl_rec.space.checker import check
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.space.space import Space
from automl_rec.testing.settings import settings_of

COSTS = ("bytes", "bytes_tables")


def space_of(asked: dict[str, Any], model: dict[str, Any], registry: Registry) -> Space:
    """A model with full tables, on the data."""
    sections = {"data": asked["data"], "objectives": [*asked["objectives"], *COSTS]}
    parts = {"model": model, "embedding": {"full": {"precision": "fp32"}}}
    text = yaml.safe_dump(sections | parts, sort_keys=False)
    return check(text, Path("study.yaml"), registry)


def with_embedding(full: Configuration, asked: dict[str, Any], registry: Registry) -> Configuration:
    if asked["embedding"] is None:
        return full
    name, told = asked["embedding"]
    values = settings_of(registry.component("embedding", name), **told)
    return replace(full, embedding=Chosen(name, values))


def trained(
    configuration: Configuration,
    data: Prepared,
    objectives: list[Objective],
    registry: Registry,
    asked: dict[str, Any],
) -> dict[str, Any]:
    started = time.process_time()
    outcome = evaluate(
        configuration,
        data,
        objectives,
        registry,
        seed=asked["seed"],
        seconds=asked["seconds"],
    )
    training = outcome.outcome
    qualities = [objective for objective in objectives if is_quality(objective.name)]
    assert outcome.served is not None
    tested = measure(outcome.served, data, "test", qualities)
    return {
        "validation": {o.name: training.measurements[o.name].value for o in qualities},
        "test": {name: found.value for name, found in tested.items()},
        **{name: round(training.measurements[name].value) for name in COSTS},
        "epochs": [[p.epoch, p.quality, round(p.seconds, 1)] for p in training.curve],
        "train_seconds": round(training.train_seconds, 1),
        "train_cpu_seconds": round(training.cpu_seconds, 1),
        "cpu_seconds": round(time.process_time() - started, 1),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "stopped": training.stopped,
    }


def lines(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What was found, as a line of the results.

    Args:
        asked: data, objectives, full (the host's model), model, embedding, seed, seconds.
    """
    torch.set_num_threads(1)
    registry = Registry.discover()
    host = space_of(asked, asked["full"], registry)
    objectives, data = list(resolve(host.objectives, host.data.task)), prepare(host.data)
    whole = price(only_configuration(host), data.catalog, registry).bytes_tables.high
    full = only_configuration(space_of(asked, asked["model"], registry))
    line: dict[str, Any] = {"full_bytes": round(whole), "load": os.getloadavg()[0]}
    try:
        configuration = with_embedding(full, asked, registry)
        yield line | trained(configuration, data, objectives, registry, asked)
    except Infeasible as error:
        yield line | {"infeasible": str(error)}
    except DivergenceError as error:
        yield line | {"diverged": str(error)}
