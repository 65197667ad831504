"""movielens-100k: our models beside RecBole's at equal settings, in turn, one thread each."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from automl_rec.builder import build
from automl_rec.data import DataRequest, Prepared, prepare
from automl_rec.evaluation import evaluate, measure
from automl_rec.plugin import ClosedFormModel
from automl_rec.registry import Registry
from automl_rec.space.configuration import Configuration
from studies import places
from studies.speed.configurations import factors, objectives, plain
from studies.speed.figure import Figure

QUALITY = "ndcg@10"
SEEDS, QUICK_SEEDS = 3, 1
EASE_REPEATS = 7
LAMBDA = 250.0
ROUNDING = 5e-5
"""RecBole rounds what it measures to four digits."""
MOST_RATIO_TO_INVERSE = 1.3
SASREC_STEPS = 3
"""Epochs of ours that take as many optimiser steps as one of RecBole's: 48 by 19."""


@dataclass(frozen=True, slots=True)
class Match:
    """A model of ours and RecBole's, as near to each other as both allow.

    ``ours`` is run for ``epochs_each`` epochs for each of RecBole's, both with ``seeds`` seeds.
    """

    name: str
    ours: str
    most_ratio: float
    epochs: int
    values: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    epochs_each: int = 1
    seeds: int = SEEDS
    note: str = ""


