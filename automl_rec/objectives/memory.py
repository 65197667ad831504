"""Memory: the bytes that a model really holds while it serves."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from automl_rec.costs import PRICED_ROWS
from automl_rec.data.row_batches import rows_of
from automl_rec.plugin import Catalog, Feature, Field, Histories, Requests, RowTable
from automl_rec.served import Served

DATA = (Catalog, Feature, Field, Histories, RowTable)
"""What every model is served beside, and none is charged for."""


def resident_bytes(served: Served, asked: Histories | RowTable) -> int:
    """Bytes of every array that a model holds once it has answered.

    Layouts that serving expands or decodes, rows it has computed and keeps, and graphs it walks
    count as they stand in memory; an array that is reached twice counts once. What an answer needs
    for a moment does not count.

    Args:
        served: the finished model.
        asked: what is known of each user, for the scores of one; or rows, of which `PRICED_ROWS`
            are judged.
    """
    if isinstance(asked, RowTable):
        served.logits(rows_of(asked, 0, min(PRICED_ROWS, len(asked))))
    else:
        served.scores(Requests.of(asked, np.zeros(1, np.int64)))
    return sum(dict(_arrays(served.model, set())).values())


def _arrays(held: object, seen: set[int]) -> Iterator[tuple[int, int]]:
    """Address and bytes of the memory behind every array that an object leads to."""
    if id(held) in seen or isinstance(held, DATA):
        return
    seen.add(id(held))
    if isinstance(held, Tensor) and held.layout == torch.sparse_csr:
        for part in (held.crow_indices(), held.col_indices(), held.values()):
            yield from _arrays(part, seen)
    elif isinstance(held, Tensor):
        storage = held.untyped_storage()
        yield storage.data_ptr(), storage.nbytes()
    elif isinstance(held, np.ndarray):
        whole = _owner(held)
        yield whole.__array_interface__["data"][0], whole.nbytes
    else:
        for part in _parts(held):
            yield from _arrays(part, seen)


def _parts(held: object) -> list[Any]:
    """What a collection or an instance refers to; nothing of a class or a function."""
    if isinstance(held, Mapping):
        return list(held.values())
    if isinstance(held, list | tuple | set | frozenset):
        return list(held)
    if isinstance(held, type) or hasattr(held, "__code__"):
        return []
    slots = (name for base in type(held).__mro__ for name in vars(base).get("__slots__", ()))
    return [*getattr(held, "__dict__", {}).values(), *(getattr(held, n, None) for n in slots)]


def _owner(array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """The array whose memory another one looks at."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
