"""What the documents say is so: their programs run, their commands and names exist."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import polars as pl
import pytest

from automl_rec import plugin
from automl_rec.cli import _parser
from automl_rec.objectives import resolve
from automl_rec.plugin import Component, hooks
from automl_rec.registry import Registry
from automl_rec.space.checker import check
from automl_rec.testing.planted import planted_tiny
from automl_rec.testing.suite import CompressionSuite, Suite

ROOT = Path(__file__).parents[1]
AUTHORS = ROOT / "plugins" / "README.md"
FIRST = ROOT / "README.md"
STUDIES = ROOT / "studies"
DOCUMENTS = sorted(
    path
    for folder in (ROOT, ROOT / "plugins", ROOT / "search_spaces", STUDIES)
    for path in folder.glob("*.md")
)
TITLES = {path: path.relative_to(ROOT).as_posix() for path in DOCUMENTS}
BLOCK = re.compile(
    r'^```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$', re.M | re.S
)
COMPONENTS = [
    component
    for kind in plugin.KINDS
    for component in Registry.discover().components(kind).values()
]
IMPLEMENTED = (
    plugin.ClosedFormModel,
    plugin.RankingModel,
    plugin.RetrievalModel,
    plugin.TrainedModel,
    plugin.Model,
    plugin.Embedding,
    plugin.LifeCycle,
    plugin.Phase,
    plugin.Step,
    plugin.Sparsity,
    plugin.Rank,
    plugin.Table,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a document.

    Attributes:
        title: the file it is, where it is one; else empty.
    """

    language: str
    title: str
    text: str


def blocks(path: Path) -> list[Block]:
    found = BLOCK.finditer(path.read_text("utf-8"))
    return [Block(match["language"], match["title"] or "", match["text"]) for match in found]


def prose(path: Path) -> str:
    return BLOCK.sub("", path.read_text("utf-8"))


def commands(path: Path) -> list[str]:
    """Every ``automl-rec`` command of a document, in its blocks and within its sentences."""
    shown = [block.text for block in blocks(path) if block.language in ("", "sh")]
    lines = [line.strip() for text in shown for line in text.splitlines()]
    inline = [text.replace("\n", " ") for text in re.findall(r"`([^`]+)`", prose(path))]
    # A sentence may name a command without what it needs to run.
    named = [f"{text} --help" if len(text.split()) == 2 else text for text in inline]
    return [text for text in lines + named if text.startswith("automl-rec ")]


def code(path: Path) -> str:
    """Blocks, and what stands in backticks."""
    inline = re.findall(r"`([^`]+)`", prose(path))
    return "\n".join([*(block.text for block in blocks(path)), *inline])


def write_files(folder: Path) -> None:
    """Writes the files of the authors' document."""
    for block in blocks(AUTHORS):
        if block.title:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, "utf-8")


def run(command: list[str | Path], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_plugin_of_the_authors_document_installs_and_passes_its_tests(tmp_path: Path) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    write_files(source)
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--quiet"]
    run([*pip, "--no-build-isolation", "--target", installed, source], tmp_path)
    (space,) = (block.text for block in blocks(AUTHORS) if block.language == "yaml")
    (tmp_path / "space.yaml").write_text(space)
    (tmp_path / "tests").mkdir()
    tests = (source / "tests").rename(tmp_path / "tests" / "of_the_plugin")
    python = [sys.executable, "-m"]
    strict = {"PYTHONPATH": str(installed), "AUTOML_REC_STRICT_PLUGINS": "1"}
    listed = run([*python, "automl_rec", "plugins"], tmp_path, **strict)
    names = re.findall(r'name="(my-[a-z-]+)"', AUTHORS.read_text())
    assert len(names) == 8
    assert all(name in listed for name in names)
    run([*python, "automl_rec", "check", "space.yaml"], tmp_path, **strict)
    passed = run(
        [*python, "pytest", "-W", "error", "-p", "no:cacheprovider", tests], tmp_path, **strict
    )
    assert " passed" in passed


def test_every_program_of_the_authors_document_is_one_of_its_files() -> None:
    programs = [block for block in blocks(AUTHORS) if block.language in ("python", "toml")]
    assert len(programs) == 11
    assert all(block.title for block in programs)


def test_the_authors_document_implements_every_hook() -> None:
    specified = [name for name in vars(hooks) if name.startswith("register_")]
    assert len(specified) == 4
    (described,) = (b.text for b in blocks(AUTHORS) if b.title.endswith("__init__.py"))
    for hook in specified:
        assert f"@hookimpl\ndef {hook}()" in described, hook


def test_the_authors_document_names_all_that_can_be_imported_and_nothing_else() -> None:
    *_, table = prose(AUTHORS).partition("## Everything there is")
    rows = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ")][1:]
    named = re.findall(r"`(\w+)`", " ".join(rows))
    assert sorted(named) == sorted(plugin.__all__)
    assert all(hasattr(plugin, name) for name in named)


def test_the_authors_document_explains_every_field_of_a_component() -> None:
    (described,) = (b.text for b in blocks(AUTHORS) if b.title.endswith("__init__.py"))
    for field in fields(Component):
        shown = f"    {field.name}=" in described
        assert shown or f"\n| `{field.name}` |" in prose(AUTHORS), field.name


@pytest.mark.parametrize("implemented", IMPLEMENTED, ids=lambda c: c.__name__)
def test_the_authors_document_names_all_that_an_author_may_write(implemented: type) -> None:
    own = {**vars(implemented), **getattr(implemented, "__annotations__", {})}
    public = [name for name in own if not name.startswith("_")]
    assert public
    assert [name for name in public if not re.search(rf"\b{name}\b", code(AUTHORS))] == []


def test_the_authors_document_names_all_that_a_suite_can_be_told() -> None:
    told = {**Suite.__annotations__, **CompressionSuite.__annotations__}.keys() - {"kind"}
    assert len(told) == 4
    assert all(f"`{name}`" in prose(AUTHORS) or f"    {name} = " in code(AUTHORS) for name in told)


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda c: f"{c.kind} {c.name}")
def test_a_component_says_what_it_is_and_where_it_comes_from(component: Component) -> None:
    for text in (component.summary, component.source):
        assert text.endswith(".")
        assert "\n" not in text
    assert len(component.summary) <= 100
    assert "\nSource: " in re.sub(r"\n +", "\n", component.load().__doc__ or "")


