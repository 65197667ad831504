"""Embeddings: how the rows of a table are stored."""

from abc import ABC, abstractmethod

import torch

from automl_rec.plugin.form import Form
from automl_rec.plugin.table import Field, Table


class Embedding(ABC):
    """A scheme for tables, constructed from its component's hyperparameters."""

    @abstractmethod
    def table(self, field: Field, generator: torch.Generator) -> Table:
        """A table for a field; may be built on the meta device, from shapes and counts alone.

        Raises:
            Infeasible: the scheme cannot serve this field.
        """

    def encode(self, table: Table) -> None:
        """Changes all of the finished table's weights to what is served; the last step of all."""

    def price(self, form: Form) -> Form:
        """The form of one weight of a table after `encode`, exactly as `encode` would make it."""
        return form
