"""The spaces that ship, through the installed plugins; their language, against the code."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from automl_rec.data import prepare
from automl_rec.data.request import FeatureKind, FieldKind, Format, Kept, SplitKind, Task
from automl_rec.objectives import COSTS, QUALITIES, resolve
from automl_rec.registry import Registry
from automl_rec.space.checker import SECTIONS, check, read_space
from automl_rec.space.data_section import COLUMNS, SPLIT, data_fields, feature_fields
from automl_rec.space.fields import text
from automl_rec.space.narrowing import RANGE
from automl_rec.space.sections import BOUNDS, BUDGET, RESOURCES, SEARCH
from automl_rec.space.space import Resources, SearchSettings
from automl_rec.space.units import BYTES, SECONDS

FOLDER = Path(__file__).parents[1] / "search_spaces"
FILES = sorted(FOLDER.glob("*.yaml"))
README = (FOLDER / "README.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.discover()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_space_that_ships_is_good(path: Path, registry: Registry) -> None:
    space = read_space(path, registry)
    assert resolve(space.objectives, space.data.task)
    for model in space.components["model"]:
        assert space.defaults(model).model.name == model
    assert space.budget.seconds is not None
    assert f"`{path.name}`" in README


def test_the_first_search_ends_within_three_minutes_and_covers_every_kind(
    registry: Registry,
) -> None:
    space = read_space(FOLDER / "movielens_small.yaml", registry)
    assert space.budget.seconds is not None
    assert space.budget.seconds <= 120
    assert all(len(components) > 1 for components in space.components.values())


def test_the_space_of_tables_holds_every_embedding(registry: Registry) -> None:
    space = read_space(FOLDER / "smaller_tables.yaml", registry)
    assert set(space.components["embedding"]) == set(registry.components("embedding"))
    tables = set(space.components["model"])
    assert all("embedding" in registry.component("model", name).compressible for name in tables)


def test_the_space_of_weights_holds_every_sparsity(registry: Registry) -> None:
    space = read_space(FOLDER / "fewer_weights.yaml", registry)
    assert set(space.components["sparsity"]) == set(registry.components("sparsity"))


def test_the_space_of_ranks_holds_every_rank(registry: Registry) -> None:
    space = read_space(FOLDER / "lower_ranks.yaml", registry)
    assert set(space.components["rank"]) == set(registry.components("rank"))


def test_the_sample_of_own_events_can_be_prepared(registry: Registry, tmp_path: Path) -> None:
    prepared = prepare(read_space(FOLDER / "own_csv.yaml", registry).data, tmp_path)
    assert prepared.catalog.num_items == 40
    assert set(prepared.catalog.item_features) == {"category", "price"}


def test_there_are_examples_in_the_readme() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_of_the_readme_is_a_good_space(number: int, registry: Registry) -> None:
    space = check(EXAMPLES[number], FOLDER / "README.md", registry)
    assert resolve(space.objectives, space.data.task)


def options() -> list[str]:
    literals = [Format, SplitKind, FeatureKind, FieldKind, Kept, Task]
    literals += [get_type_hints(SearchSettings)[name] for name in ("sampler", "early_stopping")]
    return [option for literal in literals for option in get_args(literal)]


def named_fields() -> list[str]:
    data = data_fields(FOLDER), COLUMNS, SPLIT, feature_fields(text)
    sections = [*data, BUDGET, SEARCH, RESOURCES, BOUNDS]
    assert set(RESOURCES) == {field.name for field in fields(Resources)}
    assert set(SEARCH) == {field.name for field in fields(SearchSettings)}
    return [*SECTIONS, *(name for section in sections for name in section)]


@pytest.mark.parametrize("name", sorted({*named_fields(), *options(), *COSTS}))
def test_every_field_and_option_is_named_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("metric", QUALITIES)
def test_every_quality_is_named_in_the_readme(metric: str) -> None:
    assert f"`{metric}@10`" in README


@pytest.mark.parametrize("form", sorted(RANGE))
def test_every_form_of_a_domain_is_named_in_the_readme(form: str) -> None:
    assert re.search(rf"[{{ ]{form}: ", README)


@pytest.mark.parametrize("unit", sorted({*BYTES, *SECONDS}))
def test_every_unit_is_named_in_the_readme(unit: str) -> None:
    assert f"`{unit}`" in README
