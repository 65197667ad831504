"""The generated parts of a README, between markers, so that no figure is copied by hand."""

from collections.abc import Iterable
from pathlib import Path


def write(readme: Path, part: str, lines: Iterable[str]) -> None:
    """Replaces what stands between the markers of a part."""
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    before, rest = readme.read_text("utf-8").split(begin)
    text = "\n".join(lines).strip()
    readme.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end)[1]}", "utf-8")


def grid(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table."""
    head = list(head)
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
