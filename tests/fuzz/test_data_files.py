"""Files of interactions, rows and features: prepared, or refused by an error of the data."""

import csv
import gzip
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from automl_rec.data import ColumnNames, DataRequest, FeatureFile, Prepared, SplitRequest, prepare
from automl_rec.errors import AutomlRecError, DataError

CASES = 2000
SHARE_PREPARED = 0.2
FIELDS = {"price": "numeric", "tags": "multi", "age": "binned", "city": "categorical"}
CELLS: list[Any] = [
    *("", " ", "nan", "NaN", "inf", "-inf", "1e400", "-0", "0", "1", "1.0", "1.5", "-1", "True"),
    *("9" * 30, "9" * 400, "-" + "9" * 19, "9223372036854775808", "1e308", "3.5e38", "1e-400"),
    *("0x10", "1_000", "1,5", "a b", "a|b||c", "|", "'", '"', '""', "\t", "\n", "\r", "\0", "\x1a"),
    *("\ufeff", "\u202e", "e\u0301", "\U0001f600", "\u00a0", "\u2028", "ä" * 300, "x" * 5000),
    *("2024-05-31", "2024-05-31T18:30:00Z", "0000-00-00", "9999-12-31 23:59:59.999", "-5000-01-01"),
    *("=cmd()", "../bait.csv", "file:///etc/passwd", "<script>", "NULL", "None", "\\N", "u1", "3"),
]
TYPED: list[tuple[list[Any], Any]] = [
    ([None, 1, 2], pl.Int8),
    ([2**63 - 1, -(2**63), 0], pl.Int64),
    ([2**64 - 1, 0, None], pl.UInt64),
    ([1.0, float("nan"), None], pl.Float64),
    ([1.5, float("inf"), 3e38], pl.Float32),
    ([True, False, None], pl.Boolean),
    ([b"\xff", b"a", None], pl.Binary),
    (["a", "", None], pl.String),
    (["a", "b", None], pl.Categorical),
    ([[1.0, 2.0], [3.0], None], pl.List(pl.Float64)),
    ([["a", "a"], [], [None]], pl.List(pl.String)),
    ([[1.0, 2.0], [3.0, 4.0], None], pl.Array(pl.Float32, 2)),
    ([[[1, 2]], [[3]], None], pl.List(pl.List(pl.Int64))),
    ([{"a": 1}, {"a": None}, None], pl.Struct({"a": pl.Int64})),
    ([10**15, -1, None], pl.Datetime("us")),
    ([10**18, 0, None], pl.Datetime("ns", "UTC")),
    ([10**4, -(10**6), None], pl.Date),
    ([10**9, 0, None], pl.Time),
    ([10**9, -1, None], pl.Duration("ms")),
    ([1, 2, None], pl.Decimal(20, 3)),
    ([None, None, None], pl.Null),
]
BYTES = [b"", b"\xff", b"\x00", b"\n", b"\r", b'"', b",", b"\t", b"\xef\xbb\xbf", b"\xff\xfe", b" "]
BYTES += [
    b"\xff" * 8,
    b"\x7f" * 4,
    b"PAR1",
    b"\x1f\x8b",
    b"\n\n\n",
    b",,,",
    b"\xe2\x80\xa8",
    b"\x1a",
]


def events(seed: int, users: int, each: int) -> dict[str, list[Any]]:
    """Columns of interactions that are sound, or of labelled rows."""
    draw = np.random.default_rng(seed)
    count = users * each
    return {
        "user": [f"u{n % users}" for n in range(count)],
        "item": [str(n) for n in draw.integers(0, 12, count)],
        "time": [str(n) for n in draw.integers(0, 10**6, count)],
        "label": [str(n % 2) for n in range(count)],
        "price": [f"{n:.3f}" for n in draw.normal(0, 9, count)],
        "tags": ["|".join("abc"[: n % 4]) for n in range(count)],
        "age": [str(n) for n in draw.integers(0, 90, count)],
        "city": [f"c{n % 5}" for n in range(count)],
    }


