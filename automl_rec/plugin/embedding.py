"""Embeddings: how the rows of a table are stored."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch

from automl_rec.plugin.catalog import Catalog
from automl_rec.plugin.form import Form
from automl_rec.plugin.layers import Layers
from automl_rec.plugin.life_cycle import LifeCycle
from automl_rec.plugin.model import Model
from automl_rec.plugin.table import Field, Table


class Embedding(LifeCycle, ABC):
    """A scheme for tables, constructed from its component's hyperparameters."""

    @property
    def after_training(self) -> frozenset[str]:
        """The hyperparameters that act on finished tables alone, with the others as they are.

        Configurations that differ in these alone share one training: neither the plan, nor what is
        trained, nor what validation sees while it trains may depend on them.
        """
        return frozenset()

    def plan(self, fields: Mapping[str, Field], catalog: Catalog) -> dict[str, Any]:
        """What it decides over all tables at once, from shapes and the train part alone.

        Called before the first table is asked for, unless it is not overridden. The same data
        must give the same plan, whatever the seed; what takes long is kept by `Catalog.derived`.

        Args:
            fields: every table the model will ask for, by name.
            catalog: the train part.

        Returns:
            Plain data (text, numbers, lists, dictionaries) from which `table` knows every shape;
            kept in the artefact, where nothing is planned again.

        Raises:
            Infeasible: the scheme cannot serve these fields.
        """
        return {}

    def adopt(self, plan: Mapping[str, Any]) -> None:
        """Takes a plan, its own or an artefact's, before the first table is asked for."""

    @abstractmethod
    def table(self, field: Field, generator: torch.Generator) -> Table:
        """A table for a field; may be built on the meta device, from shapes and the plan alone.

        Raises:
            Infeasible: the scheme cannot serve this field.
        """

    def join(self, model: Model, layers: Layers) -> None:
        """Takes note of the model it serves, once that is built; on the meta device too.

        A scheme that goes beyond tables masks linear weights here (`TrainableMatrix.mask`) or
        serves a part of them (`Weight.corner`), from shapes and the plan alone.

        Args:
            model: as built.
            layers: knows every table and weight, and whether a rank or sparsity acts on these too.

        Raises:
            Infeasible: the scheme cannot serve this model.
        """

    def encode(self, table: Table) -> None:
        """Changes all of the finished table's weights to what is served; the last step of all."""

    def price(self, form: Form) -> Form:
        """The form of one weight of a table after `encode`, exactly as `encode` would make it."""
        return form
