"""Worker processes as they are started."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from automl_rec.search.local import LocalEngine, processors


@pytest.fixture
def environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str]]]:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    before = set(psutil.Process().children())
    with closing(LocalEngine(2, tmp_path)):
        yield [child.environ() for child in psutil.Process().children() if child not in before]


def test_processors_are_divided_and_threads_do_not_spin_for_long(
    environments: list[dict[str, str]],
) -> None:
    assert len(environments) == 2
    for environment in environments:
        assert environment["OMP_NUM_THREADS"] == str(max(1, processors() // 2))
        assert environment["GOMP_SPINCOUNT"] == "2000"


def test_what_the_user_says_of_openmp_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    before = set(psutil.Process().children())
    with closing(LocalEngine(1, tmp_path)):
        (child,) = set(psutil.Process().children()) - before
        assert child.environ()["GOMP_SPINCOUNT"] == "7"
