"""Built, finalized, restored and priced models, through the installed components."""

import copy
import dataclasses
import functools
import json
import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from automl_rec.builder import build, finalize, restore
from automl_rec.data import Prepared
from automl_rec.errors import ExportError, Infeasible
from automl_rec.plugin import (
    ClosedFormModel,
    CodebookMatrix,
    Coded,
    Component,
    DenseMatrix,
    Embedding,
    Field,
    Form,
    Interval,
    Kind,
    LowRankMatrix,
    Matrix,
    PlainTable,
    Requests,
    Sparsity,
    Table,
    WatchedMatrix,
    Weight,
    dense_form,
    from_integers,
)
from automl_rec.price import price
from automl_rec.registry import Plugin, Registry
from automl_rec.served import Served
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.testing.contract import configuration_of, same
from automl_rec.testing.planted import planted_rows
from automl_rec.testing.settings import settings_of

EASE = Chosen("ease", {"regularization": 20.0})
PRUNED = Chosen("magnitude", {"density": 0.1, "mode": "one-shot", "scope": "uniform"})
GRADUAL = Chosen("magnitude", {"density": 0.1, "mode": "gradual", "scope": "uniform"})
SVD = Chosen("svd", {"allocation": "uniform", "ratio": 0.2})
DAMAGED = object()


def fitted(configuration: Configuration, data: Prepared, registry: Registry) -> Served:
    built = build(configuration, data.catalog, registry, seed=3)
    assert isinstance(built.model, ClosedFormModel)
    built.model.fit(data.catalog, torch.Generator().manual_seed(3))
    return finalize(built)


@pytest.mark.parametrize(
    "configuration",
    [
        Configuration(Chosen("popularity")),
        Configuration(EASE),
        Configuration(EASE, sparsity=PRUNED),
        Configuration(EASE, rank=SVD),
        Configuration(EASE, rank=SVD, sparsity=PRUNED),
    ],
    ids=["popularity", "dense", "pruned", "low-rank", "both"],
)
def test_price_is_exact_and_restoring_changes_no_bit(
    configuration: Configuration, prepared: Prepared, registry: Registry
) -> None:
    served = fitted(configuration, prepared, registry)
    tensors = served.tensors()
    priced = price(configuration, prepared.catalog, registry)
    assert priced.bytes.low == priced.bytes.high == sum(t.nbytes for t in tensors.values())
    assert priced.bytes_tables.low == served.bytes_tables
    assert priced.operations.low <= served.operations.low
    assert served.operations.high <= priced.operations.high
    restored = restore(configuration, prepared.catalog, registry, served.structure(), tensors)
    requests = Requests.of(prepared.known("validation"), torch.arange(60).numpy())
    assert torch.equal(served.scores(requests), restored.scores(requests))
    assert restored.structure() == served.structure()


def test_a_model_under_training_cannot_be_served(prepared: Prepared, registry: Registry) -> None:
    built = build(Configuration(EASE), prepared.catalog, registry, seed=0)
    with pytest.raises(TypeError, match="no trainable matrix"):
        Served(built.model)


def test_masks_in_training_are_refused_for_closed_forms(
    prepared: Prepared, registry: Registry
) -> None:
    with pytest.raises(Infeasible, match="ease is solved in closed form"):
        price(Configuration(EASE, sparsity=GRADUAL), prepared.catalog, registry)


def test_masks_in_training_are_refused_beside_a_rank_that_would_fill_them(
    prepared: Prepared, registry: Registry
) -> None:
    parts: dict[Kind, Chosen] = {"rank": SVD, "sparsity": GRADUAL}
    configuration = configuration_of(registry, "bpr-mf", None, parts)
    with pytest.raises(Infeasible, match=r"magnitude masks .* but svd would fill them again"):
        build(configuration, prepared.catalog, registry, seed=0)


def test_tensors_of_another_configuration_are_refused(
    prepared: Prepared, registry: Registry
) -> None:
    served = fitted(Configuration(EASE, rank=SVD), prepared, registry)
    other = Configuration(Chosen("popularity"))
    with pytest.raises(ExportError, match="The layouts must describe the weights"):
        restore(other, prepared.catalog, registry, served.structure(), served.tensors())
    tensors = served.tensors()
    tensors.pop(next(iter(tensors)))
    with pytest.raises(ExportError, match="do not fit the configuration"):
        restore(Configuration(EASE), prepared.catalog, registry, served.structure(), tensors)


