import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from automl_rec.builder import build
from automl_rec.errors import Infeasible
from automl_rec.plugin import Catalog, Feature, Field, PlainTable, Table, Value
from automl_rec.registry import Registry
from automl_rec.space.configuration import Chosen
from automl_rec.testing.contract import configuration_of, trained
from automl_rec.testing.planted import planted_interactions
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.residual_quantisation import quantise_residuals
from automl_rec_embeddings.semantic_id import SemanticId
from automl_rec_embeddings.semantic_table import SemanticTable

USERS, ITEMS, WIDTH = 300, 400, 16
PLAIN = planted_interactions(users=USERS, items=ITEMS, blocks=10, events=12).catalog
BLOCK = Feature("categorical", (np.arange(ITEMS) % 10).astype(np.int32), 10)
SIZE = Feature("numeric", (np.arange(ITEMS) // 10).astype(np.float32))
CATALOG = replace(PLAIN, item_features={"block": BLOCK, "size": SIZE})
FIELDS = {
    name: Field(name, size, WIDTH, counts=PLAIN.counts(name), scored=name == "item", ids=name)
    for name, size in (("user", USERS), ("item", ITEMS))
}
ROWS = torch.randn(ITEMS, WIDTH, generator=torch.Generator().manual_seed(9))


def embedding(**settings: Any) -> SemanticId:
    by = "codes" if "codes" in settings else "budget"
    defaults = {"source": "pretrained", "levels": 2, "unique": False, "precision": "fp32"}
    return SemanticId(**{**defaults, "sized_by": by, **settings})


def tables(made: SemanticId, catalog: Catalog = CATALOG) -> dict[str, Table]:
    made.adopt(json.loads(json.dumps(made.plan(FIELDS, catalog))))
    generator = torch.Generator().manual_seed(0)
    return {name: made.table(field, generator) for name, field in FIELDS.items()}


def semantic(made: SemanticId) -> SemanticTable:
    table = tables(made)["item"]
    assert isinstance(table, SemanticTable)
    return table


def served_bytes(table: Table) -> int:
    for weight in table.weights():
        weight.freeze()
    table.settle()
    return sum(tensor.nbytes for tensor in table.state_dict().values())


def used(made: SemanticId) -> int:
    return sum(map(served_bytes, tables(made).values()))


def codes_of(table: Table) -> Tensor:
    return table.get_buffer("transform.codes").long()


def test_a_row_a_code_and_a_code_an_id_are_stored_for_each_level() -> None:
    assert served_bytes(semantic(embedding(codes=32))) == 2 * (32 * WIDTH * 4 + ITEMS)
    numbered = embedding(codes=32, unique=True)
    assert served_bytes(semantic(numbered)) == 3 * (32 * WIDTH * 4 + ITEMS)


def test_rows_are_the_sums_of_those_of_the_codes() -> None:
    made = semantic(embedding(codes=32))
    first, second = (weight.matrix.dense() for weight in made.weights())
    codes = codes_of(made)
    assert torch.allclose(made.rows(), first[codes[:, 0]] + second[codes[:, 1]])


@pytest.mark.parametrize("budget", [0.6, 0.4, 0.3])
@pytest.mark.parametrize("unique", [False, True])
def test_a_budget_is_used_to_the_last_code(budget: float, *, unique: bool) -> None:
    limit = budget * (USERS + ITEMS) * WIDTH * 4
    found = used(embedding(budget=budget, unique=unique))
    assert limit - 2 * 3 * WIDTH * 4 < found <= limit


def test_a_small_budget_has_fewer_levels_before_it_has_few_codes() -> None:
    found = {
        budget: embedding(budget=budget, levels=3).plan(FIELDS, CATALOG)["item"]
        for budget in (0.3, 0.12, 0.05)
    }
    assert [plan["levels"] for plan in found.values()] == [3, 2, 1]
    assert found[0.12]["codes"] >= 16


def test_budgets_out_of_reach_are_refused() -> None:
    with pytest.raises(Infeasible, match="less than the"):
        tables(embedding(budget=0.001))
    wide = {"item": replace(FIELDS["item"], num_rows=20_000, counts=None)}
    with pytest.raises(Infeasible, match="more than twice"):
        embedding(budget=0.9, levels=1).plan(wide, CATALOG)


def test_whole_rows_are_read_while_they_are_learned_and_their_centres_afterwards() -> None:
    made = embedding(codes=32)
    table = semantic(made)
    pretrain, train = made.phases
    assert (pretrain.share, train.share) == (0.4, 0.6)
    draw = torch.Generator()
    with torch.no_grad():
        made.begin(pretrain, draw)
    assert not list(made.owned())
    assert table.whole is not None
    with torch.no_grad():
        table.whole.copy_(ROWS)
    ids = torch.tensor([3, 0, 3])
    assert torch.equal(table.lookup(ids), ROWS[ids])
    assert torch.equal(table.score(torch.ones(WIDTH)), torch.ones(WIDTH) @ ROWS.T)
    table.rows().sum().backward()
    assert all(weight.trainable.grad is None for weight in table.weights())
    with torch.no_grad():
        made.end(pretrain)
        made.begin(train, draw)
    assert any(part is table.whole for part in made.owned())
    found = quantise_residuals(ROWS, 2, 32, unique=False)
    assert torch.equal(codes_of(table), found.codes)
    assert torch.allclose(table.rows(), found.vectors())
    table.lookup(ids).sum().backward()
    assert all(weight.trainable.grad is not None for weight in table.weights())


def test_settled_tables_have_nothing_of_the_first_phase() -> None:
    for device in ("cpu", "meta"):
        with torch.device(device):
            table = tables(embedding(codes=32))["item"]
            for weight in table.weights():
                weight.freeze()
            table.settle()
        assert set(table.state_dict()) == {
            "transform.codes",
            "stores.0.weight.matrix.values",
            "stores.1.weight.matrix.values",
        }


def test_a_frozen_table_reads_what_it_was_assigned_in_every_phase() -> None:
    made = embedding(codes=32)
    table = semantic(made)
    table.requires_grad_(False)
    table.assign(ROWS)
    before = table.rows().clone()
    for phase in made.phases:
        made.begin(phase, torch.Generator())
        assert torch.equal(table.rows(), before)
        made.end(phase)
    assert torch.equal(table.rows(), before)


def test_assigned_rows_get_the_sums_of_their_centres() -> None:
    table = semantic(embedding(codes=64, unique=True))
    table.rows()  # slots that are remembered must be forgotten
    table.assign(ROWS)
    assert torch.allclose(table.rows(), quantise_residuals(ROWS, 2, 64, unique=True).vectors())
    assert torch.allclose(table.score(ROWS[0]), ROWS[0] @ table.rows().T, atol=1e-4)


def test_codes_of_content_are_those_of_the_features_and_never_change() -> None:
    made = embedding(codes=16, source="content")
    found = tables(made)
    assert isinstance(found["user"], PlainTable)
    assert isinstance(found["item"], ComposedTable)
    assert made.phases == (), "it acts in whatever phases there are"
    codes = codes_of(found["item"])
    for item in (0, 137):  # of the same block and nearly the same size
        assert torch.equal(codes[item, 0], codes[item + 10, 0])
    blocks = codes[:, 0].double()
    assert len(blocks.unique()) == 16
    found["item"].assign(ROWS)
    assert torch.equal(codes_of(found["item"]), codes)
    assert torch.equal(codes_of(tables(embedding(codes=16, source="content"))["item"]), codes)


def test_content_is_asked_for_where_there_is_none() -> None:
    for catalog, fields in ((PLAIN, FIELDS), (CATALOG, {"user": FIELDS["user"]})):
        with pytest.raises(Infeasible, match=r"features of items, or choose source pretrained\."):
            embedding(codes=16, source="content").plan(fields, catalog)


def trained_with(source: str) -> tuple[Table, Table]:
    """A table of items before its training and after it."""
    settings: dict[str, Value] = {"levels": 2, "unique": True, "precision": "fp32"}
    sized: dict[str, Value] = {"sized_by": "codes", "codes": 16}
    chosen = Chosen("semantic-id", {**sized, **settings, "source": source})
    registry = Registry.discover()
    configuration = configuration_of(registry, "bpr-mf", compressions={"embedding": chosen})
    before = build(configuration, CATALOG, registry, seed=0).layers.tables["item"]
    return before, trained(configuration, CATALOG, registry).layers.tables["item"]


def test_training_on_learned_rows_gives_codes_to_them_and_then_moves_the_centres() -> None:
    before, after = trained_with("pretrained")
    assert isinstance(before, SemanticTable)
    assert isinstance(after, SemanticTable)
    assert before.whole is not None
    assert after.whole is not None
    assert not torch.equal(before.whole, after.whole)
    centres = quantise_residuals(after.whole.detach(), 2, 16, unique=True)
    assert torch.equal(codes_of(after), centres.codes)
    moved = after.weights()[0].matrix.dense() - centres.codebooks[0]
    assert 0 < moved.norm() < centres.codebooks[0].norm()


def test_training_on_content_moves_the_stores_and_leaves_the_codes() -> None:
    before, after = trained_with("content")
    assert torch.equal(codes_of(before), codes_of(after))
    for old, new in zip(before.weights(), after.weights(), strict=True):
        assert not torch.equal(old.matrix.dense(), new.matrix.dense())


def test_a_training_is_whole_where_every_table_stays_full() -> None:
    made = embedding(codes=256)
    narrow = {"user": Field("user", 250, 4, ids="user")}
    made.adopt(made.plan(narrow, CATALOG))
    assert isinstance(made.table(narrow["user"], torch.Generator()), PlainTable)
    assert made.phases == (), "it acts in whatever phases there are"
