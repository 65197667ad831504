"""One study of a database: its trials, finished and running."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from automl_rec.errors import StorageError
from automl_rec.storage.database import Database
from automl_rec.storage.mirror import Mirror, Place
from automl_rec.storage.owner import Owner
from automl_rec.storage.records import (
    CurvePoint,
    FinishedTrial,
    Manifest,
    RunningTrial,
    TrialRecord,
)
from automl_rec.storage.rows import (
    curve_point,
    curve_rows,
    owner_row,
    running_of,
    running_row,
    trial_of,
    trial_row,
)
from automl_rec.storage.tables import CurveRow, LeaseRow, RunningRow, TrialRow


class StoredStudy:
    """A study of an open `Repository`.

    Attributes:
        manifest: what it was made from.
    """

    def __init__(self, key: int, manifest: Manifest, database: Database, mirror: Mirror) -> None:
        self.manifest = manifest
        self._key = key
        self._database = database
        self._mirror = mirror

    def trials(self) -> list[TrialRecord]:
        """Every recorded trial, by number."""
        query = (
            select(TrialRow.__table__)
            .where(TrialRow.study_id == self._key)
            .order_by(TrialRow.number)
        )
        return list(map(trial_of, self._database.rows(query)))

    def curves(self) -> dict[int, tuple[CurvePoint, ...]]:
        """The validations of every recorded trial that has any, by number and epoch."""
        query = (
            select(CurveRow.__table__)
            .where(CurveRow.study_id == self._key)
            .order_by(CurveRow.number, CurveRow.epoch)
        )
        curves: dict[int, list[CurvePoint]] = {}
        for row in self._database.rows(query):
            curves.setdefault(row["number"], []).append(curve_point(row))
        return {number: tuple(points) for number, points in curves.items()}

    def record(
        self,
        trial: FinishedTrial,
        *,
        place: Place | None = None,
        curve: Sequence[CurvePoint] = (),
    ) -> int:
        """Records a finished trial in one transaction, here and for Optuna; it runs no more.

        Args:
            trial: recorded once, however often it is handed in.
            place: where its configuration lies in the space; None where it lies outside.
            curve: every validation, epochs increasing.

        Returns:
            The trial's number.

        Raises:
            StorageError: the database refuses; nothing was written.
        """
        with self._database.writing() as connection:
            study_id = self._mirror.study_id(connection, self.manifest.name)
            known = select(TrialRow.number).where(TrialRow.uuid == trial.uuid)
            number = connection.execute(known).scalar_one_or_none()
            if number is None:
                number = self._mirror.write(
                    connection, study_id, trial, self.manifest.objectives, place
                )
                self._add(connection, trial, number, curve)
            connection.execute(delete(RunningRow).where(RunningRow.uuid == trial.uuid))
        return int(number)

    def forget_artefacts(self, numbers: Collection[int]) -> None:
        """Notes that the artefacts of some trials are kept no more."""
        columns = ("artefact_path", "artefact_sha256", "artefact_bytes")
        change = (
            update(TrialRow)
            .where(TrialRow.study_id == self._key, TrialRow.number.in_(numbers))
            .values(dict.fromkeys(columns))
        )
        with self._database.writing() as connection:
            connection.execute(change)

    def start(self, trial: RunningTrial) -> None:
        """Notes that a trial runs; one of the same uuid is replaced."""
        with self._database.writing() as connection:
            connection.execute(delete(RunningRow).where(RunningRow.uuid == trial.uuid))
            connection.execute(insert(RunningRow), running_row(trial, self._key))

    def running(self) -> list[RunningTrial]:
        """Every trial on its way, oldest first."""
        query = (
            select(RunningRow.__table__)
            .where(RunningRow.study_id == self._key)
            .order_by(RunningRow.started, RunningRow.uuid)
        )
        return list(map(running_of, self._database.rows(query)))

    def heartbeat(
        self, owner: Owner, now: float, curves: Mapping[str, Sequence[CurvePoint]]
    ) -> None:
        """Says that an owner and its trials are alive; some seconds apart is often enough.

        Args:
            owner: who is alive.
            now: when.
            curves: uuid of a running trial -> its validations so far.

        Raises:
            StorageError: the owner was silent for so long that another process took the study.
        """
        with self._database.writing() as connection:
            lease = update(LeaseRow).where(self._leased_by(owner)).values(heartbeat=now)
            if connection.execute(lease).rowcount == 0:
                raise StorageError(
                    f"The study {self.manifest.name!r} was taken over by another process while "
                    f"this one was silent. Stop the other one and run the same command again."
                )
            for uuid, curve in curves.items():
                connection.execute(
                    update(RunningRow)
                    .where(RunningRow.uuid == uuid)
                    .values(heartbeat=now, curve=curve_rows(curve))
                )

    def acquire(self, owner: Owner, now: float, lease_seconds: float) -> None:
        """Makes a process the one that searches this study, until it releases it or ends.

        Raises:
            StorageError: another process does; or the database refuses.
        """
        with self._database.writing() as connection:
            self._mirror.study_id(connection, self.manifest.name)
            query = select(
                LeaseRow.host, LeaseRow.pid, LeaseRow.process_started, LeaseRow.heartbeat
            ).where(LeaseRow.study_id == self._key)
            held = connection.execute(query).one_or_none()
            if held is not None:
                host, pid, process_started, heartbeat = held
                holder = Owner(host, pid, process_started)
                self._check_gone(holder, heartbeat, now, lease_seconds)
            connection.execute(delete(LeaseRow).where(LeaseRow.study_id == self._key))
            row = owner_row(owner) | {"study_id": self._key, "heartbeat": now}
            connection.execute(insert(LeaseRow), row)

    def release(self, owner: Owner) -> None:
        """Lets another process search this study; without effect where the owner does not."""
        with self._database.writing() as connection:
            connection.execute(delete(LeaseRow).where(self._leased_by(owner)))

    def _check_gone(
        self, holder: Owner, heartbeat: float, now: float, lease_seconds: float
    ) -> None:
        if not holder.gone(heartbeat, now, lease_seconds):
            raise StorageError(
                f"The study {self.manifest.name!r} is being searched by process {holder.pid} on "
                f"{holder.host}. Wait for it to end, stop it, or search under another name with "
                f"--study NEWNAME."
            )

    def _leased_by(self, owner: Owner) -> ColumnElement[bool]:
        return and_(
            LeaseRow.study_id == self._key,
            LeaseRow.host == owner.host,
            LeaseRow.pid == owner.pid,
            LeaseRow.process_started == owner.started,
        )

    def _add(
        self, connection: Connection, trial: FinishedTrial, number: int, curve: Sequence[CurvePoint]
    ) -> None:
        connection.execute(insert(TrialRow), trial_row(trial, self._key, number))
        if curve:
            own = {"study_id": self._key, "number": number}
            connection.execute(insert(CurveRow), [row | own for row in curve_rows(curve)])
