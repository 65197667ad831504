"""The equations of the towers, on catalogs small enough to check."""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from automl_rec.objectives.ranking import judged_by, lists, measure
from automl_rec.plugin import Catalog, Feature, Histories, Infeasible, Layers, Pairs
from automl_rec.testing import ModelTests
from automl_rec.testing.contract import all_requests
from automl_rec.testing.planted import (
    Planted,
    planted_features,
    planted_interactions,
    planted_tiny,
)
from automl_rec.training.trainer import train
from automl_rec_models.collaborative.popularity import Popularity
from automl_rec_models.featured.two_tower import TwoTower

PLAIN: dict[str, Any] = {
    "width": 8,
    "layers": 1,
    "hidden": 16,
    "user_ids": True,
    "item_ids": True,
    "temperature": 0.2,
    "masking": "none",
}
MASKED: dict[str, Any] = {"masking_weight": 0.5, "masking_temperature": 0.1, "value_dropout": 0.3}
SETTINGS = {"learning_rate": 0.01, "batch_size": 256, "patience": 1}


def built(catalog: Catalog, **changes: Any) -> TwoTower:
    layers = Layers(catalog, torch.Generator().manual_seed(0))
    return TwoTower(catalog, layers, **(PLAIN | changes))


def trained(catalog: Catalog, epochs: int = 2, **changes: Any) -> TwoTower:
    model = built(catalog, **changes)
    settings = SETTINGS | {"epochs": epochs, "evaluate_every": epochs}
    train(model, catalog, lambda: (0.0, 0.0), settings=settings, seed=0)
    model.requires_grad_(requires_grad=False).prepare()
    return model


def begun(catalog: Catalog, **changes: Any) -> TwoTower:
    model = built(catalog, **changes)
    with torch.no_grad():
        model.begin(catalog, torch.Generator())
    return model.requires_grad_(requires_grad=False)


def pairs(catalog: Catalog, count: int = 64) -> Pairs:
    users = torch.from_numpy(catalog.histories.users()[:count])
    items = torch.from_numpy(catalog.histories.items[:count].astype(np.int64))
    return Pairs(users, items, torch.empty(len(users), 0, dtype=torch.int64))


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return planted_tiny().catalog


class TestWithoutFeatures(ModelTests):
    """Ids alone; the suite of every component has features."""

    name = "two-tower"
    settings: ClassVar = [PLAIN, {k: v for k, v in PLAIN.items() if k != "hidden"} | {"layers": 0}]

    @pytest.fixture
    def planted(self) -> Planted:
        planted = planted_tiny()
        return replace(planted, catalog=Catalog(40, planted.catalog.histories))


def test_ids_without_hidden_layers_are_matrix_factorisation_with_softmax(catalog: Catalog) -> None:
    plain = Catalog(catalog.num_items, catalog.histories)
    model = begun(plain, layers=0)
    assert sorted(name for name, _ in model.named_parameters()) == [
        "item._encoders.0.table.store.matrix.weight",
        "user._encoders.0.table.store.matrix.weight",
    ]
    users, items = (F.normalize(part) for part in model.parameters())
    batch = pairs(plain, 16)
    shares = torch.from_numpy(plain.item_counts / plain.item_counts.sum())
    total = 0.0
    for user, item in zip(batch.users, batch.items, strict=True):
        others = [i for i in batch.items.tolist() if i != item]
        logits = users[user] @ items.T / 0.2 - shares.log()
        both = torch.stack([logits[item], *(logits[other] for other in others)])
        total += float(both.logsumexp(0) - logits[item])
    assert float(model.loss(batch)) == pytest.approx(total / len(batch.users), rel=1e-5)
    model.prepare()
    torch.testing.assert_close(model.scores(all_requests(plain)), users @ items.T)


def test_equal_counts_make_the_correction_vanish() -> None:
    lists_ = [[0, 1], [1, 2], [2, 3], [3, 0]]
    even = Catalog(4, Histories(np.arange(0, 9, 2), np.array(lists_, np.int32).reshape(-1)))
    model = begun(even)
    batch = pairs(even, 4)
    corrected = float(model.loss(batch))
    model._log_shares = torch.zeros(4)
    assert float(model.loss(batch)) == pytest.approx(corrected, rel=1e-6)


