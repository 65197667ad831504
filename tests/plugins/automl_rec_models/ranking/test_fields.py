from typing import Any

import pytest
import torch
from torch import Tensor

from automl_rec.plugin import Catalog, Layers, Rows
from automl_rec_models.ranking.fields import FieldTables
from automl_rec_models.ranking.linear import LogisticRegression


def tables_of(catalog: Catalog, **options: Any) -> tuple[FieldTables, Layers]:
    layers = Layers(catalog, torch.Generator().manual_seed(0))
    return FieldTables(catalog, layers, 4, std=1.0, **options), layers


def stored(layers: Layers, name: str) -> Tensor:
    table = (layers.tables | layers.private)[name]
    return table.rows().detach()


@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_vectors_are_rows_pooled_rows_and_scaled_rows(
    catalog: Catalog, rows: Rows, pooling: Any
) -> None:
    tables, layers = tables_of(catalog, pooling=pooling)
    vectors = tables(rows).vectors.detach()
    assert vectors.shape == (5, 5, 4)
    for b in range(5):
        tags = [stored(layers, "tags")[i] for i in rows.fields["tags"][b].tolist() if i >= 0]
        total = sum(tags, torch.zeros(4))
        expected = [
            stored(layers, "user")[rows.fields["user"][b]],
            total / max(len(tags), 1) if pooling == "mean" else total,
            stored(layers, "item")[rows.fields["item"][b]],
            rows.fields["price"][b] * stored(layers, "price")[0],
            rows.fields["age"][b] * stored(layers, "age")[0],
        ]
        torch.testing.assert_close(vectors[b], torch.stack(expected))


def test_numbers_are_those_of_the_numeric_fields_with_or_without_vectors(
    catalog: Catalog, rows: Rows
) -> None:
    for scaled, count in ((True, 5), (False, 3)):
        tables, _ = tables_of(catalog, scaled=scaled)
        reading = tables(rows)
        expected = torch.stack([rows.fields["price"], rows.fields["age"]], 1)
        assert torch.equal(reading.numbers, expected)
        assert reading.vectors.shape[1] == tables.count == count


def test_more_padding_changes_nothing(catalog: Catalog, rows: Rows) -> None:
    tables, _ = tables_of(catalog)
    padded = torch.nn.functional.pad(rows.fields["tags"], (0, 3), value=-1)
    wider = Rows({**rows.fields, "tags": padded})
    torch.testing.assert_close(tables(wider).vectors, tables(rows).vectors)


def test_tables_know_how_often_a_row_reads_them(catalog: Catalog) -> None:
    tables, layers = tables_of(catalog, suffix=".first")
    reads = {name: weight.use.rows for name, weight in layers.weights.items()}
    assert reads == {
        "user.first.store": 1.0,
        "tags.first.store": 1.5,
        "item.first.store": 1.0,
        "price.first.store": 1.0,
        "age.first.store": 1.0,
    }
    assert {name for name, weight in layers.weights.items() if weight.sensitive} == {
        "price.first.store",
        "age.first.store",
    }
    assert tables.operations == 4 * (1.5 + 2)


def test_the_penalty_is_half_the_squared_length_of_what_a_row_reads(
    catalog: Catalog, rows: Rows
) -> None:
    tables, layers = tables_of(catalog)
    total = 0.0
    for name in ("user", "item", "tags"):
        for value in rows.fields[name].reshape(-1).tolist():
            if value >= 0:
                total += 0.5 * float(stored(layers, name)[value].square().sum())
    assert tables(rows).penalty().item() == pytest.approx(total / 5)


def test_the_slope_of_the_penalty_is_that_of_the_formula(catalog: Catalog, rows: Rows) -> None:
    slopes = []
    for by_hand in (False, True):
        tables, layers = tables_of(catalog)
        reading = tables(rows)
        halves = [0.5 * part.square().sum() for part in reading.read]
        penalty = torch.stack(halves).sum() / 5 if by_hand else reading.penalty()
        (3.0 * penalty).backward()
        slopes.append([layers.weights[f"{name}.store"].trainable.grad for name in ("user", "tags")])
    for ours, expected in zip(*slopes, strict=True):
        assert ours is not None
        assert expected is not None
        torch.testing.assert_close(ours, expected)


def test_the_loss_is_cross_entropy_and_the_penalty_times_its_strength(
    catalog: Catalog, rows: Rows, make: Any
) -> None:
    model = make(LogisticRegression, catalog, regularization=0.25)
    assert rows.labels is not None
    chance = torch.sigmoid(model.logits(rows))
    error = torch.where(rows.labels == 1, -chance.log(), -(1 - chance).log()).mean()
    torch.testing.assert_close(model.loss(rows), error + 0.25 * model.tables[0](rows).penalty())


def test_fields_may_be_named_like_anything(rows: Rows, plain: Catalog) -> None:
    assert plain.rows is not None
    for name in ("items", "type", "training", "user.name", "forward", "parameters"):
        fields = {name: plain.rows.fields["type"], "user": plain.rows.fields["user"]}
        catalog = Catalog(0, plain.histories, rows=type(plain.rows)(fields, plain.rows.labels))
        tables, _ = tables_of(catalog)
        asked = Rows({name: rows.fields["type"], "user": rows.fields["user"]})
        assert tables(asked).vectors.shape == (5, 2, 4)
