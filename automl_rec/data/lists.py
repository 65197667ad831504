"""Files of ``user item item ...`` lines."""

import polars as pl

from automl_rec.data.table import existing, read_content
from automl_rec.data.text_check import check_utf8
from automl_rec.errors import DataError


def read_lists(path: str) -> pl.DataFrame:
    """One row an event with string columns ``user`` and ``item``, in the file's order.

    A line with a user and no item gives no row.

    Raises:
        DataError: the file is missing, empty, truncated, not UTF-8 or has commas.
    """
    content = read_content(existing(path))
    with memoryview(content) as view:
        check_utf8(view, path)
        lines = pl.read_lines(bytes(view))["line"]
    words = lines.str.strip_chars().str.replace_all(r"\s+", " ").str.split(" ")
    frame = pl.DataFrame({"user": words.list.first(), "item": words.list.slice(1)})
    frame = frame.filter(pl.col("item").list.len() > 0)
    if not frame.height:
        raise DataError(f"{path}: no line holds a user and an item. Choose another data.format.")
    first = frame["user"][0] + frame["item"][0][0]
    if "," in first or ";" in first:
        raise DataError(
            f"{path}: lines must be user item item ... divided by blanks, got {lines[0][:80]!r}. "
            "Choose data.format csv."
        )
    return frame.explode("item")
