"""Addresses are checked before anything is opened, and shown without secrets."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from automl_rec.errors import StorageError
from automl_rec.storage.url import default_url, parse, shown, sqlite_file


def test_the_default_is_a_file_in_the_study_folder(tmp_path: Path) -> None:
    url = default_url(tmp_path / "runs 100%", "ratings")
    assert sqlite_file(parse(url)) == tmp_path / "runs 100%" / "ratings" / "study.db"


@pytest.mark.parametrize(
    "text", ["study.db", "", "postgresql:host", "postgres://u:secret@h:port/d"]
)
def test_what_is_no_address_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(StorageError, match=r"Write sqlite:///path/to/study\.db") as refused:
        parse(text)
    assert "secret" not in str(refused.value)


def test_other_databases_are_refused_by_name() -> None:
    with pytest.raises(StorageError, match="must be SQLite or PostgreSQL, got mysql") as refused:
        parse("mysql://root:secret@host/db")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(text: str) -> None:
    with pytest.raises(StorageError, match="must outlive the process"):
        parse(text)


def test_messages_show_neither_user_nor_password_nor_options() -> None:
    url = make_url("postgresql://ann:secret@host:5432/studies?password=secret&sslkey=k")
    assert shown(url) == "postgresql://host:5432/studies"
