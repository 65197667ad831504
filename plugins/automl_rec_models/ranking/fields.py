"""The fields of a row as vectors, which every model of single events starts from."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from automl_rec.plugin import Batch, Catalog, Feature, Layers, RankingModel, Rows, Table


@dataclass(frozen=True, slots=True)
class Reading:
    """What the tables say about the rows of a batch.

    Attributes:
        vectors: (B, F, D), a vector a field.
        numbers: (B, Q) the values of the numeric fields.
        read: the rows that were read, (B, D) of a field with one value, (B, M, D) of several.
    """

    vectors: Tensor
    numbers: Tensor
    read: tuple[Tensor, ...]

    def penalty(self) -> Tensor:
        """Half the squared length of all that one row of the batch read, on average."""
        total: Tensor = _HalfSquare.apply(*self.read)  # type: ignore[no-untyped-call]
        return total / len(self.vectors)


class FieldTables(nn.Module):
    """One table a field with ids, and one vector a numeric field, which its value scales.

    Of several values the rows are pooled; padding is no value, and no value at all is zeros.

    Attributes:
        width: D.
        count: number of vectors F: first the fields with ids, then the numeric ones.
        numeric: number of numeric fields Q.
        operations: multiply-adds to make the vectors of one row of what tables hold.
    """

    def __init__(
        self,
        catalog: Catalog,
        layers: Layers,
        width: int,
        *,
        std: float,
        suffix: str = "",
        pooling: Literal["mean", "sum"] = "mean",
        scaled: bool = True,
    ) -> None:
        """Asks for the tables.

        Args:
            catalog: whose rows have the fields.
            layers: where the tables come from.
            width: D.
            std: standard deviation of the start.
            suffix: ends the tables' names, where a model has two of a field.
            pooling: of several values.
            scaled: whether numeric fields have vectors.
        """
        super().__init__()
        assert catalog.rows is not None, "the task ranking has rows"
        self.width, self._pooling = width, pooling
        fields = catalog.rows.fields
        mean = {name: _values_a_row(field) for name, field in fields.items()}
        self._ids = [name for name, field in fields.items() if field.kind != "numeric"]
        self._numeric = [name for name, field in fields.items() if field.kind == "numeric"]
        self.tables = nn.ModuleList(
            layers.table(f"{name}{suffix}", width, std=std, lookups=mean[name], ids=name)
            for name in self._ids
        )
        vectors = self._numeric if scaled else []
        self.vectors = nn.ModuleList(
            layers.table(f"{name}{suffix}", width, std=std, rows=1) for name in vectors
        )
        self.count, self.numeric = len(self._ids) + len(vectors), len(self._numeric)
        pooled = sum(mean[name] for name in self._ids if fields[name].kind == "multi")
        self.operations = width * (pooled + len(vectors))

    def forward(self, rows: Rows) -> Reading:
        """The vectors of rows."""
        ids = [rows.fields[name] for name in self._ids]
        read = [cast("Table", table).lookup(i) for table, i in zip(self.tables, ids, strict=True)]
        vectors = [self._pooled(values, i) for values, i in zip(read, ids, strict=True)]
        numbers = [rows.fields[name][:, None] for name in self._numeric]
        for table, values in zip(self.vectors, numbers, strict=False):
            vectors.append(values * cast("Table", table).rows())
        shape = (len(rows), self.count, self.width)
        joined = torch.cat([torch.empty(len(rows), 0), *numbers], 1)
        return Reading(torch.cat(vectors, 1).reshape(shape), joined, tuple(read))

    def _pooled(self, read: Tensor, ids: Tensor) -> Tensor:
        """(B, D) from the rows of one value or of several."""
        if ids.ndim == 1:
            return read
        total = read.sum(1)
        if self._pooling == "sum":
            return total
        return total / (ids >= 0).sum(1, keepdim=True).clamp(min=1)


class FieldModel(RankingModel):
    """A model that knows rows by what tables say of them.

    Its loss adds half the squared length of what a row reads.

    Attributes:
        tables: every `FieldTables` it reads.
    """

    def __init__(self, regularization: float, *tables: FieldTables) -> None:
        super().__init__()
        self.tables = nn.ModuleList(tables)
        self._regularization = regularization

    @abstractmethod
    def judge(self, *readings: Reading) -> Tensor:
        """The log-odds (B,) from what each of the tables said."""

    def logits(self, rows: Rows) -> Tensor:
        """See `RankingModel.logits`."""
        return self.judge(*(tables(rows) for tables in self.tables))

    def loss(self, batch: Batch) -> Tensor:
        """See `TrainedModel.loss`."""
        assert isinstance(batch, Rows)
        assert batch.labels is not None, "rows are trained on with their labels"
        readings = [tables(batch) for tables in self.tables]
        error = nn.functional.binary_cross_entropy_with_logits(self.judge(*readings), batch.labels)
        penalty = sum((reading.penalty() for reading in readings), torch.zeros(()))
        return error + self._regularization * penalty


def _values_a_row(field: Feature) -> float:
    """Mean number of ids a row has in a field."""
    if field.indptr is None:
        return 1.0
    return len(field.values) / max(len(field.indptr) - 1, 1)


class _HalfSquare(torch.autograd.Function):
    """Half the squared length of tensors, in fewer passes than autograd takes."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        ctx.save_for_backward(*tensors)
        flat = [tensor.reshape(-1) for tensor in tensors]
        return 0.5 * sum((part.dot(part) for part in flat), torch.zeros(()))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor * slope for tensor in ctx.saved_tensors)