@st.composite
def damaged_columns(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Columns in which a few cells, names or lengths are others."""
    columns = events(draw(st.integers(0, 3)), draw(st.integers(2, 8)), draw(st.integers(2, 9)))
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 4]))):
        name = draw(st.sampled_from(sorted(columns)))
        cells = columns[name]
        match draw(st.sampled_from(["cell", "cell", "cell", "column", "all", "name", "drop"])):
            case "cell" if cells:
                cells[draw(st.integers(0, len(cells) - 1))] = draw(cell)
            case "column":
                columns[name] = [draw(cell) for _ in range(2)] * (len(cells) // 2)
            case "all":
                columns[name] = [draw(cell)] * len(cells)
            case "name":
                columns[draw(st.one_of(cell, st.just("userId")))] = columns.pop(name)
            case _:
                del columns[name]
    if not columns:
        return {"user": []}
    rows = min(len(cells) for cells in columns.values())
    return {name: cells[:rows] for name, cells in columns.items()}


cell = st.one_of(st.sampled_from(CELLS), st.text(max_size=6), st.integers().map(str))


@st.composite
def text_files(draw: st.DrawFn, format: str) -> bytes:
    """Delimited text, or lists, with damaged cells, lines and bytes."""
    columns = draw(damaged_columns())
    if format == "lists":
        pairs = zip(columns.get("user", []), columns.get("item", []), strict=False)
        lines = [f"{user} {item} {item}1" for user, item in pairs]
        text = "\n".join(lines)
    else:
        text = delimited(columns, draw(st.sampled_from([*"," * 12, ";", "|"])), format)
    encoding = draw(st.sampled_from(["utf-8"] * 40 + ["utf-8-sig", "utf-16", "utf-32", "latin-1"]))
    return draw(cut(text.encode(encoding, "surrogatepass" if "utf" in encoding else "replace")))


def delimited(columns: dict[str, list[Any]], separator: str, format: str) -> str:
    rows = [list(columns), *map(list, zip(*columns.values(), strict=True))]
    if format == "inter":
        rows[0] = [f"{name}:token" for name in rows[0]]
        return "\n".join("\t".join(row) for row in rows)
    target = io.StringIO()
    csv.writer(target, delimiter=separator if format == "csv" else "\t").writerows(rows)
    return target.getvalue()


@st.composite
def cut(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes of which a piece is often another."""
    for _ in range(draw(st.sampled_from([0] * 8 + [1, 2]))):
        at = draw(st.integers(0, len(content)))
        end = at + draw(st.sampled_from([0, 1, 1, 4, 30, 10**6]))
        content = content[:at] + draw(st.sampled_from(BYTES)) + content[end:]
    return content


@st.composite
def parquet_files(draw: st.DrawFn) -> bytes:
    """Parquet with columns of other types, or with damaged bytes."""
    frame = pl.DataFrame(draw(damaged_columns()))
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
        values, dtype = draw(st.sampled_from(TYPED))
        name = draw(st.sampled_from(["user", "item", "time", "label", "price", "tags", "age"]))
        repeated = pl.Series(name, values, dtype).gather([n % 3 for n in range(frame.height)])
        frame = frame.with_columns(repeated)
    target = io.BytesIO()
    compression = draw(st.sampled_from(["uncompressed", "zstd", "snappy", "gzip"]))
    frame.write_parquet(target, compression=compression, row_group_size=10)  # type: ignore[arg-type]
    return draw(cut(target.getvalue()))


NAMES = {"csv": "csv", "tsv": "tsv", "inter": "inter", "lists": "txt", "parquet": "parquet"}


@st.composite
def files(draw: st.DrawFn) -> tuple[str, bytes]:
    """Format and content of a file; a few are compressed."""
    format = draw(st.sampled_from(["csv", "csv", "csv", "tsv", "inter", "lists", "parquet"]))
    if format == "parquet":
        return format, draw(parquet_files())
    content = draw(text_files(format))
    if draw(st.integers(0, 9)) == 0:
        return f"{format}.gz", draw(cut(gzip.compress(content, 1)))
    return format, content


@st.composite
def requests(draw: st.DrawFn) -> tuple[dict[str, bytes], dict[str, Any]]:
    """File name -> content, and the fields of the request that reads them, without paths."""
    format, content = draw(files())
    ending = NAMES[format.split(".")[0]] + format.removeprefix(format.split(".")[0])
    found = {f"path.{ending}": content}
    fields: dict[str, Any] = {}
    if format.startswith("lists"):
        fields["format"] = "lists"
    if draw(st.integers(0, 6)) == 0:
        columns = {"price": "numeric", "tags": "multi", "city": "categorical", "age": "vector"}
        named = draw(st.sets(st.sampled_from(sorted(columns)), min_size=1))
        other, features = draw(files())
        if not other.startswith("lists"):
            found[f"item_features.{other}"] = features
            fields["item_features"] = {name: columns[name] for name in named}
    if draw(st.booleans()) and not format.startswith("lists"):
        fields |= {
            "task": "ranking",
            "fields": draw(st.sampled_from([{}, FIELDS, {"price": "binned"}])),
        }
        fields["min_count"] = draw(st.sampled_from([1, 2, 50]))
        fields["threshold"] = draw(st.sampled_from([None, None, 1.0, 0.5, -1e308]))
        kinds = ["auto", "auto", "random", "temporal"]
    else:
        fields["k_core"] = draw(st.sampled_from([0, 0, 0, 0, 2, 10**9]))
        kinds = ["auto", "auto", "auto", "leave-last-out", "random", "temporal", "user-disjoint"]
    fields["split"] = SplitRequest(draw(st.sampled_from(kinds)))
    if draw(st.integers(0, 14)) == 0:
        fields["separator"] = draw(
            st.sampled_from([";", '"', "\n", "\r", "\0", " ", "u", "\x01", "'"])
        )
    if draw(st.integers(0, 19)) == 0:
        fields |= {"header": False, "columns": ColumnNames(user="c0", item="c1", label="c3")}
    return found, fields


def asked(folder: Path, contents: dict[str, bytes], fields: dict[str, Any]) -> Prepared:
    """Prepares the files, and reads all that was prepared."""
    paths = {name.split(".")[0]: str(folder / name) for name in contents}
    if "item_features" in fields:
        fields = {
            **fields,
            "item_features": FeatureFile(paths["item_features"], fields["item_features"]),
        }
    data = prepare(DataRequest(path=paths["path"], **fields), folder / "cache")
    if data.task == "ranking":
        assert len(data.rows("validation"))
        assert len(data.rows("test"))
        assert data.catalog.rows is not None
        assert len(data.encoding.fields) == len(data.catalog.rows.fields)
    else:
        assert data.catalog.num_users == len(data.user_ids)
        assert data.catalog.num_items == len(data.item_ids)
        assert data.test.items.max() < data.catalog.num_items
        data.known("test")
    return data


@pytest.mark.slow
def test_a_file_is_prepared_or_refused_by_name(confinement: Any) -> None:
    folder = confinement.bait.parent / "case"

    @settings(max_examples=CASES, suppress_health_check=list(HealthCheck))
    @given(requests())
    def case(request: tuple[dict[str, bytes], dict[str, Any]]) -> None:
        contents, fields = request
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        found = confinement.attempt(folder, lambda: asked(folder, contents, fields))
        assert isinstance(found, Prepared | DataError)
        if isinstance(found, AutomlRecError):
            assert not (folder / "cache").exists() or not any((folder / "cache").iterdir())
        outcome = type(found).__name__
        event(outcome)
        confinement.ends[outcome] += 1
        assert {path.name for path in folder.iterdir()} <= {*contents, "cache"}
        for name, content in contents.items():
            assert (folder / name).read_bytes() == content

    case()
    assert confinement.ends.total() >= CASES
    assert confinement.ends["Prepared"] >= SHARE_PREPARED * confinement.ends.total()
