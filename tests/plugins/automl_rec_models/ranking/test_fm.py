import math
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor

from automl_rec.data.row_batches import rows_of
from automl_rec.plugin import Catalog, Rows, RowTable, Weight
from automl_rec.testing.planted import planted_rows
from automl_rec.training.trainer import train
from automl_rec_models.ranking.deepfm import DeepFm
from automl_rec_models.ranking.fm import FactorizationMachine, pairs
from automl_rec_models.ranking.linear import LogisticRegression

DEEP: dict[str, Any] = {"hidden": 6, "depth": 2, "batch_norm": False, "dropout": 0.0}


def slow_pairs(vectors: Tensor) -> Tensor:
    fields = vectors.unbind(1)
    return torch.stack([(v * w).sum(1) for v, w in combinations(fields, 2)]).sum(0)


def without(catalog: Catalog, kept: tuple[str, ...]) -> Catalog:
    assert catalog.rows is not None
    fields = {name: catalog.rows.fields[name] for name in kept}
    return Catalog(0, catalog.histories, rows=RowTable(fields, catalog.rows.labels))


def test_two_numbers_are_multiplied() -> None:
    assert pairs(torch.tensor([[[3.0], [-0.5]]])).tolist() == [-1.5]


def test_pairs_are_the_inner_products_of_all_pairs_and_slope_like_them() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(4, 5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(pairs(vectors), slow_pairs(vectors))
    assert torch.autograd.gradcheck(pairs, vectors)


def test_lr_adds_the_weights_of_the_values(plain: Catalog, rows: Rows, make: Any) -> None:
    model = make(LogisticRegression, plain)
    weights = [table.rows()[:, 0] for table in model.tables[0].tables]
    names = ("user", "item", "type")
    expected = model.bias + sum(
        weight[rows.fields[name]] for name, weight in zip(names, weights, strict=True)
    )
    torch.testing.assert_close(model.logits(rows), expected)


def test_a_machine_of_user_and_item_is_biased_matrix_factorisation(
    plain: Catalog, rows: Rows, make: Any
) -> None:
    model = make(FactorizationMachine, without(plain, ("user", "item")), width=3)
    users, items = rows.fields["user"], rows.fields["item"]
    biases, factors = model.tables
    of_users, of_items = (table.rows()[:, 0] for table in biases.tables)
    p, q = (table.rows() for table in factors.tables)
    expected = model.bias + of_users[users] + of_items[items] + (p[users] * q[items]).sum(1)
    torch.testing.assert_close(model.logits(rows), expected)


@pytest.mark.parametrize(("model", "more"), [(FactorizationMachine, {}), (DeepFm, DEEP)])
def test_with_vectors_of_zeros_it_is_lr(
    model: type[Any], more: dict[str, Any], catalog: Catalog, rows: Rows, make: Any
) -> None:
    built = make(model, catalog, width=3, **more)
    first = built.bias + built.tables[0](rows).vectors.sum((1, 2))
    assert not torch.allclose(built.logits(rows), first)
    with torch.no_grad():
        for table in [*built.tables[1].tables, *built.tables[1].vectors]:
            table.assign(torch.zeros(table.num_rows, 3))
        for linear in built.deep.linears if more else ():
            linear.bias.zero_()
    torch.testing.assert_close(built.logits(rows), first)


def test_the_order_of_fields_does_not_matter_to_a_machine(
    plain: Catalog, rows: Rows, make: Any
) -> None:
    one = make(FactorizationMachine, plain, width=3)
    other = make(FactorizationMachine, without(plain, ("type", "user", "item")), width=3)
    with torch.no_grad():
        other.bias.copy_(one.bias)
        for ours, theirs in zip(one.tables, other.tables, strict=True):
            for position, same in enumerate((2, 0, 1)):
                theirs.tables[position].assign(ours.tables[same].rows())
    torch.testing.assert_close(one.logits(rows), other.logits(rows))


def test_deepfm_adds_a_perceptron_on_the_same_vectors(
    catalog: Catalog, rows: Rows, make: Any
) -> None:
    model = make(DeepFm, catalog, width=3, **DEEP)
    x = model.tables[1](rows).vectors
    expected = model.bias + model.tables[0](rows).vectors.sum((1, 2)) + slow_pairs(x)
    states = x.flatten(1)
    for linear in model.deep.linears:
        states = torch.relu(states @ linear.weight.trainable.T + linear.bias)
    expected = expected + (states @ model.output.weight.trainable.T)[:, 0]
    torch.testing.assert_close(model.logits(rows), expected)


def test_operations_count_what_weights_do_not(plain: Catalog, catalog: Catalog, make: Any) -> None:
    assert make(LogisticRegression, plain).operations() == 0
    # 1.5 tags and two numbers to scale, of width 1; then of width 3 too, and 5 vectors twice.
    assert make(LogisticRegression, catalog).operations() == 3.5
    machine = make(FactorizationMachine, catalog, width=3)
    assert machine.operations() == 3.5 + 3 * 3.5 + 2 * 5 * 3
    normed = DEEP | {"batch_norm": True}
    assert make(DeepFm, catalog, width=3, **normed).operations() == machine.operations() + 2 * 6


def test_the_last_layer_and_nothing_else_of_deepfm_is_left_alone(plain: Catalog, make: Any) -> None:
    parts = make(DeepFm, plain, width=3, **DEEP).modules()
    named = {part.name: part.sensitive for part in parts if isinstance(part, Weight)}
    assert {name for name, sensitive in named.items() if sensitive} == {"output"}
    assert {"deep1", "deep2", "user.store", "user.first.store"} < named.keys()


def test_the_bias_alone_learns_the_share_of_ones(plain: Catalog, rows: Rows, make: Any) -> None:
    model = make(LogisticRegression, plain)
    with torch.no_grad():
        model.bias.fill_(math.log(3 / 2))
        for table in model.tables[0].tables:
            table.assign(torch.zeros(table.num_rows, 1))
    model.loss(rows).backward()
    assert abs(float(model.bias.grad)) < 1e-6


@pytest.mark.slow
def test_on_planted_pairs_a_machine_beats_lr_and_lr_a_guess(make: Any) -> None:
    catalog, heldout = planted_rows()
    settings = {"learning_rate": 0.02, "batch_size": 512, "epochs": 15, "patience": 15}

    def auc(model: Any) -> float:
        """Share of pairs of a 1 and a 0 that the model orders rightly."""
        chance = model.logits(rows_of(heldout, 0, len(heldout)))
        ones, zeros = chance[heldout.labels == 1], chance[heldout.labels == 0]
        return float((ones[:, None] > zeros).float().mean())

    quality = []
    for model, more in ((LogisticRegression, {}), (FactorizationMachine, {"width": 4})):
        built = make(model, catalog, **more)
        train(
            built, catalog, lambda: (0.0, 0.0), settings=settings | {"evaluate_every": 15}, seed=0
        )
        quality.append(auc(built))
    assert quality[0] > 0.6
    assert quality[1] > quality[0] + 0.05


def test_a_column_may_be_called_as_the_weights_of_another(plain: Catalog, make: Any) -> None:
    assert plain.rows is not None
    names = ("type", "type.first", "type.first'")
    fields = dict.fromkeys(names, plain.rows.fields["type"])
    named = Catalog(0, plain.histories, rows=RowTable(fields, plain.rows.labels))
    rows = Rows(dict.fromkeys(names, torch.tensor([0, 2])))
    assert make(FactorizationMachine, named, width=3).logits(rows).shape == (2,)