@pytest.mark.parametrize(
    ("path", "command"),
    [
        pytest.param(path, command, id=f"{TITLES[path]}: {command}")
        for path in DOCUMENTS
        for command in dict.fromkeys(commands(path))
    ],
)
def test_a_command_of_a_document_exists(
    path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        _parser().parse_args(shlex.split(command, comments=True)[1:])
    except SystemExit as ended:
        if ended.code:
            pytest.fail(capsys.readouterr().err)


def test_the_first_document_shows_the_whole_way() -> None:
    shown = {shlex.split(command)[1] for command in commands(FIRST)}
    way = {"check", "search", "front", "export", "train", "recommend", "predict", "dashboard"}
    assert way <= shown


def test_the_spaces_of_the_first_document_are_good() -> None:
    registry = Registry.discover()
    spaces = [check(b.text, FIRST, registry) for b in blocks(FIRST) if b.language == "yaml"]
    assert [space.data.task for space in spaces] == ["retrieval", "ranking", "retrieval"]
    assert all(resolve(space.objectives, space.data.task) for space in spaces)


@pytest.mark.slow
def test_the_program_of_the_first_document_runs(tmp_path: Path) -> None:
    (program,) = (block.text for block in blocks(FIRST) if block.language == "python")
    histories = planted_tiny().catalog.histories
    events = pl.DataFrame({"user": histories.users(), "item": histories.items})
    events.write_csv(tmp_path / "events.csv")
    (tmp_path / "space.yaml").write_text(
        "data: {path: events.csv}\nobjectives: [ndcg@10, bytes]\n"
        "budget: {trials: 2}\nsearch: {workers: 1}\nmodel: popularity\n"
    )
    (tmp_path / "program.py").write_text(program)
    assert "item" in run([sys.executable, "program.py"], tmp_path)


@pytest.mark.parametrize("path", DOCUMENTS, ids=TITLES.get)
def test_the_files_and_targets_a_document_names_exist(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", prose(path)):
        assert (path.parent / target).exists(), target
    made = re.findall(r"^make (\w+)", "\n".join(b.text for b in blocks(path)), re.M)
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in made)


def test_a_variable_of_the_environment_that_a_document_names_is_read() -> None:
    engine = "".join(file.read_text("utf-8") for file in (ROOT / "automl_rec").rglob("*.py"))
    read = set(re.findall(r'"(AUTOML_REC_[A-Z_]+)"', engine))
    named = {
        name
        for path in DOCUMENTS
        for name in re.findall(r"\bAUTOML_REC_[A-Z_]+\b", path.read_text())
    }
    assert "AUTOML_REC_PLUGINS" in named
    assert named <= read


@pytest.mark.parametrize("study", sorted(path.parent.name for path in STUDIES.glob("*/README.md")))
def test_the_commands_of_a_study_exist(study: str) -> None:
    told = "".join(path.read_text("utf-8") for path in (STUDIES / study).rglob("README.md"))
    modules = set(re.findall(r"python -m\s+(studies[\w.]+\w)", told))
    assert f"studies.{study}.run" in modules
    for module in modules:
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
    assert not re.search(r"studies/\w+/\w+\.py", told), "they are run as modules"
