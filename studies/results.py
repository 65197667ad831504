"""What was measured: lines of JSON, kept at once, so that a run goes on from what is there."""

import json
import os
from pathlib import Path
from typing import Any

STUDIES = Path(__file__).resolve().parent
Line = dict[str, Any]


class Results:
    """The lines of a file, whose folder is made for the first."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of(cls, study: str, part: str) -> "Results":
        """The lines of a part of a study."""
        return cls(STUDIES / study / "results" / f"{part}.jsonl")

    def lines(self) -> list[Line]:
        text = self._path.read_text("utf-8") if self._path.is_file() else ""
        return [json.loads(line) for line in text.splitlines()]

    def by_key(self) -> dict[str, Line]:
        """Key -> its line; of two, the later."""
        return {line["key"]: line for line in self.lines()}

    def has(self, **key: Any) -> bool:
        """Whether there is a line with these values."""
        return any(key.items() <= line.items() for line in self.lines())

    def add(self, line: Line) -> None:
        self._path.parent.mkdir(exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")

    def add_with_load(self, **line: Any) -> None:
        """Adds a line with the load of the last minute, and tells it but for lists."""
        line |= {"load": round(os.getloadavg()[0], 1)}
        self.add(line)
        told = {name: value for name, value in line.items() if not isinstance(value, list)}
        print(f"  {json.dumps(told)}", flush=True)
