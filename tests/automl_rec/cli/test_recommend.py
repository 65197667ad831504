"""``automl-rec recommend``: whom it is asked about."""

from pathlib import Path

import pytest

from automl_rec.cli.recommend import _users
from automl_rec.errors import DataError


def test_a_file_of_users_holds_one_id_a_line_with_blanks_inside(tmp_path: Path) -> None:
    file = tmp_path / "users.txt"
    file.write_bytes("\ufeffZoë Müller\r\n\r\n 7 \nlast one".encode())
    assert _users(["first", f"@{file}"]) == ["first", "Zoë Müller", "7", "last one"]


def test_a_missing_file_of_users_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent: a file of user ids, one a line, was expected"):
        _users([f"@{tmp_path / 'absent'}"])