def test_equal_seeds_give_equal_weights(prepared: Prepared, registry: Registry) -> None:
    configuration = Configuration(
        Chosen("ials", settings_of(registry.component("model", "ials"))),
        embedding=Chosen("hash", settings_of(registry.component("embedding", "hash"))),
    )
    first, second = (fitted(configuration, prepared, registry).tensors() for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


class Untouchable(Embedding):
    """Rows that no other compression may change."""

    def table(self, field: Field, generator: torch.Generator) -> Table:
        table = PlainTable(field, generator)
        table.store.sensitive = True
        return table


@pytest.fixture
def with_untouchable(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Registry:
    home = ModuleType("untouchable")
    vars(home)["Untouchable"] = Untouchable
    monkeypatch.setitem(sys.modules, "untouchable", home)
    described = Component(
        kind="embedding",
        name="untouchable",
        summary="For tests.",
        source="Ours.",
        implementation="untouchable:Untouchable",
    )
    return Registry([*registry.plugins, Plugin("test", "test", "0", components=(described,))])


@pytest.mark.parametrize(("kind", "acting"), [("sparsity", PRUNED), ("rank", SVD)], ids=str)
def test_a_compression_without_a_weight_to_act_on_is_refused(
    kind: Kind, acting: Chosen, prepared: Prepared, with_untouchable: Registry
) -> None:
    parts: dict[Kind, Chosen] = {"embedding": Chosen("untouchable"), kind: acting}
    configuration = configuration_of(with_untouchable, "bpr-mf", None, parts)
    reason = f"{kind} {acting.name} finds nothing to act on: bpr-mf with embedding untouchable"
    with pytest.raises(Infeasible, match=f"{reason} .* Leave {kind} out"):
        price(configuration, prepared.catalog, with_untouchable)
    with pytest.raises(Infeasible, match=reason):
        build(configuration, prepared.catalog, with_untouchable, seed=0)


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("bpr-mf", {"sparsity": PRUNED}),
        ("bpr-mf", {"embedding": Chosen("untouchable")}),
        ("sasrec", {"embedding": Chosen("untouchable"), "sparsity": PRUNED}),
    ],
    ids=["tables", "nothing", "linear layers"],
)
def test_a_compression_that_has_something_to_act_on_is_priced(
    model: str, parts: dict[Kind, Chosen], prepared: Prepared, with_untouchable: Registry
) -> None:
    configuration = configuration_of(with_untouchable, model, None, parts)
    assert price(configuration, prepared.catalog, with_untouchable).bytes.low > 0


class CountedMatrix(WatchedMatrix):
    """Counts what it is multiplied with."""

    count = 0

    def multiply(self, x: Tensor) -> Tensor:
        """See `Matrix.multiply`."""
        self.count += len(x)
        return super().multiply(x)


class Curious(Sparsity):
    """Watches the items' weight and keeps everything."""

    seen: ClassVar[list[tuple[str, type[Matrix], int]]] = []

    def price(self, forms: Mapping[str, Form]) -> dict[str, Form]:
        """See `Sparsity.price`."""
        return dict(forms)

    def calibrate(self, weights: Mapping[str, Weight], answer: Callable[[], None]) -> None:
        """See `Sparsity.calibrate`."""
        weight = weights["item.store"]
        counted, before = CountedMatrix(weight.matrix), weight.matrix
        weight.matrix = counted
        answer()
        weight.matrix = before
        self.seen.append(("calibrate", type(before), counted.count))

    def compress(self, weights: Mapping[str, Weight]) -> None:
        """See `Sparsity.compress`."""
        self.seen.append(("compress", type(weights["item.store"].matrix), 0))


