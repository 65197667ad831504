"""What serving holds in memory, against sums by hand."""

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from automl_rec.builder import finalize
from automl_rec.objectives.memory import resident_bytes
from automl_rec.plugin import Catalog, Kind, Requests, RetrievalModel, Value
from automl_rec.registry import Registry
from automl_rec.served import Served
from automl_rec.space.configuration import Chosen
from automl_rec.testing.contract import configuration_of, trained
from automl_rec.testing.planted import planted_rows, planted_tiny
from automl_rec.testing.settings import settings_of

CATALOG = planted_tiny().catalog
USERS, ITEMS = CATALOG.num_users, CATALOG.num_items


@dataclass(frozen=True, slots=True)
class Places:
    """Arrays in a slotted instance, as models keep them."""

    numbers: np.ndarray


class Keeping(RetrievalModel):
    """Keeps arrays in every way a model may."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("stored", torch.zeros(10))  # 40 bytes
        self.register_buffer("kept", torch.zeros(5), persistent=False)  # 20
        self.part = torch.zeros(100)[:50]  # 400: what is behind a view
        self.again = [self.part[:3], {"same": self.part}]
        self.places = (Places(np.zeros(6)),)  # 48
        self.view = self.places[0].numbers[2:]
        self.graph = sp.csr_matrix(np.eye(4, dtype=np.float32))  # 16 + 16 + 20
        self.catalog, self.counts = CATALOG, lambda: np.zeros(99)
        self.answered: Tensor | None = None

    def scores(self, requests: Requests) -> Tensor:
        self.answered = torch.zeros(7)  # 28, made by the first answer
        return torch.zeros(len(requests), ITEMS)


def served(
    registry: Registry,
    model: str,
    kind: Kind | None = None,
    name: str = "",
    **fixed: Value,
) -> Served:
    parts: dict[Kind, Chosen] = {}
    if kind is not None:
        parts[kind] = Chosen(name, settings_of(registry.component(kind, name), **fixed))
    catalog = planted_rows(rows=300)[0] if model == "fm" else CATALOG
    return finalize(trained(configuration_of(registry, model, None, parts), catalog, registry))


def test_every_array_that_the_model_leads_to_counts_once() -> None:
    expected = 40 + 20 + 400 + 48 + (16 + 16 + 20) + 28
    assert resident_bytes(Served(Keeping()), CATALOG.histories) == expected


def test_a_plain_model_holds_its_tensors_alone(registry: Registry) -> None:
    found = served(registry, "bpr-mf")
    assert resident_bytes(found, CATALOG.histories) == found.bytes


def test_a_sparse_weight_is_expanded_beside_what_is_stored(registry: Registry) -> None:
    found = served(registry, "ease", "sparsity", "magnitude", density=0.05)
    entries = round(0.05 * ITEMS**2)
    expanded = 4 * entries + 4 * (ITEMS + 1)  # columns and row pointers; values are shared
    assert resident_bytes(found, CATALOG.histories) == found.bytes + expanded


def test_int8_rows_stay_int8(registry: Registry) -> None:
    found = served(registry, "bpr-mf", "embedding", "full", precision="int8")
    assert resident_bytes(found, CATALOG.histories) == found.bytes


def test_slots_that_scoring_keeps_count(registry: Registry) -> None:
    found = served(registry, "bpr-mf", "embedding", "hash", hashes=1)
    assert resident_bytes(found, CATALOG.histories) == found.bytes + 8 * ITEMS


def test_rows_are_judged_before_the_memory_is_read(registry: Registry) -> None:
    found = served(registry, "fm")
    rows = planted_rows(rows=300)[0].rows
    assert rows is not None
    assert resident_bytes(found, rows) == found.bytes


@pytest.mark.parametrize("part", [nn.Linear(2, 3), {"a": (torch.zeros(9),)}], ids=["module", "map"])
def test_parts_of_a_model_are_walked(part: object) -> None:
    model = Keeping()
    before = resident_bytes(Served(model), CATALOG.histories)
    model.__dict__["added"] = part
    assert resident_bytes(Served(model), CATALOG.histories) == before + 36


def test_the_catalog_is_no_part_of_a_model() -> None:
    model = Keeping()
    before = resident_bytes(Served(model), CATALOG.histories)
    model.__dict__["parts"] = [Catalog(ITEMS, CATALOG.histories), CATALOG.histories]
    assert resident_bytes(Served(model), CATALOG.histories) == before
