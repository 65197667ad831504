import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_rec.errors import SpaceError
from automl_rec.plugin import Choice, Constant, Float
from automl_rec.registry import Plugin, Registry
from automl_rec.space.checker import SECTIONS, check, read_space
from automl_rec.space.space import Budget, ObjectiveRequest, Resources, SearchSettings, Space

Check = Callable[..., Space]
FULL = """\
data: {source: movielens-small}
objectives: {ndcg@10: maximize, bytes: {minimize: true, max: 4MB}, latency_ms: }
budget: {trials: 40, time: 3m, trial_time: 20}
search: {sampler: nsga2, early_stopping: none, workers: 2, seed: 7, min_epochs: 3, min_finished: 9}
resources: {cpus: 2, gpus: 0.5, memory: 2GB, custom: {fpga: 1, "accelerator_type:A100": 0.1}}
model:
  - closed
  - tower: {width: [16, 32], epochs: 5}
embedding: [full, hash]
rank: {svd: {ratio: 0.5}, whole: }
sparsity: none
"""


def test_every_section_is_read(registry: Registry) -> None:
    space = check(FULL, Path("a/space.yaml"), registry)
    assert space.data.source == "movielens-small"
    assert space.objectives == (
        ObjectiveRequest("ndcg@10", "maximize", None, "a/space.yaml:2"),
        ObjectiveRequest("bytes", "minimize", 4e6, "a/space.yaml:2"),
        ObjectiveRequest("latency_ms", None, None, "a/space.yaml:2"),
    )
    assert space.budget == Budget(40, 180.0, 20.0)
    assert space.search == SearchSettings("nsga2", "none", 2, 7, 3, 9)
    custom = {"fpga": 1.0, "accelerator_type:A100": 0.1}
    assert space.resources == Resources(2, 0.5, 2_000_000_000, custom)
    assert space.components["model"] == {
        "closed": {"regularization": Float(1.0, 1e4, 250.0, log=True)},
        "tower": {
            "width": Choice((16, 32), 32),
            "loss": Choice(("bce", "full"), "bce"),
            "negatives": Choice((1, 4, 16), 4, only_if={"loss": ("bce",)}),
            "learning_rate": Float(1e-4, 1e-1, 1e-3, log=True),
            "epochs": Constant(5),
        },
    }
    assert list(space.components["embedding"]) == ["full", "hash"]
    assert space.components["rank"] == {"svd": {"ratio": Constant(0.5)}, "whole": {}}
    assert list(space.components["sparsity"]) == ["none"]
    assert (space.text, space.path) == (FULL, "a/space.yaml")


def test_sections_left_out_have_their_defaults(checked: Check) -> None:
    space = checked("model: tower\n")
    assert (space.budget, space.search) == (Budget(), SearchSettings())
    assert space.resources == Resources(cpus=None, gpus=0.0, memory=None, custom={})
    assert space.components["embedding"] == {"full": {"precision": Constant("fp32")}}
    assert space.components["rank"] == {"whole": {}}
    assert space.components["sparsity"] == {"none": {}}


