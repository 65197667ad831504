"""What commands print: tables for people, JSON and CSV for programs."""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Row = Mapping[str, Any]


def print_json(rows: Sequence[Row]) -> None:
    """A JSON list of objects."""
    print(json.dumps(list(rows), indent=2, default=str))


def print_csv(rows: Sequence[Row]) -> None:
    """CSV with a header; nothing where there are no rows."""
    if rows:
        writer = csv.DictWriter(sys.stdout, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def print_table(rows: Sequence[Row], title: str | None = None) -> None:
    """A table as wide as the terminal; numbers to the right."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    names = list(rows[0]) if rows else []
    for name in names:
        number = all(_is_number_text(str(row[name])) for row in rows)
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(row[name]) for name in names))
    Console(width=None if sys.stdout.isatty() else 140, highlight=False).print(table)


def _is_number_text(text: str) -> bool:
    return text in ("", "-") or text.lstrip("-")[:1].isdigit()
