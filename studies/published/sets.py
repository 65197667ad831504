"""The data sets with published figures, as their study.yaml says."""

from pathlib import Path
from typing import Any

import yaml

from studies.places import located

HERE = Path(__file__).resolve().parent
SETS = ("gowalla", "movielens_1m", "amazon_beauty", "frappe")


def read_set(name: str) -> dict[str, Any]:
    """The study of a set."""
    study: dict[str, Any] = yaml.safe_load((HERE / name / "study.yaml").read_text("utf-8"))
    return study


def data_section(name: str) -> dict[str, Any]:
    """The data section of a set, with its files where they are."""
    return located(read_set(name)["data"])