@pytest.mark.parametrize("masking", ["rfm", "cfm"])
def test_masking_of_no_weight_changes_no_other_weight(catalog: Catalog, masking: str) -> None:
    complete = replace(
        catalog,
        user_features={},
        item_features={name: complete_feature(name) for name in ("first", "second")},
    )
    plain = trained(complete).state_dict()
    weightless = MASKED | {"masking_weight": 0.0}
    masked = trained(complete, masking=masking, **weightless).state_dict()
    assert {name.split(".")[3] for name in masked.keys() - plain.keys()} == {"default"}
    assert all(torch.equal(plain[name], masked[name]) for name in plain)


def complete_feature(name: str) -> Feature:
    """A value for each of 40 items."""
    return Feature("categorical", np.arange(40, dtype=np.int32) % len(name), len(name))


def test_views_that_hide_nothing_are_recognised(catalog: Catalog) -> None:
    model = begun(catalog)
    views = model.item(torch.arange(catalog.num_items))
    likeness = views @ views.T
    assert (likeness.diagonal() >= likeness.amax(1) - 1e-6).all()
    aligned = F.cross_entropy(likeness / 0.1, torch.arange(len(views)))
    crossed = F.cross_entropy(likeness / 0.1, torch.arange(len(views)).roll(1))
    assert aligned < crossed


def test_the_order_of_a_batch_changes_the_order_of_its_vectors_alone(catalog: Catalog) -> None:
    model, batch = begun(catalog), pairs(catalog)
    order = torch.randperm(len(batch.items), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model.item(batch.items[order]), model.item(batch.items)[order])
    moved = Pairs(batch.users[order], batch.items[order], batch.negatives)
    assert float(model.loss(moved)) == pytest.approx(float(model.loss(batch)), rel=1e-5)


def test_items_without_any_shown_feature_have_one_vector(catalog: Catalog) -> None:
    model = trained(catalog, masking="rfm", **MASKED)
    vectors = model.item(torch.arange(catalog.num_items), torch.ones(5, dtype=torch.bool))
    assert torch.equal(vectors, vectors[:1].expand_as(vectors))
    assert float(vectors[0].norm()) == pytest.approx(1, rel=1e-5)


def test_the_two_views_hide_complementary_features(catalog: Catalog) -> None:
    seen: list[torch.Tensor] = []
    model = begun(catalog, masking="cfm", **MASKED)

    def spy(_tower: object, given: tuple[Any, ...]) -> None:
        seen.append(given[1])

    model.item.register_forward_pre_hook(spy)
    model.recognition(torch.arange(catalog.num_items))
    assert torch.equal(seen[0], ~seen[1])
    assert 0 < int(seen[0].sum()) < 5


def described(feature: Feature, *, events: int = 4) -> Catalog:
    """Four items of which the first ``events`` are met by one user, with one feature."""
    met = Histories(np.array([0, events]), np.arange(events, dtype=np.int32))
    return Catalog(4, met, item_features={"of": feature})


def rows_of(model: TwoTower, dropout: float = 0.0) -> torch.Tensor:
    (encoder,) = model.item.features
    rows: torch.Tensor = encoder(torch.arange(4), dropout)
    return rows


def default_of(model: TwoTower) -> torch.Tensor:
    default = model.item.features[0].default
    assert default is not None
    return default.rows()[0]


def test_several_values_are_averaged_and_none_reads_the_default_row() -> None:
    indptr = np.array([0, 2, 2, 3, 5])
    feature = Feature("multi", np.array([0, 2, 1, 1, 2], np.int32), 3, indptr)
    model = begun(described(feature), item_ids=False)
    table = model.item.features[0].table.rows()  # type: ignore[union-attr,operator]
    expected = [(table[0] + table[2]) / 2, default_of(model), table[1], (table[1] + table[2]) / 2]
    torch.testing.assert_close(rows_of(model), torch.stack(expected))
    torch.testing.assert_close(rows_of(model, 1.0), default_of(model).expand(4, -1))


def test_dropout_leaves_out_single_values() -> None:
    feature = Feature("multi", np.tile(np.arange(2, dtype=np.int32), 4), 2, np.arange(0, 9, 2))
    model = begun(described(feature), item_ids=False)
    table = model.item.features[0].table.rows()  # type: ignore[union-attr,operator]
    possible = torch.stack([table[0], table[1], table.mean(0), torch.zeros(8)])
    drawn = torch.cat([rows_of(model, 0.5) for _ in range(50)])
    matches = torch.isclose(drawn[:, None], possible).all(2)
    assert matches.any(1).all()
    assert (matches.float().mean(0) - 0.25).abs().max() < 0.12


