"""Where data and peers lie: outside the project, named by the environment."""

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

PROJECT = Path(__file__).resolve().parents[1]
RUNS = PROJECT / "runs"
FILES = ("path", "train", "validation", "test")


def data(name: str) -> Path:
    """A data set's folder, or one of its files."""
    return _existing("AUTOML_REC_DATA", PROJECT.parent / "shared" / "data", name)


def located(section: dict[str, Any]) -> dict[str, Any]:
    """A data section with its files where they are."""
    return {k: str(data(v)) if k in FILES else v for k, v in section.items()}


def peer(script: str) -> Path:
    """A script that runs a peer."""
    return _existing("AUTOML_REC_PEERS", PROJECT.parent / "shared" / "peers", script)


def recbole_python() -> str:
    """The interpreter of an environment with RecBole 1.2.1."""
    given = os.environ.get("RECBOLE_PYTHON")
    if not given or not Path(given).is_file():
        _refuse(f"RECBOLE_PYTHON must name an interpreter with RecBole 1.2.1, got {given!r}.")
    return given


def _existing(variable: str, default: Path, name: str) -> Path:
    path = Path(os.environ.get(variable, default)).resolve() / name
    if not path.exists():
        _refuse(f"{path} is absent. Set {variable} to the folder that holds {name}.")
    return path


def _refuse(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise SystemExit(2)
