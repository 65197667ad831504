"""Prices, before and beside what is really stored."""

import math

import torch

from automl_rec.builder import build, finalize
from automl_rec.data import Prepared
from automl_rec.plugin import (
    ClosedFormModel,
)
from automl_rec.price import price, training_bytes
from automl_rec.registry import Registry
from automl_rec.served import Served
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.testing.settings import settings_of

EASE = Chosen("ease", {"regularization": 20.0})
PRUNED = Chosen("magnitude", {"density": 0.1, "mode": "one-shot", "scope": "uniform"})


def fitted(configuration: Configuration, data: Prepared, registry: Registry) -> Served:
    built = build(configuration, data.catalog, registry, seed=3)
    assert isinstance(built.model, ClosedFormModel)
    built.model.fit(data.catalog, torch.Generator().manual_seed(3))
    return finalize(built)


def test_pricing_allocates_no_weight(registry: Registry, prepared: Prepared) -> None:
    class Huge:
        """A catalog of so many items that a dense weight could not exist."""

        num_items, num_users = 10**7, 10
        histories = prepared.catalog.histories

    found = price(Configuration(EASE), Huge(), registry)  # type: ignore[arg-type]
    assert found.bytes.low == 4 * 10**14


def test_packed_bytes_are_priced_exactly(prepared: Prepared, registry: Registry) -> None:
    configuration = Configuration(EASE, sparsity=PRUNED)
    served, items = fitted(configuration, prepared, registry), prepared.catalog.num_items
    assert items == 40
    # 160 values, as many columns of 6 bits, 41 pointers of 8 bits; a bitmap has 1600 bits
    assert served.bytes_packed == 640 + (960 + 328) // 8
    assert price(configuration, prepared.catalog, registry).bytes_packed == (
        served.bytes_packed,
        served.bytes_packed,
    )


def test_a_remap_is_packed_to_the_bits_of_its_slots(prepared: Prepared, registry: Registry) -> None:
    model, hashed = registry.component("model", "ials"), registry.component("embedding", "hash")
    values = settings_of(hashed, sized_by="ratio", ratio=0.5)
    configuration = Configuration(
        Chosen("ials", settings_of(model)), embedding=Chosen("hash", values)
    )
    served = fitted(configuration, prepared, registry)
    users, items = prepared.catalog.num_users, prepared.catalog.num_items
    # Half the rows are slots, half of these own ones: remaps of 1 byte and hashes of 2 x 8 bytes
    packed = {users: round(users / 2), items: round(items / 2)}
    native = sum(size + 16 for size in packed)
    bits = sum(-(-size * (slots // 2).bit_length() // 8) + 8 for size, slots in packed.items())
    assert served.bytes - served.bytes_packed == native - bits
    assert price(configuration, prepared.catalog, registry).bytes_packed.low == served.bytes_packed


def test_training_holds_gradients_moments_and_masks(registry: Registry, prepared: Prepared) -> None:
    domains = registry.component("model", "bpr-mf").domains
    values = {name: domain.default for name, domain in domains.items() if not domain.only_if}
    model = Chosen("bpr-mf", {**values, "width": 8})
    numbers = 8 * (prepared.catalog.num_users + prepared.catalog.num_items)
    full = Chosen("full", {"precision": "int8"})
    magnitude = registry.component("sparsity", "magnitude")
    gradual = Chosen("magnitude", settings_of(magnitude, mode="gradual"))
    for sparsity, copies in ((None, 4), (PRUNED, 4), (gradual, 5)):
        configuration = Configuration(model, embedding=full, sparsity=sparsity)
        held = price(configuration, prepared.catalog, registry).bytes_training
        flag = sparsity == gradual  # one byte says whether the schedule has ended
        assert held == (4 * copies * numbers + flag,) * 2
        assert training_bytes(build(configuration, prepared.catalog, registry, seed=0)) == held.low


def test_a_closed_form_holds_its_weights_alone(registry: Registry, prepared: Prepared) -> None:
    items = prepared.catalog.num_items
    held = price(Configuration(EASE), prepared.catalog, registry).bytes_training
    assert held == (4 * items**2, 4 * items**2)
    knn = Configuration(Chosen("item-knn", settings_of(registry.component("model", "item-knn"))))
    found = price(knn, prepared.catalog, registry)
    assert found.bytes_training == found.bytes
    built = build(knn, prepared.catalog, registry, seed=0)
    assert isinstance(built.model, ClosedFormModel)
    built.model.fit(prepared.catalog, torch.Generator())
    assert training_bytes(built) == finalize(built).bytes


def test_serving_holds_at_least_the_tensors(registry: Registry, prepared: Prepared) -> None:
    found = price(Configuration(EASE), prepared.catalog, registry)
    assert found.bytes_resident == (found.bytes.low, math.inf)
