"""The conformance suites catch components that break the contract."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from automl_rec.builder import build, finalize
from automl_rec.plugin import (
    Catalog,
    ClosedFormModel,
    Component,
    Embedding,
    Field,
    Form,
    Interval,
    Layers,
    PlainTable,
    RankingModel,
    Requests,
    Rows,
    Table,
    gradient_training,
    quantise,
)
from automl_rec.price import price
from automl_rec.registry import Plugin, Registry
from automl_rec.testing import EmbeddingTests, ModelTests, RankingTests
from automl_rec.testing.contract import (
    all_requests,
    catalog_for,
    check_price,
    configuration_of,
    same,
    trained,
)
from automl_rec.testing.embeddings import Settings
from automl_rec.testing.hosts import registry_with_hosts
from automl_rec.testing.planted import planted_tiny

CATALOG = planted_tiny().catalog


class Unlucky(Embedding):
    """Plain tables in half precision, priced as if they were whole."""

    def table(self, field: Field, generator: torch.Generator) -> Table:
        return PlainTable(field, generator)

    def encode(self, table: Table) -> None:
        for weight in table.weights():
            weight.matrix = quantise(weight.matrix, "fp16")

    def price(self, form: Form) -> Form:
        return form


class Shifted(PlainTable):
    """Rows plus a random vector that the state does not hold, padding included."""

    def __init__(self, field: Field, generator: torch.Generator) -> None:
        super().__init__(field, generator)
        self._shift = torch.randn(field.width, generator=generator)

    def lookup(self, ids: Tensor) -> Tensor:
        return super().lookup(ids) + self._shift

    def rows(self) -> Tensor:
        return super().rows() + self._shift


class Shifting(Unlucky):
    def table(self, field: Field, generator: torch.Generator) -> Table:
        return Shifted(field, generator)


class UnluckyTests(EmbeddingTests):
    def embedding(self, setting: Settings, *, counted: bool = True) -> Embedding:
        return Unlucky()


class ShiftingTests(EmbeddingTests):
    def embedding(self, setting: Settings, *, counted: bool = True) -> Embedding:
        return Shifting()


def test_a_wrong_price_is_caught() -> None:
    with pytest.raises(AssertionError):
        UnluckyTests().test_encoding_gives_the_forms_that_were_priced({})


def test_padding_that_reads_something_is_caught() -> None:
    with pytest.raises(AssertionError):
        ShiftingTests().test_padding_reads_zeros_and_learns_nothing({})


def test_a_state_that_lacks_what_lookups_need_is_caught() -> None:
    with pytest.raises(AssertionError):
        ShiftingTests().test_the_state_holds_all_that_lookups_need({})


def test_scores_that_are_no_products_with_rows_are_caught() -> None:
    with pytest.raises(AssertionError):
        ShiftingTests().test_scores_are_products_with_all_rows({}, (8,))


class Restless(ClosedFormModel):
    """Owns a matrix of its own, counts its calls, and knows no empty history."""

    def __init__(self, catalog: Catalog, layers: Layers) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.zeros(3, catalog.num_items))
        self._calls = 0

    def fit(self, catalog: Catalog, generator: torch.Generator) -> None:
        """Learns nothing."""

    def scores(self, requests: Requests) -> Tensor:
        self._calls += 1
        mean = len(requests.items) / len(requests)
        return self.own[:1].expand(len(requests), -1) + self._calls / mean


RESTLESS = Component(
    kind="model",
    name="restless",
    summary="",
    source="",
    implementation=f"{__name__}:Restless",
    compressible=frozenset({"rank"}),
)


class RestlessTests(ModelTests):
    name = "restless"

    @classmethod
    def component(cls) -> Component:
        return RESTLESS


class Hasty(RankingModel):
    """Reads labels, and the other rows of a batch."""

    def __init__(self, catalog: Catalog, layers: Layers) -> None:
        super().__init__()
        self.items = layers.table("item", 1)
        self.tags = layers.table("tags", 1)

    def logits(self, rows: Rows) -> Tensor:
        items = self.items.lookup(rows.fields["item"])[:, 0]
        tags = self.tags.lookup(rows.fields["tags"]).sum((1, 2))
        known = torch.zeros(len(rows)) if rows.labels is None else rows.labels
        return items + tags + known + items.mean()


HASTY = Component(
    kind="model",
    name="hasty",
    summary="",
    source="",
    implementation=f"{__name__}:Hasty",
    training=gradient_training(),
    tasks=("ranking",),
    compressible=frozenset({"embedding"}),
)


class HastyTests(RankingTests):
    name = "hasty"

    @classmethod
    def component(cls) -> Component:
        return HASTY


def test_a_model_that_reads_labels_or_other_rows_is_caught() -> None:
    plugin = Plugin("broken", "broken-recs", "0", components=(HASTY,))
    registry, suite = Registry([*Registry.discover().plugins, plugin]), HastyTests()
    parts = (configuration_of(registry, "hasty"), catalog_for(HASTY), registry)
    suite.test_every_row_is_judged_with_a_finite_float32(*parts)
    with pytest.raises(AssertionError):
        suite.test_a_row_is_judged_without_its_label(*parts)
    with pytest.raises(AssertionError):
        suite.test_rows_are_judged_alike_alone_and_together(*parts)


class Deaf(Hasty):
    """Knows nothing but how often labels are 1."""

    def logits(self, rows: Rows) -> Tensor:
        return self.items.lookup(torch.zeros(len(rows), dtype=torch.int64))[:, 0]


def test_a_model_that_tells_no_row_from_another_is_caught() -> None:
    deaf = replace(HASTY, implementation=f"{__name__}:Deaf")
    plugin = Plugin("broken", "broken-recs", "0", components=(deaf,))
    registry = Registry([*Registry.discover().plugins, plugin])
    with pytest.raises(AssertionError, match=r"AUC 0\.500 after"):
        HastyTests().test_the_defaults_tell_the_rows_of_one_label_from_the_others(registry)
    parts = (configuration_of(registry, "hasty"), catalog_for(deaf), registry)
    with pytest.raises(AssertionError, match="training never changed"):
        HastyTests().test_gradients_reach_every_parameter(*parts)


def broken() -> tuple[Registry, RestlessTests]:
    plugin = Plugin("broken", "broken-recs", "0", components=(RESTLESS,))
    return Registry([*Registry.discover().plugins, plugin]), RestlessTests()


def test_a_matrix_the_layers_do_not_know_is_caught() -> None:
    registry, suite = broken()
    configuration = configuration_of(registry, "restless")
    with pytest.raises(AssertionError, match=r"compression cannot act on \['own'\]"):
        suite.test_every_weight_is_asked_of_the_layers(configuration, CATALOG, registry)


def test_a_compression_with_nothing_to_act_on_is_caught() -> None:
    registry, suite = broken()
    configuration = configuration_of(registry, "restless")
    with pytest.raises(AssertionError):
        suite.test_it_has_something_for_each_compression_it_allows(configuration, CATALOG, registry)


def test_scores_that_change_from_call_to_call_are_caught() -> None:
    registry, suite = broken()
    configuration = configuration_of(registry, "restless")
    with pytest.raises(AssertionError):
        suite.test_scoring_repeats_itself_and_leaves_the_request_alone(
            configuration, CATALOG, registry
        )
    with pytest.raises(ZeroDivisionError):
        suite.test_a_user_without_history_is_scored(configuration, CATALOG, registry)


def test_a_byte_or_an_operation_outside_the_price_is_caught() -> None:
    registry = registry_with_hosts()
    configuration = configuration_of(registry, "host-likeness")
    served = finalize(trained(configuration, CATALOG, registry))
    priced = price(configuration, CATALOG, registry)
    check_price(priced, served)
    for part in ("bytes", "bytes_tables", "bytes_dense", "operations"):
        more = getattr(priced, part) + Interval(1, 1)
        with pytest.raises(AssertionError, match="priced"):
            check_price(replace(priced, **{part: more}), served)


class TestFields(RankingTests):
    """The host of rows keeps the contract of models that judge them."""

    name = "host-fields"


def test_one_bit_of_difference_is_caught() -> None:
    first = {"a": torch.tensor([1.0, 2.0])}
    assert same(first, {"a": torch.tensor([1.0, 2.0])})
    assert not same(first, {"a": torch.tensor([1.0, 2.0000002])})
    assert not same(first, {"a": torch.tensor([1.0, 2.0], dtype=torch.float64)})
    assert not same(first, {"b": torch.tensor([1.0, 2.0])})


def test_hosts_learn_from_the_planted_data() -> None:
    registry = registry_with_hosts()
    for host in ("host-likeness", "host-neighbours"):
        configuration = configuration_of(registry, host)
        served = finalize(trained(configuration, CATALOG, registry))
        scores = served.scores(all_requests(CATALOG))
        own = torch.arange(60)[:, None] % 4 == torch.arange(40) % 4
        assert scores[own].mean() > 2 * scores[~own].mean()


@pytest.mark.parametrize("host", ["host-factorization", "host-fields"])
def test_training_moves_the_host(host: str) -> None:
    registry = registry_with_hosts()
    configuration = configuration_of(registry, host)
    catalog = catalog_for(registry.component("model", host))
    before = build(configuration, catalog, registry, seed=0).model.state_dict()
    after = trained(configuration, catalog, registry).model.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in before)