MATCHES = (
    Match(
        "BPR",
        "bpr-mf",
        1 / 5,
        60,
        {"regularization": 1e-7, "negatives": 1},
        note="width 64, batch 2048, start N(0, 0.1) for Xavier's",
    ),
    Match(
        "LightGCN",
        "lightgcn",
        1 / 3,
        30,
        {"regularization": 1e-5, "layers": 2, "combine": "mean", "draw": "edge"},
        note="width 64, 2 layers, batch 2048, start N(0, 0.1) for Xavier's",
    ),
    Match(
        "SASRec",
        "sasrec",
        1 / 2,
        1,
        {"blocks": 2, "heads": 2, "length": 50, "dropout": 0.5, "norm": "post"}
        | {"loss": "full-ce", "batch_size": 128},
        {"MAX_ITEM_LIST_LENGTH": 50},
        SASREC_STEPS,
        1,
        note="width 64, 2 blocks, 2 heads, length 50; ours has an inner width of 64 for 256, and "
        "learns every position of a window of 51 items at once (batches of 128 windows), RecBole "
        "every prefix on its own (batches of 2048 prefixes); ours runs 3 epochs for each of "
        "RecBole's, which are about as many steps",
    ),
)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a training gave: seconds of an epoch and of a ranking of all users, NDCG@10."""

    epoch: float
    ranking: float
    validation: float
    test: float


@dataclass(frozen=True, slots=True)
class RecBole:
    """RecBole 1.2.1 in a process of its own, on the same split."""

    folder: Path
    inter: Path

    def write_split(self) -> None:
        command = [sys.executable, places.peer("prepare.py"), "--data", self.inter]
        self._call([*command, "--dest", self.folder])

    def run(self, model: str, epochs: int, seed: int, settings: dict[str, Any]) -> Ran:
        out = self.folder / f"{model}-{seed}.jsonl"
        command = [places.recbole_python(), places.peer("run_recbole.py"), "--data", self.inter]
        command += ["--root", self.folder, "--model", model, "--epochs", epochs, "--seed", seed]
        command += ["--stop", epochs + 1, "--out", out]
        for name, value in settings.items():
            command += ["--set", f"{name}={value!r}"]
        self._call(command)
        row = json.loads(out.read_text())
        seconds, ranking = row["s_per_epoch"], row["rank_all_users_s"]
        return Ran(seconds, ranking, row["ndcg10_val"], row["ndcg10"])

    def _call(self, command: list[Any]) -> None:
        subprocess.run(
            list(map(str, command)), cwd=self.folder, check=True, stdout=subprocess.DEVNULL
        )


@dataclass(frozen=True, slots=True)
class Ours:
    """Our evaluation, in this process."""

    data: Prepared
    registry: Registry

    def run(self, configuration: dict[str, Any], seed: int) -> Ran:
        """Trains as a trial does, then ranks all users for their test items."""
        asked = objectives(QUALITY, "recall@10")
        given = Configuration.from_dict(configuration)
        found = evaluate(given, self.data, asked, self.registry, seed=seed)
        curve = found.outcome.curve
        started = time.perf_counter()
        assert found.served is not None
        test = measure(found.served, self.data, "test", asked)[QUALITY].value
        ranking = time.perf_counter() - started
        seconds = curve[-1].seconds / curve[-1].epoch if curve else 0.0
        return Ran(seconds, ranking, found.outcome.measurements[QUALITY].value, test)

    def fit_seconds(self, configuration: dict[str, Any]) -> float:
        """Of a closed form, on a catalog that has computed nothing yet."""
        catalog = Prepared.open(self.data.folder).catalog
        given = Configuration.from_dict(configuration)
        model = build(given, catalog, self.registry, seed=0).model
        started = time.perf_counter()
        assert isinstance(model, ClosedFormModel)
        model.fit(catalog, torch.Generator().manual_seed(0))
        return time.perf_counter() - started


def compare(match: Match, ours: Ours, recbole: RecBole, seeds: int, epochs: int) -> None:
    """Both sides in turn, a seed each time."""
    found, peer = [], []
    training = factors(match.ours, epochs * match.epochs_each, **match.values)
    for seed in range(seeds):
        found.append(ours.run(training, seed))
        peer.append(recbole.run(match.name, epochs, seed, match.settings))
    tell_ranking(match.name, found, peer)
    per_epoch = tuple(run.epoch for run in found), tuple(run.epoch for run in peer)
    Figure(
        f"{match.name}, an epoch", "s", *per_epoch, most=match.most_ratio, note=match.note
    ).emit()
    if match.epochs_each > 1:
        steps = tuple(run.epoch * match.epochs_each for run in found)
        note = f"{match.epochs_each} epochs of ours"
        Figure(f"{match.name}, as many steps", "s", steps, per_epoch[1], note=note).emit()
    tell_quality(match.name, found, peer, f"{epochs} of RecBole's epochs, the best kept")


def tell_ranking(name: str, ours: list[Ran], peer: list[Ran]) -> None:
    seconds = tuple(run.ranking for run in ours), tuple(run.ranking for run in peer)
    Figure(f"{name}, ranking all users", "s", *seconds, most=1.0).emit()


def tell_quality(name: str, ours: list[Ran], peer: list[Ran], note: str) -> None:
    """The gap on both parts, against the standard deviation that seeds give a difference."""
    for part in ("validation", "test"):
        mine, theirs = ([getattr(run, part) for run in runs] for runs in (ours, peer))
        noise = ROUNDING
        if len(mine) > 1:
            noise += (statistics.variance(mine) + statistics.variance(theirs)) ** 0.5
        gap = statistics.fmean(mine) - statistics.fmean(theirs)
        told = f"{statistics.fmean(mine):.4f} to {statistics.fmean(theirs):.4f}, {note}"
        what = f"{name}, NDCG@10 on {part}, ours less RecBole's"
        Figure(what, "", (gap,), least=-noise, note=told).emit()


def compare_ease(ours: Ours, recbole: RecBole, seeds: int) -> None:
    """The fit against a bare inverse of the same matrix; ranking and quality against RecBole."""
    configuration = plain("ease", regularization=LAMBDA)
    matrix = ours.data.catalog.matrix.astype(np.float64)
    gram = (matrix.T @ matrix).toarray() + LAMBDA * np.eye(matrix.shape[1])
    np.linalg.inv(gram)
    ours.fit_seconds(configuration)
    fits, inverses = [], []
    for _ in range(EASE_REPEATS):
        fits.append(ours.fit_seconds(configuration))
        started = time.perf_counter()
        np.linalg.inv(gram)
        inverses.append(time.perf_counter() - started)
    note = f"against numpy.linalg.inv of the {len(gram):,} by {len(gram):,} float64 matrix alone"
    both = tuple(fits), tuple(inverses)
    Figure("EASE, fit", "s", *both, most=MOST_RATIO_TO_INVERSE, note=note).emit()
    found = [ours.run(configuration, seed) for seed in range(seeds)]
    peer = [recbole.run("EASE", 1, seed, {"reg_weight": LAMBDA}) for seed in range(seeds)]
    tell_ranking("EASE", found, peer)
    note = f"lambda {LAMBDA:g}; on test ours also scores from the validation item, RecBole's not"
    tell_quality("EASE", found, peer, note)


def main() -> None:
    quick = "--quick" in sys.argv
    inter = places.data("movielens-100k") / "ml-100k.inter"
    places.recbole_python()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recbole = RecBole(folder, inter)
        recbole.write_split()
        data = prepare(DataRequest(path=str(inter)), folder / "cache")
        ours = Ours(data, Registry.discover())
        seeds = QUICK_SEEDS if quick else SEEDS
        compare_ease(ours, recbole, seeds)
        for match in MATCHES:
            compare(match, ours, recbole, min(seeds, match.seeds), 1 if quick else match.epochs)


if __name__ == "__main__":
    main()
