"""Names of folders stay where they are made."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_rec.naming import is_folder_name


@pytest.mark.parametrize("name", ["a", "ml-1m", "été 2024", ".hidden", "a.b", "~", "-x", "n" * 200])
def test_plain_names_are_names_of_folders(name: str) -> None:
    assert is_folder_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "...", "../x", "a/..", "/etc", "a/b", "a\\b", "C:\\x", "a\0", "a\nb"),
        *("\x1b[2J", "\u202e", "\ud800", " a", "a ", "a.", "CON", "nul", "Nul.txt", "com1.a.b"),
        *("lpt9", "aux ", "n" * 201, "é" * 101, "a" * 10**6),
    ],
)
def test_names_that_lead_elsewhere_or_cannot_be_made_are_none(name: str) -> None:
    assert not is_folder_name(name)


@given(st.text(max_size=12))
def test_what_is_a_name_stays_in_its_folder(name: str) -> None:
    if is_folder_name(name):
        place = Path("/runs") / name
        assert (place.parent, place.name) == (Path("/runs"), name)