@pytest.mark.parametrize(
    "written",
    ["[tower, closed]", "{tower: , closed: {}}", "[tower: , closed: ]", "[{tower: , closed: }]"],
)
def test_names_are_written_as_a_list_or_a_mapping(checked: Check, written: str) -> None:
    space = checked(f"model: {written}\n")
    assert space.components == checked("model:\n  - tower\n  - closed\n").components


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle: tower\n", 'space.yaml:3: there is no field "modle". Known: data, objectives,'),
        ("modle: tower\n", 'Did you mean "model"?'),
        ("budget: {trials: 1}\n", "space.yaml: the section model is missing. Installed: click,"),
        ("model:\n", "space.yaml:3: model must be at least one component, got nothing. Installed"),
        ("model: []\n", "space.yaml:3: model must be at least one component, got []."),
        ("model: 7\n", "space.yaml:3: model must be names of components, got 7."),
        ("model: [tower, 7]\n", "space.yaml:3: model must be names of components, got 7."),
        (
            "model:\n - closed\n - towr\n",
            (
                'space.yaml:5: no model component is named "towr". Installed: click, closed, next, '
                'plain, tower. Did you mean "tower"?'
            ),
        ),
        ("model: closed\nrank: svdd\n", 'space.yaml:4: no rank component is named "svdd".'),
        ("model: [tower, closed,\n tower]\n", "space.yaml:4: model names tower twice. Remove one."),
        ("model: [tower, acme:tower]\n", "space.yaml:3: model names tower twice."),
        (
            "model:\n  tower:\n    widht: 3\n",
            (
                'space.yaml:5: model tower has no hyperparameter "widht". Known: width, loss, '
                'negatives, learning_rate, epochs. Did you mean "width"?'
            ),
        ),
        ("model: {tower: 3}\n", "space.yaml:3: model.tower must be a mapping, got 3."),
        (
            "model:\n  tower:\n    width: {int: [0, 8], log: false}\n",
            "space.yaml:5: model.tower.width must lie inside integer 1 to 256 (log), got integer 0",
        ),
        (
            "model:\n - tower\n - click\n",
            (
                "space.yaml:5: data.task retrieval needs models that make lists, but click can "
                "only judge single events. Choose among closed, next, plain, tower, or write "
                "data.task: ranking."
            ),
        ),
        (
            "model: next\nembedding: hash\n",
            (
                "space.yaml:3: model next can stand beside nothing in this space: model next "
                "excludes embedding hash: its rows are read in order. Remove one of them, or add"
            ),
        ),
        (
            "model: closed\nrank: svd\nsparsity: [none, moving]\n",
            (
                "space.yaml:5: sparsity moving can stand beside nothing in this space: rank svd "
                "excludes sparsity moving: its bases rotate."
            ),
        ),
        ("model: tower\nbudget: {trials: 0}\n", "budget.trials must be a whole number of at least"),
        ("model: tower\nbudget: {trials: true}\n", "at least 1, got true."),
        ("model: tower\nbudget: {time: 3x}\n", "budget.time must be a duration, got 3x. Write for"),
        ("model: tower\nbudget: {time: 0}\n", "budget.time must be a duration, got 0."),
        (f"model: tower\nbudget: {{time: {'9' * 400}h}}\n", "budget.time must be a duration, got"),
        ("model: tower\nbudget: {time: .inf}\n", "budget.time must be a finite number, got inf."),
        ("model: tower\nbudget: 3m\n", "space.yaml:4: budget must be a mapping, got 3m."),
        ("model: tower\nbudget: {tiem: 3m}\n", 'no field "budget.tiem". Known: trials, time,'),
        (
            "model: tower\nsearch: {sampler: nsga}\n",
            'search.sampler must be one of tpe, nsga2, random, got nsga. Did you mean "nsga2"?',
        ),
        ("model: tower\nsearch: {seed: -1}\n", "search.seed must be a whole number of at least 0"),
        ("model: tower\nresources: 2\n", "space.yaml:4: resources must be a mapping, got 2."),
        ("model: tower\nresources: {cpu: 2}\n", 'no field "resources.cpu". Known: cpus, gpus,'),
        (
            "model: tower\nresources: {cpus: 0}\n",
            "cpus must be a whole number of at least 1, got 0",
        ),
        ("model: tower\nresources: {cpus: 0.5}\n", "at least 1, got 0.5. Correct it."),
        (
            "model: tower\nresources:\n  gpus: 1.5\n",
            (
                "space.yaml:5: resources.gpus must be a part of one GPU or a whole number of "
                "them, got 1.5. Write for example 0.5 or 2."
            ),
        ),
        ("model: tower\nresources: {gpus: -1}\n", "gpus must be a part of one GPU or a whole"),
        ("model: tower\nresources: {gpus: .inf}\n", "gpus must be a finite number, got inf."),
        (
            "model: tower\nresources: {memory: 2000000000}\n",
            (
                "space.yaml:4: resources.memory must be an amount of bytes with its unit, got "
                "2000000000. Write for example 2GB or 512MiB."
            ),
        ),
        ("model: tower\nresources: {memory: 2 apples}\n", "with its unit, got 2 apples."),
        ("model: tower\nresources: {memory: 0GB}\n", "with its unit, got 0GB."),
        (f"model: tower\nresources: {{memory: {'9' * 400}GB}}\n", "an amount of bytes with"),
        ("model: tower\nresources: {custom: 3}\n", "resources.custom must be a mapping, got 3."),
        (
            "model: tower\nresources:\n  custom:\n    a: 1\n    GPU: 1\n",
            (
                "space.yaml:7: resources.custom must name resources with letters, digits and "
                "_.:/-, other than CPU, GPU, memory, object_store_memory, got 'GPU'. Use the name"
            ),
        ),
        ("model: tower\nresources: {custom: {a b: 1}}\n", "_.:/-, other than CPU, GPU, memory,"),
        (
            "model: tower\nresources: {custom: {fpga: 0}}\n",
            "resources.custom.fpga must be a number above 0, got 0. Correct it, or remove it.",
        ),
        (
            "model: tower\nresources: {custom: {fpga: much}}\n",
            "resources.custom.fpga must be a number, got much.",
        ),
    ],
)
def test_a_mistake_is_refused_with_its_line_and_a_remedy(
    checked: Check, text: str, message: str
) -> None:
    with pytest.raises(SpaceError, match=re.escape(message)):
        checked(text)


