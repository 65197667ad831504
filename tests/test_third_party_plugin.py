"""A distribution from outside: built, installed, found, searched with, tested and removed again."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from automl_rec.testing.planted import planted_interactions

pytestmark = pytest.mark.slow

TEMPLATE = Path(__file__).parent / "third_party_plugin"
OFFLINE = ("--no-index", "--no-deps", "--disable-pip-version-check")
SPACE = """\
data: {path: events.csv}
objectives: [ndcg@10, bytes]
budget: {trials: 5}
search: {workers: 1}
model: acme-fading-memory
sparsity: [none, acme-best-of-row]
"""
Done = subprocess.CompletedProcess[str]
Change = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python environment of its own that sees the packages of this one.

    Attributes:
        folder: an empty folder to work in.
        python: the environment's interpreter.
    """

    folder: Path
    python: Path

    def run(self, *arguments: str, status: int = 0) -> Done:
        """Runs a module of the environment."""
        return run([self.python, "-m", *arguments], self.folder, status)

    def install(self, wheel: Path) -> None:
        """Installs a wheel, in place of an older one."""
        self._pip("install", "--force-reinstall", *OFFLINE, str(wheel))

    def uninstall(self, distribution: str) -> None:
        """Removes a distribution."""
        self._pip("uninstall", "--yes", distribution)

    def listed(self, distribution: str = "acme-recs") -> list[dict[str, Any]]:
        """What ``plugins --json`` says of a distribution."""
        rows: list[dict[str, Any]] = json.loads(self.run("automl_rec", "plugins", "--json").stdout)
        return [row for row in rows if row["distribution"] == distribution]

    def _pip(self, *arguments: str) -> None:
        run([sys.executable, "-m", "pip", "--python", self.python, *arguments], self.folder, 0)


def run(command: list[str | Path], folder: Path, status: int) -> Done:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    home, folder = tmp_path / "environment", tmp_path / "work"
    folder.mkdir()
    venv.create(home, symlinks=True)
    bound = {"base": str(home), "platbase": str(home)}
    packages = Path(sysconfig.get_path("purelib", "venv", bound))
    ours = sysconfig.get_path("purelib")
    # addsitedir, because what is installed here in editable form needs its own .pth files read.
    (packages / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    return Environment(folder, home / "bin" / "python")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("acme"), lambda _: None)


def built(folder: Path, change: Change) -> Path:
    """The wheel of the template, or of what a change makes of it."""
    source = folder / "source"
    shutil.copytree(TEMPLATE, source, ignore=shutil.ignore_patterns("__pycache__", "dist"))
    change(source)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", *OFFLINE]
    run([*pip, "--wheel-dir", str(folder), str(source)], folder, 0)
    (found,) = folder.glob("*.whl")
    return found


def write_study(folder: Path) -> None:
    """A space of acme's components, and 60 users with 15 of 40 items each in 4 blocks."""
    histories = planted_interactions(
        users=60, items=40, blocks=4, events=15, heldout=0
    ).catalog.histories
    positions = np.arange(len(histories.items)) - np.repeat(
        histories.indptr[:-1], histories.lengths
    )
    events = {"user": histories.users(), "item": histories.items, "time": positions}
    pl.DataFrame(events).write_csv(folder / "events.csv")
    (folder / "space.yaml").write_text(SPACE)


def test_its_components_are_listed_until_it_is_removed(
    environment: Environment, wheel: Path
) -> None:
    assert environment.listed() == []
    environment.install(wheel)
    listed = environment.listed()
    assert {(row["kind"], row["name"], row["version"], row["state"]) for row in listed} == {
        ("model", "acme-fading-memory", "2.3.1", "ok"),
        ("sparsity", "acme-best-of-row", "2.3.1", "ok"),
    }
    assert all(row["source"] and row["hyperparameters"] for row in listed)
    environment.uninstall("acme-recs")
    assert environment.listed() == []
    assert len(environment.listed("automl-rec")) > 5
    assert not list(importlib.metadata.Distribution.discover(name="acme-recs"))


def test_a_search_finds_ships_and_serves_its_model(environment: Environment, wheel: Path) -> None:
    write_study(environment.folder)
    environment.install(wheel)
    environment.run("automl_rec", "search", "space.yaml")
    front = json.loads(environment.run("automl_rec", "front", "space", "--json").stdout)
    assert any("acme-fading-memory" in trial["configuration"]["model"] for trial in front)
    environment.run("automl_rec", "export", "space", "--pick", "best", "--out", "shipped")
    recommend = ("automl_rec", "recommend", "shipped", "--users", "7", "--json")
    rows = json.loads(environment.run(*recommend).stdout)
    assert len(rows) == 10
    environment.uninstall("acme-recs")
    told = environment.run(*recommend, status=2).stderr
    assert "acme-fading-memory" in told
    assert "Traceback" not in told


def test_a_space_that_names_it_without_it_tells_what_is_installed(
    environment: Environment, wheel: Path
) -> None:
    write_study(environment.folder)
    told = environment.run("automl_rec", "check", "space.yaml", status=2).stderr
    assert "space.yaml:5: " in told
    assert "acme-fading-memory" in told
    installed = told.partition("Installed: ")[2].partition(".")[0].split(", ")
    assert {"bpr-mf", "ease", "popularity"} <= set(installed)
    environment.install(wheel)
    environment.run("automl_rec", "check", "space.yaml")
    blocked = environment.run("automl_rec", "check", "space.yaml", "--without", "acme", status=2)
    assert "space.yaml:5: " in blocked.stderr


def test_its_own_tests_pass(environment: Environment, wheel: Path) -> None:
    environment.install(wheel)
    shutil.copytree(TEMPLATE / "tests", environment.folder / "tests")
    shutil.copy(TEMPLATE / "pyproject.toml", environment.folder)
    done = environment.run("pytest", "-p", "no:cacheprovider")
    assert " passed" in done.stdout


def needs_what_is_not_there(source: Path) -> None:
    replace(source, "from automl_rec", "import faiss_of_nobody\nfrom automl_rec")


def misspells_a_hook(source: Path) -> None:
    replace(source, "def register_models", "def register_modles")


def replace(source: Path, old: str, new: str) -> None:
    module = source / "acme_recs" / "__init__.py"
    text = module.read_text()
    assert old in text
    module.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            needs_what_is_not_there,
            "could not be imported: No module named 'faiss_of_nobody'. Install its requirements,",
        ),
        (misspells_a_hook, "unknown hook 'register_modles'"),
    ],
)
def test_a_broken_one_is_listed_with_the_reason_and_the_rest_works(
    environment: Environment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Change,
    reason: str,
) -> None:
    environment.install(built(tmp_path, change))
    (broken,) = environment.listed()
    assert (broken["name"], broken["version"], broken["state"]) == ("acme", "2.3.1", "broken")
    assert broken["reason"].startswith('Plugin "acme" (acme-recs 2.3.1) ')
    assert broken["reason"].endswith("or block it with --without acme.")
    assert reason in broken["reason"]
    assert reason in " ".join(environment.run("automl_rec", "plugins").stdout.split())
    write_study(environment.folder)
    assert reason in environment.run("automl_rec", "check", "space.yaml", status=2).stderr
    (environment.folder / "space.yaml").write_text(
        SPACE.replace("acme-fading-memory", "popularity").replace(", acme-best-of-row", "")
    )
    environment.run("automl_rec", "check", "space.yaml")
    monkeypatch.setenv("AUTOML_REC_STRICT_PLUGINS", "1")
    assert reason in environment.run("automl_rec", "plugins", status=2).stderr
