from typing import Any

import pytest
import torch

from automl_rec.plugin import Catalog, Infeasible, Layers, Rows, RowTable
from automl_rec_models.ranking.dlrm import Dlrm

SHAPE: dict[str, Any] = {
    "width": 3,
    "hidden": 5,
    "depth": 2,
    "batch_norm": False,
    "dropout": 0.0,
}


def perceptron(linears: Any, states: torch.Tensor) -> torch.Tensor:
    for linear in linears:
        states = torch.relu(states @ linear.weight.trainable.T + linear.bias)
    return states


def test_the_upper_perceptron_sees_each_pair_once_and_the_dense_vector_first(
    catalog: Catalog, rows: Rows, make: Any
) -> None:
    model = make(Dlrm, catalog, op="dot", **SHAPE)
    reading = model.tables[0](rows)
    numbers = torch.stack([rows.fields["price"], rows.fields["age"]], 1)
    bottom = perceptron([*model.bottom.linears, model.dense], numbers)
    vectors = [*reading.vectors.unbind(1), bottom]
    dots = [
        (vectors[f] * vectors[g]).sum(1)
        for f in range(len(vectors))
        for g in range(f + 1, len(vectors))
    ]
    assert len(dots) == 4 * 3 / 2
    expected = torch.cat([bottom, torch.stack(dots, 1)], 1)
    torch.testing.assert_close(model.joined(reading), expected)


def test_without_numeric_fields_there_is_no_lower_perceptron(
    plain: Catalog, rows: Rows, make: Any
) -> None:
    model = make(Dlrm, plain, op="dot", **SHAPE)
    assert model.bottom is None
    assert model.dense is None
    assert model.joined(model.tables[0](rows)).shape == (5, 3)
    names = {weight for weight, _ in model.named_parameters() if "bottom" in weight}
    assert not names


def test_permuting_fields_permutes_inner_products(plain: Catalog, rows: Rows, make: Any) -> None:
    assert plain.rows is not None
    one = make(Dlrm, plain, op="dot", **SHAPE)
    swapped = {name: plain.rows.fields[name] for name in ("item", "user", "type")}
    table = RowTable(swapped, plain.rows.labels)
    other = make(Dlrm, Catalog(0, plain.histories, rows=table), op="dot", **SHAPE)
    for position, same in enumerate((1, 0, 2)):
        other.tables[0].tables[position].assign(one.tables[0].tables[same].rows().detach())
    ours, theirs = (model.joined(model.tables[0](rows)) for model in (one, other))
    # (user, item), (user, type), (item, type) against (item, user), (item, type), (user, type)
    torch.testing.assert_close(theirs, ours[:, [0, 2, 1]])


@pytest.mark.parametrize("numeric", [True, False])
def test_side_by_side_it_is_a_perceptron_on_all_vectors(
    catalog: Catalog, plain: Catalog, rows: Rows, make: Any, numeric: Any
) -> None:
    model = make(Dlrm, catalog if numeric else plain, op="cat", **SHAPE)
    reading = model.tables[0](rows)
    inputs = reading.vectors.flatten(1)
    if numeric:
        dense = perceptron([*model.bottom.linears, model.dense], reading.numbers)
        inputs = torch.cat([inputs, dense], 1)
    states = perceptron(model.top.linears, inputs)
    expected = (states @ model.output.weight.trainable.T + model.output.bias)[:, 0]
    torch.testing.assert_close(model.logits(rows), expected)


def test_several_values_are_added(catalog: Catalog, rows: Rows, make: Any) -> None:
    model = make(Dlrm, catalog, op="dot", **SHAPE)
    tags = model.tables[0].tables[1].rows()
    torch.testing.assert_close(model.tables[0](rows).vectors[3, 1], tags[[3, 4, 1]].sum(0))


def test_one_row_is_judged_as_among_others(catalog: Catalog, rows: Rows, make: Any) -> None:
    model = make(Dlrm, catalog, op="dot", **SHAPE)
    alone = Rows({name: values[3:4] for name, values in rows.fields.items()})
    torch.testing.assert_close(model.logits(alone), model.logits(rows)[3:4])


def test_inner_products_of_a_single_vector_are_infeasible(plain: Catalog) -> None:
    assert plain.rows is not None
    table = RowTable({"user": plain.rows.fields["user"]}, plain.rows.labels)
    catalog = Catalog(0, plain.histories, rows=table)
    for op, fits in (("cat", True), ("dot", False)):
        layers = Layers(catalog, torch.Generator().manual_seed(0))
        more: dict[str, Any] = {"op": op, "regularization": 1e-6, **SHAPE}
        if fits:
            assert Dlrm(catalog, layers, **more).logits(Rows({"user": torch.tensor([1])})).numel()
        else:
            with pytest.raises(Infeasible, match="op dot needs two vectors to multiply, got 1"):
                Dlrm(catalog, layers, **more)


def test_operations_count_pairs_pooling_and_normalisations(catalog: Catalog, make: Any) -> None:
    normed = SHAPE | {"batch_norm": True}
    expected = 3 * 1.5 + 6 * 3 + 2 * 2 * 5
    assert make(Dlrm, catalog, op="dot", **normed).operations() == expected
    assert make(Dlrm, catalog, op="cat", **normed).operations() == expected - 6 * 3
