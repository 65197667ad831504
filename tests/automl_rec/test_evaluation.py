"""Whole trials on planted data: what is measured is what is shipped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from automl_rec.data import DataRequest, Prepared, prepare
from automl_rec.errors import DataError
from automl_rec.evaluation import evaluate, measure, require_measurable
from automl_rec.objectives import named
from automl_rec.plugin import Value, Weight
from automl_rec.price import price
from automl_rec.registry import Registry
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.testing.contract import same
from automl_rec.training.progress import Progress

NAMES = (
    "ndcg@10",
    "recall@5",
    "coverage@10",
    "bytes",
    "bytes_tables",
    "bytes_dense",
    "bytes_packed",
    "bytes_resident",
    "bytes_training",
    "latency_ms",
    "operations",
    "train_seconds",
)
OBJECTIVES = tuple(objective for name in NAMES if (objective := named(name)))


def bpr(registry: Registry, **changes: Value) -> Configuration:
    domains = registry.component("model", "bpr-mf").domains
    values = {name: domain.default for name, domain in domains.items() if not domain.only_if}
    values |= {"width": 16, "epochs": 8, "batch_size": 256, "learning_rate": 0.05, **changes}
    return Configuration(Chosen("bpr-mf", values), embedding=Chosen("full", {"precision": "fp32"}))


def test_every_objective_is_measured_with_the_error_of_its_mean(
    prepared: Prepared, registry: Registry
) -> None:
    configuration = Configuration(Chosen("popularity"))
    outcome = evaluate(configuration, prepared, OBJECTIVES, registry, seed=0).outcome
    assert set(outcome.measurements) == set(NAMES)
    assert outcome.measurements["bytes"].value == 4 * 40
    assert outcome.measurements["ndcg@10"].standard_error is not None
    assert outcome.measurements["latency_ms"].value > 0
    assert outcome.train_seconds > 0
    assert outcome.stopped is None


def test_the_served_model_has_the_quality_that_was_reported(
    prepared: Prepared, registry: Registry
) -> None:
    quality = OBJECTIVES[:1]
    evaluated = evaluate(bpr(registry), prepared, quality, registry, seed=1)
    assert evaluated.served is not None
    best = max(point.quality for point in evaluated.outcome.curve)
    assert evaluated.outcome.measurements["ndcg@10"].value == pytest.approx(best, abs=1e-6)
    again = measure(evaluated.served, prepared, "validation", quality)
    assert again["ndcg@10"] == evaluated.outcome.measurements["ndcg@10"]


def test_equal_seeds_give_equal_trials_and_others_do_not(
    prepared: Prepared, registry: Registry
) -> None:
    def curve(seed: int) -> list[float]:
        found = evaluate(bpr(registry), prepared, OBJECTIVES[:1], registry, seed=seed)
        return [point.quality for point in found.outcome.curve]

    assert curve(5) == curve(5)
    assert curve(5) != curve(6)


SVD = Chosen("svd", {"allocation": "uniform", "ratio": 0.5, "tune": 0.0})
MAGNITUDE = Chosen(
    "magnitude",
    {"density": 0.3, "mode": "one-shot", "scope": "uniform", "block": 1},
)


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("bpr-mf", {"rank": SVD}),
        ("bpr-mf", {"rank": SVD, "sparsity": MAGNITUDE}),
        ("bpr-mf", {"embedding": Chosen("full", {"precision": "int8"})}),
        ("ease", {"rank": SVD}),
        ("ease", {"sparsity": MAGNITUDE}),
    ],
)
def test_one_training_serves_what_differs_after_it(
    model: str,
    changes: dict[str, Chosen],
    prepared: Prepared,
    registry: Registry,
    tmp_path: Path,
) -> None:
    solved = Configuration(Chosen("ease", {"regularization": 10.0}))
    first = bpr(registry) if model == "bpr-mf" else solved
    file, other = tmp_path / "training", replace(first, **changes)
    parent = evaluate(first, prepared, OBJECTIVES, registry, seed=1, checkpoint=file, keep=True)
    reports: list[Progress] = []

    def told(progress: Progress) -> bool:
        reports.append(progress)
        return True

    child = evaluate(other, prepared, OBJECTIVES, registry, seed=1, checkpoint=file, report=told)
    alone = evaluate(other, prepared, OBJECTIVES, registry, seed=1)
    assert reports == []
    assert child.served is not None
    assert alone.served is not None
    assert same(child.served.tensors(), alone.served.tensors())
    assert child.outcome.measurements["ndcg@10"] == alone.outcome.measurements["ndcg@10"]
    assert child.outcome.curve == parent.outcome.curve
    spent = parent.outcome.curve[-1].seconds if parent.outcome.curve else 0.0
    assert child.outcome.train_seconds > spent, "what its parent spent is its cost too"


def test_a_training_the_search_stops_is_not_served(prepared: Prepared, registry: Registry) -> None:
    seen: list[int] = []

    def report(progress: Progress) -> bool:
        seen.append(progress.epoch)
        return progress.epoch < 3

    evaluated = evaluate(bpr(registry), prepared, OBJECTIVES, registry, seed=0, report=report)
    assert seen == [1, 2, 3]
    assert evaluated.served is None
    assert evaluated.outcome.stopped == "early"
    measured = evaluated.outcome.measurements
    assert measured["ndcg@10"].value == evaluated.outcome.curve[-1].quality
    assert measured["bytes"].value == 4 * 16 * 100
    assert "latency_ms" not in measured


def test_quality_of_test_is_not_that_of_validation(prepared: Prepared, registry: Registry) -> None:
    served = evaluate(bpr(registry), prepared, OBJECTIVES[:1], registry, seed=0).served
    assert served is not None
    validation = measure(served, prepared, "validation", OBJECTIVES[:1])
    test = measure(served, prepared, "test", OBJECTIVES[:1])
    assert validation["ndcg@10"].value != test["ndcg@10"].value


def with_a_cold_item(folder: Path) -> Prepared:
    """Five users meet items 1 and 2; then item 3 is validation of two, and test of the others."""
    lists = [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 4, 3], [1, 2, 4, 3], [2, 1, 4, 3]]
    rows = [(u, i, t) for u, items in enumerate(lists) for t, i in enumerate(items)]
    frame = pl.DataFrame(rows, ["user", "item", "time"], orient="row")
    frame.write_csv(folder / "events.csv")
    return prepare(DataRequest(path=str(folder / "events.csv")), folder / "cache")


def test_cold_items_are_those_with_few_train_users(tmp_path: Path, registry: Registry) -> None:
    data = with_a_cold_item(tmp_path)
    np.testing.assert_array_equal(data.catalog.item_counts, [5, 5, 0, 0])
    objectives = [o for n in ("hit@1", "hit@1/cold1", "mrr@2/cold") if (o := named(n))]
    require_measurable(data, objectives)
    found = evaluate(Configuration(Chosen("popularity")), data, objectives, registry, seed=0)
    # Everybody is shown items 3 and 4, in this order; 3 is held out for users 0 and 1.
    values = {name: m.value for name, m in found.outcome.measurements.items()}
    assert values == {"hit@1": 0.4, "hit@1/cold1": 0.4, "mrr@2/cold": pytest.approx(0.7)}


def test_without_a_cold_item_there_is_nothing_to_measure(prepared: Prepared) -> None:
    counts = prepared.catalog.item_counts
    name = f"ndcg@10/cold{counts.min()}"
    with pytest.raises(DataError, match=rf"{name} needs items of validation that fewer than"):
        require_measurable(prepared, [o for n in ("bytes", name) if (o := named(n))])


ROW_NAMES = ("auc", "gauc", "logloss", *NAMES[3:])
ROW_OBJECTIVES = tuple(objective for name in ROW_NAMES if (objective := named(name)))


def fm(registry: Registry, **changes: Value) -> Configuration:
    domains = registry.component("model", "fm").domains
    values = {name: domain.default for name, domain in domains.items() if not domain.only_if}
    values |= {"epochs": 8, "batch_size": 256, "learning_rate": 0.02, **changes}
    return Configuration(Chosen("fm", values), embedding=Chosen("full", {"precision": "fp32"}))


def test_every_objective_of_rows_is_measured_with_its_error(
    prepared_rows: Prepared, registry: Registry
) -> None:
    require_measurable(prepared_rows, ROW_OBJECTIVES)
    configuration = fm(registry)
    evaluated = evaluate(configuration, prepared_rows, ROW_OBJECTIVES, registry, seed=0)
    measured = evaluated.outcome.measurements
    assert set(measured) == set(ROW_NAMES)
    assert measured["auc"].value > 0.7
    assert measured["gauc"].value > 0.6
    assert 0 < measured["logloss"].value < 0.65
    for name in ("auc", "gauc", "logloss"):
        assert 0 < (measured[name].standard_error or 0) < 0.05
    assert measured["latency_ms"].value > 0
    priced = price(configuration, prepared_rows.catalog, registry)
    assert priced.bytes.low == measured["bytes"].value == priced.bytes.high
    assert evaluated.served is not None
    assert priced.operations.low <= measured["operations"].value <= priced.operations.high


def test_operations_are_those_of_a_thousand_rows(
    prepared_rows: Prepared, registry: Registry
) -> None:
    served = evaluate(fm(registry, epochs=1), prepared_rows, ROW_OBJECTIVES[:1], registry, seed=0)
    assert served.served is not None
    model = served.served.model
    weights = [part for part in model.modules() if isinstance(part, Weight)]
    once = model.operations() + sum(
        w.use.products * w.rows * w.columns + w.use.rows * w.matrix.form().row_operations.high
        for w in weights
    )
    assert served.served.operations.high == pytest.approx(1000 * once)


def test_rows_are_judged_as_was_reported_and_otherwise_in_test(
    prepared_rows: Prepared, registry: Registry
) -> None:
    quality = ROW_OBJECTIVES[:1]
    evaluated = evaluate(fm(registry), prepared_rows, quality, registry, seed=1)
    assert evaluated.served is not None
    best = max(point.quality for point in evaluated.outcome.curve)
    assert evaluated.outcome.measurements["auc"].value == pytest.approx(best, abs=1e-6)
    validation, test = (
        measure(evaluated.served, prepared_rows, part, quality)["auc"]
        for part in ("validation", "test")
    )
    assert validation == evaluated.outcome.measurements["auc"]
    assert validation.value != test.value


def test_training_that_watches_the_logloss_keeps_the_epoch_where_it_was_least(
    prepared_rows: Prepared, registry: Registry
) -> None:
    quality = [o for o in ROW_OBJECTIVES if o.name == "logloss"]
    # Fast enough to learn the train rows by heart: the loss on others falls, then rises.
    configuration = fm(registry, learning_rate=0.1, epochs=12, patience=3)
    evaluated = evaluate(configuration, prepared_rows, quality, registry, seed=0)
    curve = [point.quality for point in evaluated.outcome.curve]
    assert curve[-1] > min(curve)
    assert len(curve) == curve.index(min(curve)) + 4
    assert evaluated.outcome.stopped == "patience"
    found = evaluated.outcome.measurements["logloss"].value
    assert found == pytest.approx(min(curve), abs=1e-6)


def test_a_quality_of_users_is_refused_where_nobody_knows_them(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pl.DataFrame({"colour": draw.integers(3, size=50), "label": draw.integers(2, size=50)})
    frame.write_csv(tmp_path / "rows.csv")
    request = DataRequest(
        path=str(tmp_path / "rows.csv"), task="ranking", fields={"colour": "categorical"}
    )
    data = prepare(request, tmp_path / "cache")
    with pytest.raises(DataError, match=r"^In validation, gauc needs users who have rows of both"):
        require_measurable(data, ROW_OBJECTIVES)


def test_masks_act_on_a_model_of_rows_while_it_trains(
    prepared_rows: Prepared, registry: Registry
) -> None:
    gradual: dict[str, Value] = {"density": 0.5, "mode": "gradual", "scope": "uniform"}
    domains = registry.component("sparsity", "magnitude").hyperparameters
    gradual |= {n: d.default for n, d in domains.items() if n not in gradual}
    configuration = replace(
        fm(registry, epochs=4), sparsity=Chosen("magnitude", gradual), rank=Chosen("full")
    )
    found = evaluate(configuration, prepared_rows, ROW_OBJECTIVES, registry, seed=0)
    full = price(fm(registry), prepared_rows.catalog, registry)
    assert found.outcome.measurements["bytes"].value < full.bytes.low
