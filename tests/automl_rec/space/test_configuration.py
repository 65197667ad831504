import json
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_rec.errors import SpaceError
from automl_rec.registry import Registry
from automl_rec.space.configuration import Chosen, Configuration, require_allowed

NAMES = st.text("ab1", min_size=1, max_size=3)
VALUES = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NAMES
CHOSEN = st.builds(Chosen, NAMES, st.dictionaries(NAMES, VALUES, max_size=4))
CONFIGURATIONS = st.builds(
    Configuration, CHOSEN, st.none() | CHOSEN, st.none() | CHOSEN, st.none() | CHOSEN
)


@settings(max_examples=50)
@given(CONFIGURATIONS)
def test_a_configuration_survives_plain_data_and_text(configuration: Configuration) -> None:
    assert Configuration.from_dict(configuration.as_dict()) == configuration
    stored = json.loads(json.dumps(configuration.as_dict()))
    assert Configuration.from_dict(stored) == configuration
    assert Configuration.from_dict(json.loads(configuration.text)).text == configuration.text


@settings(max_examples=40)
@given(CONFIGURATIONS, CONFIGURATIONS)
def test_texts_and_digests_differ_exactly_where_configurations_do(
    one: Configuration, other: Configuration
) -> None:
    assert (one.text == other.text) == (one.digest == other.digest)
    if one.text != other.text:
        assert one != other


def test_order_and_the_type_of_a_whole_number_do_not_count() -> None:
    one = Configuration(Chosen("a", {"x": 1, "y": 0.5}))
    other = Configuration(Chosen("a", {"y": 0.5, "x": 1.0}))
    assert one == other
    assert one.digest == other.digest
    assert one.text == '{"model":{"a":{"x":1,"y":0.5}}}'


def test_true_is_not_one() -> None:
    assert (
        Configuration(Chosen("a", {"x": True})).digest
        != Configuration(Chosen("a", {"x": 1})).digest
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1], "must have model and may have embedding, rank and sparsity, got nothing."),
        (3, "must have model and may have embedding, rank and sparsity, got nothing."),
        ({"model": {"a": {}}, 3: {}}, "sparsity, got 3, model. Write them as kind:"),
        ({"model": "x" * 10**6}, "got 'xxxx"),
        ({}, "must have model and may have embedding, rank and sparsity, got nothing."),
        (
            {"rank": {"a": {}}},
            "must have model and may have embedding, rank and sparsity, got rank",
        ),
        ({"model": {"a": {}}, "modle": 3}, "got model, modle."),
        (
            {"model": "a"},
            "A configuration's model must be {name: {hyperparameter: value}}, got 'a'",
        ),
        ({"model": {"a": {}, "b": {}}}, "Write one component with its hyperparameters."),
        ({"model": {"a": 3}}, "got {'a': 3}."),
    ],
)
def test_other_data_are_refused(data: object, message: str) -> None:
    with pytest.raises(SpaceError, match=re.escape(message)):
        Configuration.from_dict(data)


TOWER = {"width": 8, "loss": "full", "learning_rate": 0.01, "epochs": 5}


def test_what_a_space_could_choose_is_allowed(registry: Registry) -> None:
    for values in (TOWER, {"width": 8, "loss": "bce", "negatives": 4}):
        data = {"model": {"tower": values}, "embedding": {"hash": {"ratio": 1}}}
        require_allowed(Configuration.from_dict(data), registry)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 10**12}, "model tower: width must be integer 1 to 256 (log), got 1000000000000"),
        ({"width": 8.5}, "width must be integer 1 to 256 (log), got 8.5."),
        (
            {"learning_rate": 10**400},
            "learning_rate must be float 0.0001 to 0.1 (log), got 1000000",
        ),
        ({"learning_rate": math.nan}, "learning_rate must be float 0.0001 to 0.1 (log), got nan"),
        ({"loss": ["bce"]}, "loss must be one of bce, full, got ['bce']."),
        ({"negatives": 5}, "negatives must be one of 1, 4, 16, got 5."),
        ({"catalog": None}, "catalog must be left out, got None."),
        ({"loss": "bce"}, "model tower: negatives must be given. Add a value for each."),
    ],
)
def test_what_no_space_could_choose_is_refused(
    change: dict[str, object], message: str, registry: Registry
) -> None:
    chosen = Configuration.from_dict({"model": {"tower": TOWER | change}})
    with pytest.raises(SpaceError, match=re.escape(message)):
        require_allowed(chosen, registry)
