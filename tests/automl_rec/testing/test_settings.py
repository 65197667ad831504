import pytest

from automl_rec.plugin import Choice, Component, Float, Integer
from automl_rec.testing.settings import settings_of, variants

COMPONENT = Component(
    kind="rank",
    name="example",
    summary="",
    source="",
    implementation="nowhere:Nothing",
    hyperparameters={
        "mode": Choice(("plain", "fancy"), "plain"),
        "size": Integer(1, 9, 4),
        "curve": Choice(("up", "down"), "up", only_if={"mode": ("fancy",)}),
        "slope": Float(0.5, 2.0, 1.0, only_if={"curve": ("down",)}),
    },
)


def test_defaults_hold_what_acts() -> None:
    assert settings_of(COMPONENT) == {"mode": "plain", "size": 4}
    assert settings_of(COMPONENT, mode="fancy") == {"mode": "fancy", "size": 4, "curve": "up"}


def test_what_does_not_act_or_does_not_fit_cannot_be_fixed() -> None:
    with pytest.raises(ValueError, match="example has no curve"):
        settings_of(COMPONENT, curve="up")
    with pytest.raises(ValueError, match="size must be integer 1 to 9, got 10"):
        settings_of(COMPONENT, size=10)


def test_variants_reach_every_choice() -> None:
    assert variants(COMPONENT) == [
        {"mode": "plain", "size": 4},
        {"mode": "fancy", "size": 4, "curve": "up"},
        {"mode": "fancy", "size": 4, "curve": "down", "slope": 1.0},
    ]


def test_variants_reach_the_ends_of_ranges_if_asked() -> None:
    found = variants(COMPONENT, ends=True)
    assert {setting["size"] for setting in found} == {1, 4, 9}
    assert {setting.get("slope") for setting in found} == {None, 0.5, 1.0, 2.0}


def test_of_many_numbers_the_least_and_the_largest_are_tried() -> None:
    sizes = Choice((8, 2, 4, 16), 4)
    many = Component("rank", "many", "", "", "nowhere:Nothing", {"size": sizes})
    assert {setting["size"] for setting in variants(many)} == {2, 4, 16}
