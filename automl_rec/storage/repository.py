"""The studies of one database."""

import difflib
from collections.abc import Callable
from typing import Any, Self

from sqlalchemy import URL, Connection, insert, select

from automl_rec.errors import NotStoredError, StorageError, StudyMismatchError
from automl_rec.storage.database import Database
from automl_rec.storage.mirror import Mirror
from automl_rec.storage.records import Manifest
from automl_rec.storage.rows import manifest_of, manifest_row
from automl_rec.storage.schema import upgrade
from automl_rec.storage.stored_study import StoredStudy
from automl_rec.storage.tables import StudyRow
from automl_rec.storage.url import parse, shown, sqlite_file

_STUDIES = StudyRow.__table__


class Repository:
    """Reads and writes the studies of one database; close it, or use it in a ``with``."""

    def __init__(self, database: Database, mirror: Mirror) -> None:
        self._database = database
        self._mirror = mirror

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> Self:
        """Opens a database; its tables are made or migrated where they have to be.

        Args:
            url: ``sqlite:///path/to/study.db`` or ``postgresql://user@host/database``.
            create: whether a SQLite file that is not there is made; its folder never is.

        Raises:
            StorageError: the database cannot be used.
        """
        parsed = parse(url)
        _check_file(parsed, create=create)
        database = Database(parsed)
        try:
            return cls(database, _prepare(database))
        except BaseException:
            database.close()
            raise

    def create_study(
        self, manifest: Manifest, extends: Callable[[Manifest], bool] | None = None
    ) -> StoredStudy:
        """Creates a study, or opens it where it was made from the same things.

        Args:
            manifest: what it is made from.
            extends: whether its space may take the place of that of a stored manifest; if None,
                only an equal one may.

        Raises:
            StudyMismatchError: the name stands for a study of another space, data or objectives.
            StorageError: the database refuses.
        """
        study = self._study(self._find(manifest.name) or self._created(manifest))
        same = study.manifest.space_digest == manifest.space_digest
        same = same or (extends is not None and extends(study.manifest))
        _check_same(study.manifest, manifest, same_space=same)
        return study

    def study(self, name: str) -> StoredStudy:
        """The study of a name.

        Raises:
            NotStoredError: there is none.
            StorageError: the database refuses.
        """
        row = self._find(name)
        if row is None:
            names = [manifest.name for manifest in self.studies()]
            close = difflib.get_close_matches(name, names, 1)
            hint = f' Did you mean "{close[0]}"?' if close else ""
            raise NotStoredError(
                f"The storage {shown(self._database.url)} has no study {name!r}; it has "
                f"{', '.join(names) or 'none'}. Name one of them, or another --storage.{hint}"
            )
        return self._study(row)

    def studies(self) -> list[Manifest]:
        """The manifests of all studies, oldest first."""
        return list(map(manifest_of, self._database.rows(select(_STUDIES).order_by(StudyRow.id))))

    def close(self) -> None:
        """Gives every connection back."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _find(self, name: str) -> dict[str, Any] | None:
        found = self._database.rows(select(_STUDIES).where(StudyRow.name == name))
        return found[0] if found else None

    def _created(self, manifest: Manifest) -> dict[str, Any]:
        """The row of a new study, or of the one that another process made meanwhile."""
        try:
            with self._database.faults():
                self._mirror.create(manifest.name, manifest.objectives)
        except StudyMismatchError:
            found = self._find(manifest.name)
            if found is None:
                raise
            return found
        except StorageError as error:
            if not _was_beaten(error):
                raise
        self._add(manifest)
        found = self._find(manifest.name)
        assert found is not None
        return found

    def _add(self, manifest: Manifest) -> None:
        """Another process may add the same study first: then its manifest stands."""

        def change(connection: Connection) -> None:
            query = select(StudyRow.id).where(StudyRow.name == manifest.name)
            if connection.execute(query).first() is None:
                connection.execute(insert(StudyRow), manifest_row(manifest) | {"budget": {}})

        try:
            self._database.write(change)
        except StorageError as error:
            if not _was_beaten(error):
                raise

    def _study(self, row: dict[str, Any]) -> StoredStudy:
        return StoredStudy(row["id"], manifest_of(row), self._database, self._mirror)


def _check_same(stored: Manifest, asked: Manifest, *, same_space: bool) -> None:
    parts = {
        "space": same_space,
        "data": stored.data_digest == asked.data_digest,
        "objectives": _axes(stored) == _axes(asked),
    }
    differences = [what for what, same in parts.items() if not same]
    if differences:
        raise StudyMismatchError(
            f"The study {asked.name!r} was made with other {' and '.join(differences)}"
            f"{_change(stored, asked)}. Search under another name with --study NEWNAME, "
            f"or restore what it was made with."
        )


def _axes(manifest: Manifest) -> list[tuple[str, float | None]]:
    return [(objective.name, objective.bound) for objective in manifest.objectives]


def _change(stored: Manifest, asked: Manifest) -> str:
    """The objectives of both, where they differ."""
    before, now = (", ".join(_axis(*axis) for axis in _axes(m)) for m in (stored, asked))
    return "" if before == now else f" (it has {before}; asked for were {now})"


def _axis(name: str, bound: float | None) -> str:
    return name if bound is None else f"{name} bounded at {bound:g}"


def _check_file(url: URL, *, create: bool) -> None:
    path = sqlite_file(url)
    if path is None:
        return
    if not create and not path.exists():
        raise NotStoredError(
            f"There is no study database at {path}. Search first, or name another --storage."
        )
    if not path.parent.is_dir():
        raise StorageError(
            f"The folder of the storage must exist, got {path.parent}. Create it, or name another "
            f"--storage."
        )


def _prepare(database: Database) -> Mirror:
    """Makes all tables; another process that does so at the same time may be a step ahead."""
    for _ in range(5):
        try:
            upgrade(database)
            return Mirror(database)
        except StorageError as error:
            if not _was_beaten(error):
                raise
            beaten = error
    raise beaten


def _was_beaten(error: StorageError) -> bool:
    text = str(error).lower()
    return "already exists" in text or "unique constraint" in text
