import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from automl_rec.builder import finalize
from automl_rec.plugin import (
    DenseMatrix,
    Infeasible,
    LowRankMatrix,
    Part,
    PartMatrix,
    Step,
    TrainableMatrix,
    Use,
    Weight,
)
from automl_rec.space.configuration import Chosen
from automl_rec.testing.contract import answers, catalog_for, configuration_of, trained
from automl_rec.testing.hosts import registry_with_hosts
from automl_rec_sparsity.group import Group

Train = Callable[..., Any]
REGISTRY = registry_with_hosts()


def hidden_chain(*widths: int) -> dict[str, Weight]:
    """Linear weights, each after the one before."""
    generator, made, before = torch.Generator().manual_seed(0), dict[str, Weight](), None
    for number, (n_in, n_out) in enumerate(pairwise(widths)):
        weight = Weight(f"layer{number}", n_out, n_in, "linear", Use(1), after=before)
        weight.initialise(n_in**-0.5, generator)
        made[weight.name] = weight
        before = weight.name
    return made


def finished(weights: dict[str, Weight], scheme: Group) -> None:
    for weight in weights.values():
        weight.freeze()
    scheme.compress(weights)


def through(weights: dict[str, Weight], x: Tensor) -> Tensor:
    for weight in weights.values():
        x = torch.tanh(weight.matrix.multiply(x) + 0.5)  # a unit that reads nothing is not 0
    return x


def test_what_is_removed_gives_what_masks_gave_and_takes_what_was_computed() -> None:
    weights, scheme = hidden_chain(20, 40, 30, 10), Group(0.25, 1.0)
    scheme.join(weights)
    scheme.end(scheme.phases[0])
    x = torch.randn(7, 20, generator=torch.Generator().manual_seed(1))
    masked = through(weights, x)
    priced = scheme.price({name: weight.price() for name, weight in weights.items()})
    finished(weights, scheme)
    torch.testing.assert_close(through(weights, x), masked, rtol=1e-6, atol=1e-6)
    # 5 of 20 inputs, 10 of 40 and 8 of 30 hidden units are left, and all 10 outputs
    sizes = [(10, 5), (8, 10), (10, 8)]
    kept = [
        weight.matrix.kept for weight in weights.values() if isinstance(weight.matrix, PartMatrix)
    ]
    assert [(part.rows, part.columns) for part in kept] == sizes
    for name, weight in weights.items():
        assert weight.matrix.form() == priced[name]
        stored = sum(t.nbytes for t in weight.matrix.state_dict().values())
        assert priced[name].bytes == (stored, stored)
    assert priced["layer0"].bytes.low == 4 * 50 + 10 + 5


def test_rows_that_nobody_is_known_to_ignore_stay() -> None:
    weights, scheme = hidden_chain(20, 40), Group(0.5, 1.0)
    scheme.join(weights)
    finished(weights, scheme)
    matrix = weights["layer0"].matrix
    assert isinstance(matrix, PartMatrix)
    assert matrix.kept_rows is None
    assert (matrix.kept.rows, matrix.kept.columns) == (40, 10)


def test_selection_leaves_the_share_and_then_it_trains_alone(train_with: Train) -> None:
    counts, seen = list[int](), list[Tensor]()

    def look(model: Any, step: Step) -> None:
        counts.append(int(model.masks[0].any(0).sum()))
        seen.append(model.matrices[0].weight.norm(dim=0).clone())

    train_with(Group(0.2, 100.0), look, epochs=10)
    change = counts.index(6)
    assert counts == [30] * change + [6] * (len(counts) - change)
    assert change == round(0.7 * len(counts))
    assert int((seen[change - 1] == 0).sum()) > 20, "the envelope has selected by then"
    assert int((seen[0] == 0).sum()) == 0
    assert not torch.equal(seen[-1], seen[change + 1])


def test_factors_are_refused() -> None:
    weights = hidden_chain(8, 8)
    weights["layer0"].matrix = LowRankMatrix(TrainableMatrix(8, 2), TrainableMatrix(8, 2))
    with pytest.raises(Infeasible, match=r"layer0 is trained as factors\. Leave the rank full"):
        Group(0.5, 1.0).join(weights)


@pytest.mark.parametrize("model", ["dlrm", "sasrec", "two-tower", "host-factorization"])
def test_a_whole_model_answers_as_with_masks(model: str) -> None:
    parts = {"sparsity": Chosen("group", {"keep": 0.5, "strength": 1.0})}
    configuration = configuration_of(REGISTRY, model, compressions=parts)  # type: ignore[arg-type]
    catalog = catalog_for(REGISTRY.component("model", model))
    built = trained(configuration, catalog, REGISTRY)
    masked = {n: w.matrix.dense().clone() for n, w in built.prunable.items()}
    served = finalize(built)
    found = answers(served, catalog)
    for name, values in masked.items():
        served_weight = built.layers.weights[name]
        assert isinstance(served_weight.matrix, PartMatrix | DenseMatrix)
        served_weight.matrix = DenseMatrix(values)
    with torch.no_grad():
        served.model.prepare()
    torch.testing.assert_close(answers(served, catalog), found, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_it_is_faster_without_what_was_removed() -> None:
    weights, scheme = hidden_chain(1024, 1024, 1024), Group(0.25, 1.0)
    scheme.join(weights)
    for weight in weights.values():
        weight.freeze()
    x = torch.randn(64, 1024, generator=torch.Generator().manual_seed(1))

    def seconds() -> float:
        times = []
        for _ in range(9):
            start = time.perf_counter()
            through(weights, x)
            times.append(time.perf_counter() - start)
        return sorted(times)[4]

    whole = seconds()
    scheme.compress(weights)
    assert seconds() < 0.7 * whole


def test_the_form_of_a_part_names_what_is_kept() -> None:
    scheme = Group(0.5, 1.0)
    weights = hidden_chain(600, 10)
    scheme.join(weights)
    form = scheme.price({"layer0": weights["layer0"].price()})["layer0"]
    assert isinstance(form, Part)
    assert form.bytes.low == 4 * 3000 + 2 * 300, "numbers of 600 columns take two bytes"
    assert form.packed_bytes.low == 4 * 3000 + 300 * 10 / 8
    assert form.product_operations.low == 3000
