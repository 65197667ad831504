"""One study of a database: what it is made from, its budget, and its trials."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace

from sqlalchemy import Connection, func, insert, select, update

from automl_rec.storage.claims import Claims
from automl_rec.storage.database import Database
from automl_rec.storage.mirror import Mirror, Place
from automl_rec.storage.records import (
    DERIVED,
    CurvePoint,
    FinishedTrial,
    Manifest,
    State,
    StoredBudget,
    TrialRecord,
)
from automl_rec.storage.rows import curve_point, curve_rows, manifest_row, trial_of, trial_row
from automl_rec.storage.tables import CurveRow, StudyRow, TrialRow


class StoredStudy:
    """A study of an open `Repository`.

    Attributes:
        manifest: what it is made from.
        claims: who runs what of it.
    """

    def __init__(self, key: int, manifest: Manifest, database: Database, mirror: Mirror) -> None:
        self.manifest = manifest
        self.claims = Claims(key, manifest.name, database, mirror)
        self._key = key
        self._database = database
        self._mirror = mirror

    def now(self) -> float:
        """Seconds since 1970 by the database's clock."""
        return self._database.read(self._database.now)

    def trials(self, after: int = -1) -> list[TrialRecord]:
        """Every recorded trial of a number above one, by number."""
        query = (
            select(TrialRow.__table__)
            .where(TrialRow.study_id == self._key, TrialRow.number > after)
            .order_by(TrialRow.number)
        )
        return list(map(trial_of, self._database.rows(query)))

    def counts(self) -> dict[State, int]:
        """How many trials are recorded, by state."""
        query = (
            select(TrialRow.state, func.count().label("count"))
            .where(TrialRow.study_id == self._key)
            .group_by(TrialRow.state)
        )
        found = self._database.read(lambda connection: connection.execute(query).all())
        return {row.state: row.count for row in found}  # type: ignore[misc]

    def derived(self) -> int:
        """How many of the recorded trials are derived, and so do not count in the budget."""
        here = TrialRow.study_id == self._key, TrialRow.origin == DERIVED
        query = select(func.count()).select_from(TrialRow).where(*here)
        return self._database.read(lambda connection: int(connection.execute(query).scalar_one()))

    def curves(self, number: int | None = None) -> dict[int, tuple[CurvePoint, ...]]:
        """The validations of recorded trials that have any, by number and epoch.

        Args:
            number: of the only trial asked for; all if None.
        """
        query = (
            select(CurveRow.__table__)
            .where(CurveRow.study_id == self._key)
            .order_by(CurveRow.number, CurveRow.epoch)
        )
        if number is not None:
            query = query.where(CurveRow.number == number)
        curves: dict[int, list[CurvePoint]] = {}
        for row in self._database.rows(query):
            curves.setdefault(row["number"], []).append(curve_point(row))
        return {number: tuple(points) for number, points in curves.items()}

    def record(
        self,
        trial: FinishedTrial,
        *,
        worker: int | None = None,
        place: Place | None = None,
        curve: Sequence[CurvePoint] = (),
    ) -> int | None:
        """Records a finished trial in one transaction, here and for Optuna; it runs no more.

        Args:
            trial: recorded once, however often it is handed in.
            worker: number of the process that claimed it; None where it never ran.
            place: where its configuration lies in the space; None where it lies outside.
            curve: every validation, epochs increasing.

        Returns:
            The trial's number; None where it is not this process's to record: it was thought lost
            and given to another, or another has the configuration.

        Raises:
            StorageError: the database refuses; nothing was written.
        """

        def change(connection: Connection) -> int | None:
            study_id = self._mirror.study_id(connection, self.manifest.name)
            known = select(TrialRow.number).where(TrialRow.uuid == trial.uuid)
            number = connection.execute(known).scalar_one_or_none()
            if number is not None:
                return int(number)
            if not self.claims.owns(connection, trial.uuid, worker):
                if trial.worker is not None and worker is not None:
                    return None
                if self.claims.taken(connection, trial.digest):
                    return None
            number = self._mirror.write(
                connection, study_id, trial, self.manifest.objectives, place
            )
            self._add(connection, trial, number, curve)
            self.claims.finish(connection, trial.uuid)
            return number

        return self._database.write(change)

    def forget_artefacts(self, numbers: Collection[int]) -> None:
        """Notes that the artefacts of some trials are kept no more."""
        columns = ("artefact_path", "artefact_sha256", "artefact_bytes")
        change = (
            update(TrialRow)
            .where(TrialRow.study_id == self._key, TrialRow.number.in_(numbers))
            .values(dict.fromkeys(columns))
        )
        self._database.write(lambda connection: connection.execute(change))

    def budget(self) -> StoredBudget:
        """When the study ends, as whoever searched it last said."""
        query = select(StudyRow.budget).where(StudyRow.id == self._key)
        return StoredBudget(**self._database.rows(query)[0]["budget"])

    def set_budget(self, budget: StoredBudget) -> None:
        """Says when the study ends, to every process that runs its trials."""
        self._change(budget=asdict(budget))

    def extend(self, manifest: Manifest) -> None:
        """Takes what the study is made from now; what stood before is kept in the manifest."""
        before = manifest_row(self.manifest)
        replaced = {name: before[name] for name in ("space_text", "space_digest", "components")}
        replaced |= {name: before[name] for name in ("plugins", "environment")}
        now = manifest_row(manifest)
        if all(now[name] == value for name, value in replaced.items()):
            return
        earlier = [*self.manifest.earlier, {**replaced, "until": self.now()}]
        values = {name: now[name] for name in replaced} | {"earlier": earlier}
        self._change(**values)
        self.manifest = replace(self.manifest, **values | {"earlier": tuple(earlier)})

    def _change(self, **values: object) -> None:
        change = update(StudyRow).where(StudyRow.id == self._key).values(values)
        self._database.write(lambda connection: connection.execute(change))

    def _add(
        self, connection: Connection, trial: FinishedTrial, number: int, curve: Sequence[CurvePoint]
    ) -> None:
        connection.execute(insert(TrialRow), trial_row(trial, self._key, number))
        if curve:
            own = {"study_id": self._key, "number": number}
            connection.execute(insert(CurveRow), [row | own for row in curve_rows(curve)])