def test_a_sparsity_sees_the_model_answer_after_its_rank_and_before_it_compresses(
    prepared: Prepared, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = ModuleType("curious")
    vars(home)["Curious"] = Curious
    monkeypatch.setitem(sys.modules, "curious", home)
    monkeypatch.setattr(Curious, "seen", [])
    described = Component("sparsity", "curious", "For tests.", "Ours.", "curious:Curious")
    plugins = Registry([*registry.plugins, Plugin("test", "test", "0", components=(described,))])
    parts: dict[Kind, Chosen] = {"rank": SVD, "sparsity": Chosen("curious")}
    finalize(
        build(configuration_of(plugins, "bpr-mf", None, parts), prepared.catalog, plugins, seed=0)
    )
    users = int((prepared.catalog.histories.lengths > 0).sum())
    assert Curious.seen == [("calibrate", LowRankMatrix, users), ("compress", LowRankMatrix, 0)]


def damaged(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Places in a structure, and what is put there; `DAMAGED` stands for nothing."""
    keys = part if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ()
    for key in keys:
        for wrong in (DAMAGED, None, "x", -1, {}, []):
            yield (*path, key), wrong
        yield from damaged(part[key], (*path, key))


def put(structure: dict[str, Any], path: tuple[Any, ...], wrong: Any) -> dict[str, Any]:
    changed = copy.deepcopy(structure)
    *outer, last = path
    part = functools.reduce(operator.getitem, outer, changed)
    if wrong is DAMAGED:
        del part[last]
    else:
        part[last] = wrong
    return changed


@pytest.mark.parametrize("name", ["matryoshka", "dnis", "robe", "mgqe", "quant"])
def test_a_damaged_structure_is_refused_or_harmless(
    name: str, prepared: Prepared, registry: Registry
) -> None:
    component = registry.component("embedding", name)
    embedding = Chosen(name, settings_of(component) | {"budget": 0.5})
    configuration = configuration_of(registry, "bpr-mf", None, {"embedding": embedding})
    served = finalize(build(configuration, prepared.catalog, registry, seed=0))
    structure, tensors = json.loads(json.dumps(served.structure())), served.tensors()
    refused = 0
    for path, wrong in damaged(structure):
        try:
            parts = (put(structure, path, wrong), tensors)
            loaded = restore(configuration, prepared.catalog, registry, *parts)
        except ExportError as error:
            refused += "do not fit" in str(error) or "must describe" in str(error)
        else:
            assert same(loaded.tensors(), tensors)
    assert refused > 20


def test_a_layout_of_another_shape_or_type_is_refused(
    prepared: Prepared, registry: Registry
) -> None:
    served = fitted(Configuration(EASE), prepared, registry)
    structure, tensors = served.structure(), served.tensors()
    (name,) = structure["layouts"]
    rows = structure["layouts"][name]["rows"]
    halved = {n: tensor[: rows // 2] for n, tensor in tensors.items()}
    smaller = put(structure, ("layouts", name, "rows"), rows // 2)
    with pytest.raises(ExportError, match="has shape"):
        restore(Configuration(EASE), prepared.catalog, registry, smaller, halved)
    doubles = {n: tensor.double() for n, tensor in tensors.items()}
    with pytest.raises(ExportError, match=r"must be torch\.float32, got torch\.float64"):
        restore(Configuration(EASE), prepared.catalog, registry, structure, doubles)


@pytest.mark.parametrize("name", ["matryoshka", "robe", "fixed-dim", "untouchable"])
def test_an_embedding_without_a_table_to_act_on_is_refused(
    name: str, with_untouchable: Registry
) -> None:
    catalog = planted_rows(rows=100)[0]
    assert catalog.rows is not None
    numbers = {n: field for n, field in catalog.rows.fields.items() if field.kind == "numeric"}
    catalog = dataclasses.replace(catalog, rows=dataclasses.replace(catalog.rows, fields=numbers))
    values = settings_of(with_untouchable.component("embedding", name))
    reason = f"embedding {name} finds nothing to act on: deepfm has no table"
    chosen: dict[Kind, Chosen] = {"embedding": Chosen(name, values)}
    configuration = configuration_of(with_untouchable, "deepfm", None, chosen)
    with pytest.raises(Infeasible, match=reason):
        price(configuration, catalog, with_untouchable)
    price(configuration_of(with_untouchable, "deepfm"), catalog, with_untouchable)


class Worded(PlainTable):
    """Every row is one of four words, or integers; its weight does not say that it is sensitive."""

    def __init__(self, field: Field, generator: torch.Generator, kind: str) -> None:
        super().__init__(field, generator)
        size, self.kind = field.num_rows, kind
        forms: dict[str, Form] = {
            "codes": Coded(Interval(size, size), 1, dense_form(4, field.width)),
            "integers": dataclasses.replace(dense_form(size, field.width), precision="int8"),
        }
        self.store.expected = forms[kind]

    def settle(self) -> None:
        values = self.store.matrix.dense()
        if values.is_meta:
            return
        codes = torch.arange(len(values))[:, None] % 4
        self.store.matrix = (
            CodebookMatrix(codes, DenseMatrix(values[:4].clone()))
            if self.kind == "codes"
            else from_integers(values.sign(), torch.ones(len(values)), "int8")
        )


@pytest.mark.parametrize("kind", ["codes", "integers"])
@pytest.mark.parametrize("acting", ["sparsity", "rank"])
def test_codes_and_integers_are_left_alone_by_rank_and_sparsity(
    kind: str, acting: Kind, prepared: Prepared, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def table(_: Embedding, field: Field, generator: torch.Generator) -> Table:
        return Worded(field, generator, kind)

    home = ModuleType("worded")
    vars(home)["Words"] = type("Words", (Embedding,), {"table": table})
    monkeypatch.setitem(sys.modules, "worded", home)
    described = Component("embedding", "worded", "For tests.", "Ours.", "worded:Words")
    plugins = Registry([*registry.plugins, Plugin("test", "test", "0", components=(described,))])
    chosen: dict[Kind, Chosen] = {"sparsity": PRUNED, "rank": SVD}
    parts = {"embedding": Chosen("worded"), acting: chosen[acting]}
    configuration = configuration_of(plugins, "bpr-mf", None, parts)
    with pytest.raises(Infeasible, match="finds nothing to act on"):
        price(configuration, prepared.catalog, plugins)
    deep = configuration_of(plugins, "sasrec", None, parts)
    served = finalize(build(deep, prepared.catalog, plugins, seed=0))
    (weight,) = (w for w in served.model.modules() if getattr(w, "name", "") == "item.store")
    assert isinstance(weight, Weight)
    assert isinstance(weight.matrix, CodebookMatrix if kind == "codes" else DenseMatrix)
    assert price(deep, prepared.catalog, plugins).bytes.high >= served.bytes