RANKING = "data: {source: movielens-small, task: ranking, threshold: 4}\nobjectives: [auc]\n"


def test_data_of_single_events_take_models_that_judge_them(checked: Check) -> None:
    assert list(checked("model: click\n", base=RANKING).components["model"]) == ["click"]


def test_a_model_of_lists_on_data_of_single_events_is_refused(checked: Check) -> None:
    message = (
        "space.yaml:5: data.task ranking needs models that judge single events, but next can only "
        "make lists. Choose among click, or write data.task: retrieval."
    )
    with pytest.raises(SpaceError, match=re.escape(message)):
        checked("model:\n - click\n - next\n", base=RANKING)


@pytest.mark.parametrize("missing", ["data", "objectives"])
def test_a_needed_section_that_is_missing_is_shown_by_example(
    registry: Registry, missing: str
) -> None:
    text = "".join(line for line in FULL.splitlines(True) if not line.startswith(missing))
    with pytest.raises(
        SpaceError, match=f"^space.yaml: the section {missing} is missing. Write for example"
    ):
        check(text, Path("space.yaml"), registry)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("ndcg@10", [("ndcg@10", None, None)]),
        ("[ndcg@10, bytes: minimize]", [("ndcg@10", None, None), ("bytes", "minimize", None)]),
        ("{bytes: {max: 1MiB}}", [("bytes", "minimize", 1048576.0)]),
        ("{bytes_tables: {max: 512 kB}}", [("bytes_tables", "minimize", 512000.0)]),
        ("{latency_ms: {max: 5ms}}", [("latency_ms", "minimize", 5.0)]),
        ("{latency_ms: {max: 0.5}}", [("latency_ms", "minimize", 0.5)]),
        ("{train_seconds: {max: 2m}}", [("train_seconds", "minimize", 120.0)]),
        ("{recall@5: {min: 0.1}}", [("recall@5", "maximize", 0.1)]),
        ("{recall@5: {maximize: true, min: 0}}", [("recall@5", "maximize", 0.0)]),
        ("{recall@5: {}}", [("recall@5", None, None)]),
    ],
)
def test_objectives_are_names_directions_or_bounds(
    checked: Check, written: str, expected: list[tuple[Any, ...]]
) -> None:
    base = f"data: {{source: movielens-small}}\nobjectives: {written}\n"
    found = checked("model: tower\n", base=base).objectives
    assert [(o.name, o.direction, o.bound) for o in found] == expected
    assert {o.where for o in found} == {"space.yaml:2"}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("", "objectives must be at least one objective, got nothing."),
        ("[]", "objectives must be at least one objective, got []."),
        ("3", "objectives must be a text, got 3."),
        ("{bytes: smallest}", "objectives.bytes must be one of maximize, minimize, got smallest."),
        ("{bytes: minimise}", 'got minimise. Did you mean "minimize"?'),
        ("{bytes: {min: 3, max: 4}}", "bytes must be minimised with a max or maximised with a min"),
        ("{bytes: {maximize: true, max: 4}}", "Keep one direction and its bound."),
        ("{bytes: {maximize: true, minimize: true}}", "Keep one direction and its bound."),
        ("{bytes: {minimize: false}}", "objectives.bytes.minimize must be true, got false."),
        ("{bytes: {max: 4 apples}}", "must be an amount, got 4 apples. Write for example 4MB,"),
        (f"{{bytes: {{max: {'9' * 400}MB}}}}", "objectives.bytes.max must be an amount, got 9999"),
        ("{recall@5: {min: 4MB}}", "objectives.recall@5.min must be an amount, got 4MB."),
        ("{bytes: {max: .nan}}", "objectives.bytes.max must be a finite number, got nan."),
        ("{bytes: {maks: 4}}", 'no field "objectives.bytes.maks". Known: maximize, minimize, min,'),
        ("{bytes: [4]}", "objectives.bytes must be one of maximize, minimize, got [4]."),
    ],
)
def test_an_objective_that_makes_no_sense_is_refused(
    checked: Check, written: str, message: str
) -> None:
    base = f"data: {{source: movielens-small}}\nobjectives: {written}\n"
    with pytest.raises(SpaceError, match=r"^space\.yaml:2: .*" + re.escape(message)):
        checked("model: tower\n", base=base)


