"""Databases are made, found, and refused with a reason and a remedy."""

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from automl_rec.errors import StorageError, StudyMismatchError
from automl_rec.objectives.objective import Objective
from automl_rec.storage.records import FinishedTrial, Manifest
from automl_rec.storage.repository import Repository
from automl_rec.storage.stored_study import StoredStudy
from automl_rec.storage.tables import VERSION_TABLE, Tables

MakeTrial = Callable[..., FinishedTrial]


def test_a_study_is_found_again_with_all_it_was_made_from(
    study: StoredStudy, manifest: Manifest, make_trial: MakeTrial, url: str
) -> None:
    study.record(make_trial())
    with Repository.open(url, create=False) as again:
        assert again.study("ratings").manifest == manifest
        assert again.studies() == [manifest]
        assert len(again.study("ratings").trials()) == 1


def test_the_first_manifest_stands_when_a_study_goes_on(
    study: StoredStudy, repository: Repository, manifest: Manifest
) -> None:
    later = replace(manifest, created=2e9, seed=8, plugins={"automl-rec": "0.2.0"})
    assert repository.create_study(later).manifest == study.manifest == manifest


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)
def test_many_processes_that_make_a_study_at_once_have_the_same(
    repository: Repository, manifest: Manifest, url: str
) -> None:
    for number in range(8):
        asked = replace(manifest, name=f"study {number}")
        together = threading.Barrier(4)

        def make(asked: Manifest = asked, together: threading.Barrier = together) -> Manifest:
            with Repository.open(url, create=False) as own:
                together.wait()
                return own.create_study(asked).manifest

        with ThreadPoolExecutor(4) as pool:
            made = [pool.submit(make) for _ in range(4)]
            assert [future.result() for future in made] == [asked] * 4
    assert len(repository.studies()) == 8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"space_digest": "space-2"}, "other space. "),
        ({"data_digest": "data-2"}, "other data. "),
        ({"space_digest": "space-2", "data_digest": "data-2"}, "other space and data. "),
        (
            {"objectives": (Objective("ndcg@10", "maximize", ""),)},
            r"other objectives \(it has ndcg@10, bytes bounded at 100, .*; asked .* ndcg@10\)",
        ),
    ],
)
def test_a_study_of_something_else_is_not_continued(
    study: StoredStudy,
    repository: Repository,
    manifest: Manifest,
    change: dict[str, Any],
    words: str,
) -> None:
    assert study.manifest == manifest
    with pytest.raises(StudyMismatchError, match=words) as refused:
        repository.create_study(replace(manifest, **change))
    assert "--study NEWNAME" in str(refused.value)


def test_a_misspelt_study_is_answered_with_the_known_ones(
    study: StoredStudy, repository: Repository
) -> None:
    assert study.trials() == []
    with pytest.raises(StorageError, match=r"it has ratings\..*Did you mean \"ratings\"\?"):
        repository.study("rating")


def test_reading_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with pytest.raises(StorageError, match=r"no study database at .*study\.db\. Search first"):
        Repository.open(f"sqlite:///{path}", create=False)
    assert not path.exists()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"folder of the storage must exist, got .*absent"):
        Repository.open(f"sqlite:///{tmp_path}/absent/study.db")


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    path.write_text("user,item\n" * 1000)
    with pytest.raises(StorageError, match=r"file is not a database\. Name another file"):
        Repository.open(f"sqlite:///{path}")
    assert path.read_text() == "user,item\n" * 1000


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"unable to open database file\. Check that the path"):
        Repository.open(f"sqlite:///{tmp_path}")


def test_a_file_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StorageError, match=r"readonly database\. Allow writing"):
        Repository.open(f"sqlite:///file:{path}?mode=ro&uri=true")


def test_tables_of_a_newer_program_are_refused(
    study: StoredStudy, url: str, tmp_path: Path
) -> None:
    assert study.trials() == []
    with closing(sqlite3.connect(tmp_path / "study.db")) as connection, connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(StorageError, match=r"tables of version 9999, .* up to 0003\. Upgrade"):
        Repository.open(url)


def test_tables_of_another_optuna_are_refused(study: StoredStudy, url: str, tmp_path: Path) -> None:
    assert study.trials() == []
    with closing(sqlite3.connect(tmp_path / "study.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v9.0.0'")
    with pytest.raises(StorageError, match=r"cannot be used: .*optuna"):
        Repository.open(url)


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)
def test_migrations_make_the_declared_tables(study: StoredStudy, url: str) -> None:
    assert study.trials() == []
    engine = create_engine(url)
    ours = [table.name for table in Tables.metadata.sorted_tables]
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": VERSION_TABLE,
                "compare_type": True,
                "include_name": lambda name, kind, _: kind != "table" or name in ours,
            },
        )
        difference = compare_metadata(context, Tables.metadata)
    engine.dispose()
    assert len(ours) == 5
    assert difference == []


def test_a_driver_that_is_not_installed_is_named_without_credentials() -> None:
    with pytest.raises(
        StorageError, match=r"postgresql\+pg8000://host/db needs a driver"
    ) as refused:
        Repository.open("postgresql+pg8000://ann:secret@host/db")
    assert "secret" not in str(refused.value)


def test_readers_see_a_database_in_write_ahead_mode(study: StoredStudy, tmp_path: Path) -> None:
    assert study.trials() == []
    with closing(sqlite3.connect(tmp_path / "study.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
