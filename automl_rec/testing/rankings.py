"""The contract of models that judge single events."""

from dataclasses import replace

import torch
from torch import Tensor

from automl_rec.builder import finalize
from automl_rec.data.row_batches import rows_of
from automl_rec.objectives.rows import judge, measure
from automl_rec.plugin import PADDING, Catalog, Rows
from automl_rec.registry import Registry
from automl_rec.space.configuration import Configuration
from automl_rec.testing.contract import all_rows, configuration_of, trained
from automl_rec.testing.models import ModelSuite
from automl_rec.testing.planted import planted_rows

EPOCHS = 5
LEAST_AUC = 0.6


class RankingTests(ModelSuite):
    """Tests every model of the task ranking must pass; subclass it and set ``name``."""

    def test_every_row_is_judged_with_a_finite_float32(
        self, configuration: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        served = finalize(trained(configuration, catalog, registry))
        rows = all_rows(catalog)
        logits = served.logits(rows)
        assert logits.shape == (len(rows),)
        assert logits.dtype == torch.float32
        assert logits.isfinite().all()

    def test_rows_are_judged_alike_alone_and_together(
        self, configuration: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        served = finalize(trained(configuration, catalog, registry))
        assert catalog.rows is not None
        together = served.logits(all_rows(catalog))
        alone = [served.logits(rows_of(catalog.rows, row, row + 1)) for row in range(10)]
        assert all(logits.shape == (1,) for logits in alone)
        assert torch.allclose(together[:10], torch.cat(alone), rtol=1e-4, atol=1e-5)

    def test_judging_repeats_itself_and_leaves_the_rows_alone(
        self, configuration: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        served = finalize(trained(configuration, catalog, registry))
        rows, untouched = all_rows(catalog), all_rows(catalog)
        first = served.logits(rows).clone()
        assert torch.equal(first, served.logits(rows))
        for name, values in rows.fields.items():
            assert torch.equal(values, untouched.fields[name]), name

    def test_a_row_is_judged_without_its_label(
        self, configuration: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        served = finalize(trained(configuration, catalog, registry))
        rows = all_rows(catalog)
        assert torch.equal(served.logits(rows), served.logits(replace(rows, labels=None)))

    def test_a_row_of_which_nothing_is_known_is_judged(
        self, configuration: Configuration, catalog: Catalog, registry: Registry
    ) -> None:
        served = finalize(trained(configuration, catalog, registry))
        nothing = {name: _unknown(values) for name, values in all_rows(catalog).fields.items()}
        logits = served.logits(Rows(nothing))
        assert logits.shape == (1,)
        assert logits.isfinite().all()

    def test_the_defaults_tell_the_rows_of_one_label_from_the_others(
        self, registry: Registry
    ) -> None:
        catalog, heldout = planted_rows()
        chosen = configuration_of(registry, self.name)
        longer = {**chosen.model.hyperparameters, "epochs": EPOCHS}
        configuration = replace(chosen, model=replace(chosen.model, hyperparameters=longer))
        served = finalize(trained(configuration, catalog, registry))
        auc = measure(judge(served, heldout), "auc")
        assert auc.value > LEAST_AUC, f"AUC {auc.value:.3f} after {EPOCHS} epochs"


def _unknown(values: Tensor) -> Tensor:
    """What one row holds in a field of which nothing is known."""
    if values.ndim > 1:
        return torch.full((1, 1), PADDING)
    return torch.zeros(1, dtype=values.dtype)
