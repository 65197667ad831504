"""Files of events -> numbered interactions."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from automl_rec.data import cells
from automl_rec.data.cells import Cells
from automl_rec.data.columns import find_columns
from automl_rec.data.interactions import Codes, Interactions, encode
from automl_rec.data.lists import read_lists
from automl_rec.data.request import DataRequest
from automl_rec.data.table import ROW, existing, format_of, open_table
from automl_rec.errors import DataError

PARTS = ("train", "validation", "test")
"""Names of the parts, in the order of their numbers."""

_CONVERTERS: dict[str, Callable[[Cells], pl.Series]] = {
    "user": cells.ids,
    "item": cells.ids,
    "time": cells.seconds,
    "label": cells.numbers,
    "domain": cells.values,
    "behaviour": cells.values,
}


def event_files(request: DataRequest) -> list[tuple[int, str]]:
    """(part number, path) of every file of events; one file to be split counts as train."""
    paths = (request.path or request.train, request.validation, request.test)
    return [(part, path) for part, path in enumerate(paths) if path is not None]


def read_interactions(request: DataRequest) -> Interactions:
    """All events of the files, sorted by user, then time, then place in the files.

    Raises:
        DataError: a file, row or column is not what the request says.
    """
    files = event_files(request)
    frames = [_read(path, request) for _, path in files]
    _check_alike(frames, [path for _, path in files])
    part = np.repeat([part for part, _ in files], [f.height for f in frames]).astype(np.int8)
    frame = pl.concat(frames)
    frames.clear()
    is_lists = _is_lists(files[0][1], request)
    ordered = "time" in frame.columns or is_lists
    return _sorted(_numbered(frame, ordered=ordered, part=part if len(files) > 1 else None))


def _is_lists(path: str, request: DataRequest) -> bool:
    return format_of(existing(path), request.format) == "lists"


def _read(path: str, request: DataRequest) -> pl.DataFrame:
    if _is_lists(path, request):
        return read_lists(path)
    table = open_table(path, request.format, request.separator, headed=request.header)
    columns = find_columns(table.header, request.columns, path)
    frame = table.read(list(columns.values()))
    found = {}
    for role, name in columns.items():
        column = Cells(frame[name], frame[ROW], name, path)
        found[role] = _CONVERTERS[role](column)
        if role == "label":
            check_range(column, found[role], request.label_range)
    return pl.DataFrame(found)


def check_range(column: Cells, labels: pl.Series, allowed: tuple[float, float] | None) -> None:
    """Refuse a label outside the range a request allows.

    Raises:
        DataError: naming its row.
    """
    if allowed is None:
        return
    low, high = allowed
    outside = (labels < low) | (labels > high)
    column.refuse(outside, f"from {low:g} to {high:g}", "Correct it, or widen data.label_range.")


def _check_alike(frames: Sequence[pl.DataFrame], paths: Sequence[str]) -> None:
    for frame, path in zip(frames[1:], paths[1:], strict=True):
        odd = set(frame.columns) ^ set(frames[0].columns)
        if odd:
            role = min(odd)
            having, lacking = (path, paths[0]) if role in frame.columns else (paths[0], path)
            raise DataError(
                f"{lacking}: there is no {role} column, but {having} has one. Give all files the "
                f"same columns."
            )


def _numbered(
    frame: pl.DataFrame, *, ordered: bool, part: npt.NDArray[np.int8] | None
) -> Interactions:
    user, users = encode(frame["user"])
    item, items = encode(frame["item"])
    has = set(frame.columns)
    domain, domains = encode(frame["domain"]) if "domain" in has else (None, None)
    behaviour, behaviours = encode(frame["behaviour"]) if "behaviour" in has else (None, None)
    return Interactions(
        user=user,
        item=item,
        users=users,
        items=items,
        time=frame["time"].to_numpy() if "time" in has else None,
        label=frame["label"].cast(pl.Float32).to_numpy() if "label" in has else None,
        domain=domain,
        behaviour=behaviour,
        part=part,
        ordered=ordered,
        domains=domains,
        behaviours=behaviours,
    )


def _sorted(events: Interactions) -> Interactions:
    # Two stable sorts of one column take half the time of one of two columns.
    if events.time is not None:
        events = _sorted_by(events, events.time)
    return _sorted_by(events, events.user)


def _sorted_by(events: Interactions, key: Codes | npt.NDArray[np.float64]) -> Interactions:
    if (key[:-1] <= key[1:]).all():
        return events
    frame = pl.DataFrame({"key": key})
    order = frame.select(pl.arg_sort_by("key", maintain_order=True)).to_series()
    return events.take(order.to_numpy())
