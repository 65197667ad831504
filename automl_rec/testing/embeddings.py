"""The contract of embeddings."""

from collections.abc import Mapping
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from automl_rec.errors import Infeasible
from automl_rec.plugin import PADDING, Embedding, Field, Kind, Table, Value
from automl_rec.space.configuration import Configuration
from automl_rec.testing.contract import same
from automl_rec.testing.life_cycles import LifeCycleTests
from automl_rec.testing.planted import planted_interactions
from automl_rec.testing.settings import variants

ROWS, WIDTH = 60, 8
CATALOG = planted_interactions(users=80, items=ROWS, blocks=4, events=12, heldout=2).catalog
Settings = Mapping[str, Value]


class EmbeddingTests(LifeCycleTests):
    """Tests every embedding must pass; subclass it and set ``name``."""

    kind: ClassVar[Kind] = "embedding"
    hosts: ClassVar[tuple[str, ...]] = ("host-factorization", "host-fields")

    @classmethod
    def configurations(cls) -> list[Configuration]:
        """The defaults on each host, every other setting on one host or the other in turn."""
        crossed, hosts = super().configurations(), len(cls.hosts)
        return [
            configuration
            for number, configuration in enumerate(crossed)
            if number < hosts or number % hosts == number // hosts % hosts
        ]

    def embedding(self, setting: Settings, *, counted: bool = True) -> Embedding:
        """The embedding at a setting, with its plan for the table under test."""
        made: Embedding = self.component().load()(**setting)
        made.adopt(made.plan({"item": self.field(counted=counted)}, CATALOG))
        return made

    def field(self, *, counted: bool = True) -> Field:
        """What the table under test has rows for: 60 ids, width 8."""
        counts = CATALOG.counts("item") if counted else None
        return Field("item", ROWS, WIDTH, counts=counts, scored=True, ids="item")

    def table(self, setting: Settings, seed: int = 0, *, counted: bool = True) -> Table:
        """The table under test."""
        embedding, field = self.embedding(setting, counted=counted), self.field(counted=counted)
        return embedding.table(field, torch.Generator().manual_seed(seed))

    def possible(self, setting: Settings) -> bool:
        """See `Suite.possible`."""
        try:
            self.table(setting)
        except Infeasible:
            return False
        return True

    def test_rows_come_in_the_shape_of_the_ids(self, setting: Settings) -> None:
        table = self.table(setting)
        for shape in ((), (5,), (2, 3), (2, 0), (0,)):
            rows = table.lookup(torch.zeros(shape, dtype=torch.int64))
            assert rows.shape == (*shape, WIDTH)
            assert rows.dtype == torch.float32

    def test_padding_reads_zeros_and_learns_nothing(self, setting: Settings) -> None:
        table = self.table(setting)
        rows = table.lookup(torch.tensor([[PADDING, 3], [4, PADDING]]))
        assert not rows[0, 0].any()
        assert not rows[1, 1].any()
        assert torch.equal(rows[0, 1], table.lookup(torch.tensor([3]))[0])
        table.lookup(torch.full((7,), PADDING)).sum().backward()
        assert all(p.grad is None or not p.grad.any() for p in table.parameters())

    def test_all_rows_are_the_rows_of_all_ids(self, setting: Settings) -> None:
        table = self.table(setting)
        rows = table.rows()
        assert rows.shape == (ROWS, WIDTH)
        assert torch.allclose(rows, table.lookup(torch.arange(ROWS)), atol=1e-6)

    @pytest.mark.parametrize("shape", [(WIDTH,), (3, WIDTH), (2, 3, WIDTH), (0, WIDTH)], ids=str)
    def test_scores_are_products_with_all_rows(
        self, setting: Settings, shape: tuple[int, ...]
    ) -> None:
        for table in (self.table(setting), self.finished(setting)):
            x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
            assert torch.allclose(table.score(x), x @ table.rows().T, rtol=1e-4, atol=1e-5)

    def test_rows_start_at_the_spread_asked_for(self, setting: Settings) -> None:
        rows = self.table(setting).rows().detach()
        assert rows.std(dim=0).mean() < 0.3
        assert rows.abs().sum() > 0

    def test_a_lookup_depends_on_nothing_its_gradient_misses(self, setting: Settings) -> None:
        table = self.table(setting)
        ids = torch.tensor([0, 7, ROWS - 1])
        weights = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(2))
        before = table.lookup(ids)
        (before * weights).sum().backward()
        parameters = [p for p in table.parameters() if p.requires_grad]
        assert any(p.grad is not None and p.grad.any() for p in parameters)
        with torch.no_grad():
            for parameter in parameters:
                gradient = torch.zeros(()) if parameter.grad is None else parameter.grad
                parameter.add_(torch.where(gradient == 0, 100.0, 0.0))
        assert torch.equal(before, table.lookup(ids))

    def test_the_meta_device_gives_the_same_shapes(self, setting: Settings) -> None:
        with torch.device("meta"):
            planned = self.table(setting)
        assert _shapes(planned) == _shapes(self.table(setting))

    def test_the_state_holds_all_that_lookups_need(self, setting: Settings) -> None:
        first, second = self.table(setting, seed=0), self.table(setting, seed=1)
        second.rows()  # whatever is remembered from a read must be forgotten
        second.load_state_dict(first.state_dict())
        assert torch.equal(first.rows(), second.rows())
        x = torch.ones(WIDTH)
        assert torch.equal(first.score(x), second.score(x))

    def test_ids_without_counts_are_served(self, setting: Settings) -> None:
        assert self.table(setting, counted=False).rows().isfinite().all()

    def test_assigned_rows_are_stored_as_near_as_can_be(self, setting: Settings) -> None:
        table = self.table(setting)
        rows = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(3))
        table.assign(rows)
        assert (table.rows() - rows).norm() <= rows.norm()
        if table.exact:
            assert torch.equal(table.rows(), rows)
        once = table.rows().detach().clone()
        table.assign(once)
        assert torch.allclose(table.rows(), once, atol=1e-3), "what it stored, it can store again"

    def test_encoding_gives_the_forms_that_were_priced(self, setting: Settings) -> None:
        embedding, table = self.embedding(setting), self.table(setting)
        priced = [embedding.price(weight.price()) for weight in table.weights()]
        for weight in table.weights():
            weight.freeze()
        with torch.no_grad():
            table.settle()
        embedding.encode(table)
        assert [weight.matrix.form() for weight in table.weights()] == priced

    def test_what_acts_after_training_leaves_what_trains_alone(self, setting: Settings) -> None:
        names, component = self.embedding(setting).after_training, self.component()
        assert names <= component.hyperparameters.keys()
        for name in names & setting.keys():
            others = [v[name] for v in variants(component, ends=True) if name in v]
            for changed in ({**setting, name: value} for value in others):
                if self.possible(changed):
                    one, other = self.table(setting).eval(), self.table(changed).eval()
                    assert self.embedding(changed).after_training == names
                    assert same(one.state_dict(), other.state_dict())
                    assert torch.equal(one.rows(), other.rows()), "validation sees something else"

    def finished(self, setting: Settings) -> Table:
        """A table frozen, settled and encoded."""
        table = self.table(setting)
        for weight in table.weights():
            weight.freeze()
        with torch.no_grad():
            table.settle()
        self.embedding(setting).encode(table)
        return table


def _shapes(table: Table) -> dict[str, tuple[torch.Size, torch.dtype]]:
    state: dict[str, Tensor] = table.state_dict()
    return {name: (tensor.shape, tensor.dtype) for name, tensor in state.items()}