def test_a_name_that_two_distributions_claim_is_written_with_its_distribution(
    registry: Registry,
) -> None:
    tower = registry.component("model", "tower")
    other = Plugin("theirs", "other", "1.0", components=(tower,))
    both = Registry([*registry.plugins, other])
    base = "data: {source: movielens-small}\nobjectives: [ndcg@10]\n"
    with pytest.raises(SpaceError, match=r"^space\.yaml:3: the model component .tower. is given"):
        check(base + "model: tower\n", Path("space.yaml"), both)
    space = check(base + "model: [acme:tower, other:tower]\n", Path("space.yaml"), both)
    assert list(space.components["model"]) == ["acme:tower", "other:tower"]
    assert space.defaults("other:tower").model.name == "other:tower"


def test_a_file_is_read_from_its_path(tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(FULL)
    assert read_space(path, registry).path == str(path)


@given(st.text())
def test_any_text_gives_a_space_or_a_space_error(registry: Registry, text: str) -> None:
    expect_space_or_error(registry, text)


LANGUAGE = """
source path split kind columns user item_features tower closed next hash full svd width loss int
float log max bytes ndcg@10 maximize trials time sampler movielens-small 3m 4MB
"""
WORDS = st.sampled_from([*LANGUAGE.split(), *SECTIONS])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=50)
@given(st.dictionaries(WORDS, VALUES, max_size=8))
def test_any_structure_gives_a_space_or_a_space_error(
    registry: Registry, structure: dict[str, Any]
) -> None:
    base = {"data": {"source": "x"}, "objectives": ["ndcg@10"], "model": ["tower", "closed"]}
    expect_space_or_error(registry, yaml.safe_dump({**base, **structure}))


@given(
    st.integers(0, len(FULL)),
    st.integers(0, 12),
    st.text(max_size=4) | st.sampled_from(["[", "{", "&a ", "*a", "!!int ", "\t", ": ", "- ", "'"]),
)
def test_any_slip_in_a_good_space_gives_a_space_or_a_space_error(
    registry: Registry, start: int, removed: int, added: str
) -> None:
    expect_space_or_error(registry, FULL[:start] + added + FULL[start + removed :])


def expect_space_or_error(registry: Registry, text: str) -> None:
    try:
        space = check(text, Path("space.yaml"), registry)
    except SpaceError as error:
        fact, remedy = str(error), str(error)[-1]
    else:
        space.configurations()
        assert all(space.defaults(name).model.name == name for name in space.components["model"])
        return
    assert fact.startswith("space.yaml:")
    assert remedy in ".?}"
