import pytest
import torch

from automl_rec.plugin import Field, Layers, PlainTable, Table
from automl_rec.testing.planted import planted_tiny

CATALOG = planted_tiny().catalog


def layers(*, compressed: bool = False) -> Layers:
    return Layers(CATALOG, torch.Generator().manual_seed(0), compressed=compressed)


class Doubled:
    """An embedding that remembers the field it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Field] = []

    def table(self, field: Field, generator: torch.Generator) -> Table:
        self.asked.append(field)
        return PlainTable(field, generator)


def test_the_embedding_makes_tables_of_users_and_items_from_train_counts() -> None:
    embedding = Doubled()
    made = Layers(CATALOG, torch.Generator().manual_seed(0), embedding)
    made.table("item", 4, std=0.5, lookups=3.0, scored=True)
    (field,) = embedding.asked
    assert (field.name, field.num_rows, field.width, field.std) == ("item", 40, 4, 0.5)
    assert (field.lookups, field.scored) == (3.0, True)
    assert field.counts is not None
    assert field.counts.tolist() == CATALOG.item_counts.tolist()
    assert set(made.weights) == {"item.store"}
    assert not made.weights["item.store"].sensitive


def test_a_private_table_never_meets_the_embedding_nor_compression() -> None:
    embedding = Doubled()
    made = Layers(CATALOG, torch.Generator().manual_seed(0), embedding)
    table = made.table("position", 4, rows=10)
    assert not embedding.asked
    assert table.num_rows == 10
    assert set(made.private) == {"position"}
    assert made.weights["position.store"].sensitive


def test_a_name_is_given_once() -> None:
    made = layers()
    made.table("item", 4)
    with pytest.raises(AssertionError, match="share it"):
        made.table("item", 4)
    made.linear("hidden", 2, 3)
    with pytest.raises(AssertionError, match="two weights are named 'hidden'"):
        made.linear("hidden", 2, 3)


def test_a_linear_layer_multiplies_and_adds() -> None:
    linear = layers().linear("hidden", 4, 3, std=1.0)
    assert linear.bias is not None
    with torch.no_grad():
        linear.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    x = torch.arange(40.0).reshape(2, 5, 4)
    expected = torch.nn.functional.linear(x, linear.weight.trainable, linear.bias)
    assert torch.allclose(linear(x), expected)


def test_a_linear_layer_starts_with_the_deviation_of_xavier() -> None:
    linear = layers().linear("hidden", 300, 200, bias=False)
    assert linear.bias is None
    assert linear.weight.trainable.std().item() == pytest.approx((2 / 500) ** 0.5, rel=0.02)


def test_an_item_item_weight_is_read_as_often_as_users_have_items() -> None:
    weight = layers().item_item("similar")
    assert (weight.rows, weight.columns) == (40, 40)
    assert weight.zero_diagonal
    assert weight.use.rows == 7.0


def test_compression_in_training_makes_a_table_inexact() -> None:
    assert layers().table("item", 4).exact
    assert not layers(compressed=True).table("item", 4).exact


def test_a_layer_says_whose_outputs_it_reads() -> None:
    made = layers()
    first = made.linear("first", 4, 6)
    assert made.linear("second", 6, 2, after=first).weight.after == "first"
    assert first.weight.after is None
