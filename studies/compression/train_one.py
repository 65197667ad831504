"""One training and all that is made of it, on one thread, in the process `run.py` starts for it."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
import yaml

from automl_rec.builder import Built, build, finalize
from automl_rec.data import Prepared, prepare
from automl_rec.errors import DivergenceError, Infeasible
from automl_rec.evaluation import measure, shipped
from automl_rec.export import write_model
from automl_rec.kernels import choose_kernels
from automl_rec.objectives import is_quality, resolve
from automl_rec.objectives.objective import Objective
from automl_rec.plugin import ClosedFormModel, TrainedModel
from automl_rec.price import price
from automl_rec.registry import Registry
from automl_rec.search.shipping import only_configuration
from automl_rec.served import Served
from automl_rec.space.checker import check
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.testing.settings import settings_of
from automl_rec.training.progress import Training
from automl_rec.training.trainer import train
from automl_rec_rank.maestro import OrderedFactors

COSTS = ("bytes", "bytes_tables", "operations")


@dataclass(frozen=True, slots=True)
class Ground:
    """What all points of a training share.

    Attributes:
        plain: the model alone.
    """

    plain: Configuration
    data: Prepared
    objectives: Sequence[Objective]
    registry: Registry
    seed: int
    seconds: float


def ground_of(asked: dict[str, Any], data: Prepared | None = None) -> Ground:
    """What is asked for, checked; data are prepared unless they are there."""
    registry = Registry.discover()
    sections = {"data": asked["data"], "objectives": [*asked["objectives"], *COSTS]}
    text = yaml.safe_dump(sections | {"model": asked["model"]}, sort_keys=False)
    space = check(text, Path("study.yaml"), registry)
    return Ground(
        only_configuration(space),
        data or prepare(space.data),
        list(resolve(space.objectives, space.data.task)),
        registry,
        asked["seed"],
        asked["seconds"],
    )


def compressed(ground: Ground, told: Sequence[Any] | None) -> Configuration:
    """The model with a compression at its defaults but for what is told."""
    if told is None:
        return ground.plain
    kind, name, values = told
    component = ground.registry.component(kind, name)
    configuration = replace(ground.plain, **{kind: Chosen(name, settings_of(component, **values))})
    price(configuration, ground.data.catalog, ground.registry)  # refuses what cannot be
    return configuration


def fit(ground: Ground, built: Built) -> Training | None:
    """Trains it; None of a closed form."""
    model, quality = built.model, ground.objectives[0]
    if isinstance(model, ClosedFormModel):
        model.fit(ground.data.catalog, torch.Generator().manual_seed(ground.seed))
        return None

    assert isinstance(model, TrainedModel)

    def validate() -> tuple[float, float]:
        # Of a quality alone, so that what is being trained may be measured as what is served.
        found = measure(cast("Served", model), ground.data, "validation", [quality])[quality.name]
        return found.value, found.standard_error or 0.0

    return train(
        model,
        ground.data.catalog,
        validate,
        settings=built.training,
        seed=ground.seed,
        cycles=built.cycles,
        seconds=ground.seconds,
        direction=quality.direction,
    )


def made_of(ground: Ground, trained: Built, part: dict[str, Any]) -> tuple[Served, Configuration]:
    """What a point serves, from a model that was trained for several; it stays as it is."""
    configuration = compressed(ground, part["compression"])
    own = build(configuration, ground.data.catalog, ground.registry, seed=ground.seed)
    own.model.load_state_dict(trained.model.state_dict())
    if part["slice"] is not None:
        for factors in own.model.modules():
            if isinstance(factors, OrderedFactors):
                narrow = factors.left.shape[1]
                factors.keep(max(round(part["slice"] * narrow), 1))
    return finalize(own), configuration


def measured(ground: Ground, served: Served) -> dict[str, Any]:
    qualities = [objective for objective in ground.objectives if is_quality(objective.name)]
    validated = measure(served, ground.data, "validation", ground.objectives)
    tested = measure(served, ground.data, "test", qualities)
    return {
        "validation": {o.name: validated[o.name].value for o in qualities},
        "test": {name: one.value for name, one in tested.items()},
        **{name: round(validated[name].value) for name in COSTS},
    }


def lines(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What was found of each part, as lines of the results.

    Args:
        asked: data, objectives, model, parts (compression and slice of each point, and the file its
            model is kept in, to be timed), seed, seconds.
    """
    torch.set_num_threads(1)
    ground, parts = ground_of(asked), asked["parts"]
    alone = len(parts) == 1 and parts[0]["slice"] is None
    told: dict[str, Any] = {}
    try:
        started = time.process_time()
        first = compressed(ground, parts[0]["compression"])
        built = build(first, ground.data.catalog, ground.registry, seed=ground.seed)
        training = fit(ground, built)
        spent = time.process_time() - started
    except (Infeasible, DivergenceError) as error:
        yield from (told | {"refused": str(error), "load": os.getloadavg()[0]} for _ in parts)
        return
    if training is not None:
        curve = [[p.epoch, p.quality, round(p.seconds, 1)] for p in training.curve]
        told |= {"epochs": curve, "stopped": training.stopped}
    for part in parts:
        started = time.process_time()
        try:
            made, own = (finalize(built), first) if alone else made_of(ground, built, part)
            after = time.process_time() - started
            choose_kernels(made)
            served = shipped(made, own, ground.data, ground.registry)
            write_model(Path(part["file"]), served, own)
            line = {
                **measured(ground, served),
                "train_cpu_seconds": round(spent, 1),
                "after_cpu_seconds": round(after, 1),
                "shared": len(parts),
            }
        except (Infeasible, DivergenceError) as error:
            line = {"refused": str(error)}
        yield told | line | {"load": os.getloadavg()[0]}