def test_numbers_are_standardised_on_items_in_train() -> None:
    feature = Feature("numeric", np.array([1, np.nan, 3, 100], np.float32))
    model = begun(described(feature, events=3), item_ids=False)
    linear = model.item.features[0].linear
    standard = torch.tensor([[-1.0], [0.0], [1.0], [98.0]])
    expected = linear(standard)  # type: ignore[operator]
    expected[1] = default_of(model)
    torch.testing.assert_close(rows_of(model), expected)


def test_a_vector_of_zeros_is_unknown() -> None:
    values = np.array([[1, 0], [0, 0], [0, 2], [3, 4]], np.float32)
    model = begun(described(Feature("vector", values, 2)), item_ids=False)
    linear = model.item.features[0].linear
    expected = linear(torch.from_numpy(values))  # type: ignore[operator]
    expected[1] = default_of(model)
    torch.testing.assert_close(rows_of(model), expected)


def test_an_item_that_nobody_met_has_no_row_of_its_own() -> None:
    feature = Feature("categorical", np.array([0, 1, 1, 1], np.int32), 2)
    model = begun(described(feature, events=3))
    vectors = model.item(torch.arange(4))
    own, kind = (encoder(torch.arange(4)) for encoder in model.item.features)
    assert own[3].abs().sum() == 0
    assert torch.equal(kind[3], kind[2])
    assert not torch.equal(vectors[3], vectors[2])


def test_a_feature_that_nobody_has_is_left_out() -> None:
    nothing = {
        "a": Feature("categorical", np.full(4, -1, np.int32), 0),
        "b": Feature("numeric", np.full(4, np.nan, np.float32)),
        "c": Feature("multi", np.empty(0, np.int32), 0, np.zeros(5, np.int64)),
        "d": Feature("vector", np.zeros((4, 1), np.float32), 1),
    }
    empty = replace(described(Feature("numeric", np.zeros(4, np.float32))), item_features=nothing)
    assert len(built(empty).item.features) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"user_ids": False}, r"users must have at least 1 features here, .* got 0\. Set user_ids"),
        ({"masking": "rfm"}, "items must have at least 2 features here, ids included, got 1"),
        ({"masking": "cfm"}, "items must have at least 3 features here, ids included, got 1"),
    ],
)
def test_what_too_few_features_cannot_do_is_infeasible(
    catalog: Catalog, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Infeasible, match=message):
        built(Catalog(catalog.num_items, catalog.histories), **changes)


def with_cold_items() -> tuple[Planted, np.ndarray]:
    """Every fifth item of each block is met in the held-out part alone."""
    planted = planted_interactions(0, users=300, items=120, blocks=4, events=20, heldout=4)
    cold = np.arange(120) // 4 % 5 == 4
    histories = planted.catalog.histories
    train, moved = (_only(histories, kept[histories.items]) for kept in (~cold, cold))
    catalog = planted_features(Catalog(120, train), blocks=4)
    return Planted(catalog, moved), cold


def _only(histories: Histories, kept: np.ndarray) -> Histories:
    users = histories.users()[kept]
    counts = np.bincount(users, minlength=histories.num_users)
    return Histories(np.concatenate([[0], np.cumsum(counts)]), histories.items[kept])


@pytest.mark.slow
def test_items_that_nobody_met_are_found_by_their_features() -> None:
    planted, cold = with_cold_items()
    catalog = planted.catalog
    assert (catalog.item_counts[cold] == 0).all()

    popularity = Popularity(catalog, Layers(catalog, torch.Generator()))
    popularity.fit(catalog, torch.Generator())
    assert ndcg(popularity, planted, cold) == 0
    assert ndcg(trained(catalog, epochs=6, item_ids=False), planted, cold) > 0.15
    assert ndcg(trained(catalog, epochs=6, masking="rfm", **MASKED), planted, cold) > 0.05


@pytest.mark.slow
def test_on_planted_blocks_it_beats_popularity() -> None:
    planted = planted_interactions(seed=0)
    popularity = Popularity(planted.catalog, Layers(planted.catalog, torch.Generator()))
    popularity.fit(planted.catalog, torch.Generator())
    every = np.ones(planted.catalog.num_items, bool)
    model = trained(planted.catalog, epochs=4, width=32, layers=0)
    assert ndcg(model, planted, every) > 2.5 * ndcg(popularity, planted, every)


def ndcg(model: Any, planted: Planted, counting: np.ndarray) -> float:
    """NDCG@10 of the held-out items that count."""
    catalog = planted.catalog
    made = lists(model, catalog.histories, planted.heldout, catalog.num_items, 10)
    return measure(judged_by(made, planted.heldout, counting), "ndcg@10").value
