"""What was measured: lines of JSON, kept at once, so that a run goes on from what is there."""

import json
import os
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("results")


class Results:
    """The lines of one part; ``key`` names what was measured and with what."""

    def __init__(self, part: str) -> None:
        FOLDER.mkdir(exist_ok=True)
        self._path = FOLDER / f"{part}.jsonl"
        self._path.touch()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._path.read_text().splitlines()]

    def has(self, **key: Any) -> bool:
        return any(key.items() <= line.items() for line in self.lines())

    def add(self, **line: Any) -> None:
        """Keeps a line with the load of the last minute, and tells it."""
        text = json.dumps(line | {"load": round(os.getloadavg()[0], 1)})
        with self._path.open("a") as file:
            file.write(f"{text}\n")
        print(f"  {text}", flush=True)
