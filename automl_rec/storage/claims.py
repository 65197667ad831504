"""Who runs what: the processes of a study, and the trials that each of them has claimed.

A trial on its way belongs to one process, or waits for one. A process that is lost, which its
heartbeat shows, loses its trials to the others; what it still hands in then is refused. All times
are those of the database, so that the clocks of machines may differ.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, func, insert, or_, select, update

from automl_rec.errors import StorageError
from automl_rec.storage.database import Database
from automl_rec.storage.mirror import Mirror
from automl_rec.storage.owner import Owner
from automl_rec.storage.records import DERIVED, Claim, CurvePoint, Role, RunningTrial, Worker
from automl_rec.storage.rows import curve_rows, owner_row, running_of, running_row, worker_of
from automl_rec.storage.tables import RunningRow, StudyRow, TrialRow, WorkerRow

LEAVING_SECONDS = 5.0


class Claims:
    """The processes of one study, and its trials on their way."""

    def __init__(self, key: int, name: str, database: Database, mirror: Mirror) -> None:
        self._key, self._name = key, name
        self._database, self._mirror = database, mirror
        self._ran, self._counted = 0, -1

    def join(
        self,
        owner: Owner,
        role: Role = "search",
        *,
        engine: str = "local",
        trials_at_once: int = 1,
        lease_seconds: float = 120.0,
    ) -> int:
        """Makes a process one of those that run the study's trials; gives its number.

        Raises:
            StorageError: it would search the study, which another process does; or the database
                refuses.
        """

        def change(connection: Connection) -> int:
            self._hold(connection)
            now = self._database.now(connection)
            if role == "search":
                self._require_alone(connection, owner, now)
            # Said twice, it stands once.
            mine = [getattr(WorkerRow, name) == value for name, value in owner_row(owner).items()]
            ended = update(WorkerRow).where(self._here, WorkerRow.left.is_(None), *mine)
            connection.execute(ended.values(left=now))
            row = owner_row(owner) | {
                "study_id": self._key,
                "role": role,
                "engine": engine,
                "trials_at_once": trials_at_once,
                "lease_seconds": lease_seconds,
                "joined": now,
                "heartbeat": now,
            }
            key = connection.execute(insert(WorkerRow), row).inserted_primary_key
            assert key is not None
            return int(key[0])

        return self._database.write(change)

    def leave(self, worker: int) -> None:
        """Says that a process ends; its trials wait for another.

        Without effect where the server is away for longer than some seconds: the process is then
        lost, which the others notice.
        """

        def change(connection: Connection) -> None:
            mine = update(RunningRow).where(RunningRow.owner == worker)
            connection.execute(mine.values(owner=None))
            left = update(WorkerRow).where(WorkerRow.id == worker)
            connection.execute(left.values(left=self._database.now(connection)))

        with contextlib.suppress(StorageError):
            self._database.write(change, LEAVING_SECONDS)

    def heartbeat(self, worker: int, curves: Mapping[str, Sequence[CurvePoint]]) -> frozenset[str]:
        """Says that a process is alive; some seconds apart is often enough.

        Args:
            worker: number of the process.
            curves: uuid of a running trial -> its validations so far.

        Returns:
            The uuids of the trials that are still its own.
        """

        def change(connection: Connection) -> frozenset[str]:
            alive = update(WorkerRow).where(WorkerRow.id == worker)
            connection.execute(alive.values(heartbeat=self._database.now(connection)))
            for uuid, curve in curves.items():
                mine = update(RunningRow).where(*_owned(uuid, worker))
                connection.execute(mine.values(curve=curve_rows(curve)))
            owned = select(RunningRow.uuid).where(RunningRow.owner == worker)
            return frozenset(connection.execute(owned).scalars())

        return self._database.write(change)

    def claim(self, trial: RunningTrial, worker: int) -> Claim:
        """Makes a trial that was never started a process's own, if nobody has its configuration."""

        def change(connection: Connection) -> Claim:
            self._hold(connection)
            if connection.execute(
                select(RunningRow.uuid).where(*_owned(trial.uuid, worker))
            ).first():
                return "taken"
            if self._has(connection, TrialRow, trial.digest):
                return "known"
            if self._has(connection, RunningRow, trial.digest):
                return "running"
            room = self._room(connection)
            if trial.origin != DERIVED and room is not None and room <= 0:
                return "full"
            row = running_row(trial, self._key) | {"owner": worker}
            connection.execute(insert(RunningRow), row)
            return "taken"

        return self._database.write(change)

    def adopt(self, worker: int) -> RunningTrial | None:
        """Makes a trial that waits, or whose process is lost, the process's own; the oldest."""

        def waiting(connection: Connection) -> RunningTrial | None:
            self._hold(connection)
            now = self._database.now(connection)
            known = {other.number: other for other in self._workers(connection)}
            for trial in _trials(connection, self._of_others(worker)):
                lost = trial.owner is not None and known[trial.owner].left is None
                if trial.owner is not None and not known[trial.owner].gone(now):
                    continue
                losses = trial.losses + lost
                change = update(RunningRow).where(RunningRow.uuid == trial.uuid)
                connection.execute(change.values(owner=worker, losses=losses))
                return replace(trial, owner=worker, losses=losses)
            return None

        # Most often there is none: then nobody else is kept from writing.
        if not self._database.read(lambda connection: self._waits(connection, worker)):
            return None
        return self._database.write(waiting)

    def release(self, uuid: str, worker: int, attempt: int | None = None) -> None:
        """Lets a trial wait for whoever takes it, without effect where it is another's."""
        values = {"owner": None} | ({} if attempt is None else {"attempt": attempt})
        change = update(RunningRow).where(*_owned(uuid, worker)).values(values)
        self._database.write(lambda connection: connection.execute(change))

    def running(self) -> list[RunningTrial]:
        """Every trial on its way, oldest first."""
        query = select(RunningRow.__table__).where(RunningRow.study_id == self._key)
        return list(map(running_of, self._database.rows(query.order_by(*_OLDEST))))

    def workers(self) -> list[Worker]:
        """Every process that has joined, oldest first."""
        return self._database.read(self._workers)

    def room(self) -> int | None:
        """How many more trials may start, derived ones aside; None where there is no limit."""
        return self._database.read(self._room)

    def owns(self, connection: Connection, uuid: str, worker: int | None) -> bool:
        """Whether a trial on its way is a process's own; for use in a transaction."""
        query = select(RunningRow.uuid).where(*_owned(uuid, worker))
        return worker is not None and connection.execute(query).first() is not None

    def taken(self, connection: Connection, digest: str) -> bool:
        """Whether a configuration is recorded or on its way; for use in a transaction."""
        return self._has(connection, TrialRow, digest) or self._has(connection, RunningRow, digest)

    def finish(self, connection: Connection, uuid: str) -> None:
        """Takes a recorded trial from those on their way; for use in a transaction."""
        connection.execute(delete(RunningRow).where(RunningRow.uuid == uuid))

    @property
    def _here(self) -> Any:
        return WorkerRow.study_id == self._key

    def _hold(self, connection: Connection) -> None:
        """Keeps all others from claiming and recording until the transaction ends."""
        self._mirror.study_id(connection, self._name)

    def _workers(self, connection: Connection) -> list[Worker]:
        query = select(WorkerRow.__table__).where(self._here).order_by(WorkerRow.id)
        return [worker_of(dict(row)) for row in connection.execute(query).mappings()]

    def _waits(self, connection: Connection, worker: int) -> bool:
        """Whether a trial of others is nobody's, or its process is lost."""
        query = select(RunningRow.owner).where(*self._others(worker)).distinct()
        owners = set(connection.execute(query).scalars())
        if not owners or None in owners:
            return bool(owners)
        now = self._database.now(connection)
        return any(w.gone(now) for w in self._workers(connection) if w.number in owners)

    def _of_others(self, worker: int) -> Select[*tuple[Any, ...]]:
        query = select(RunningRow.__table__).where(*self._others(worker))
        return query.order_by(*_OLDEST)

    def _others(self, worker: int) -> tuple[Any, Any]:
        others = or_(RunningRow.owner.is_(None), RunningRow.owner != worker)
        return RunningRow.study_id == self._key, others

    def _room(self, connection: Connection) -> int | None:
        # Trials stay, in the order of their numbers: those counted once are not read again.
        new = and_(TrialRow.study_id == self._key, TrialRow.number > self._counted)
        counts = and_(new, TrialRow.origin != DERIVED)
        ran = select(func.count(TrialRow.worker)).where(counts).scalar_subquery()
        last = select(func.max(TrialRow.number)).where(new).scalar_subquery()
        here = and_(RunningRow.study_id == self._key, RunningRow.origin != DERIVED)
        running = select(func.count()).select_from(RunningRow).where(here).scalar_subquery()
        # Asked at once: a trial that ends meanwhile must not count twice.
        query = select(StudyRow.budget, running, ran, last).where(StudyRow.id == self._key)
        budget, on_their_way, counted, number = connection.execute(query).one()
        if number is not None:
            self._ran, self._counted = self._ran + int(counted), int(number)
        limit = budget.get("trials")
        return None if limit is None else int(limit) - self._ran - int(on_their_way)

    def _has(self, connection: Connection, table: type[TrialRow | RunningRow], digest: str) -> bool:
        query = select(table.uuid).where(table.study_id == self._key, table.digest == digest)
        return connection.execute(query.limit(1)).first() is not None

    def _require_alone(self, connection: Connection, owner: Owner, now: float) -> None:
        for other in self._workers(connection):
            if other.role == "search" and other.owner != owner and not other.gone(now):
                raise StorageError(
                    f"The study {self._name!r} is being searched by process {other.owner.pid} on "
                    f"{other.owner.host}. Join it with automl-rec worker {self._name}, wait for it "
                    f"to end, or search under another name with --study NEWNAME."
                )


_OLDEST = (RunningRow.started, RunningRow.uuid)


def _trials(connection: Connection, query: Select[*tuple[Any, ...]]) -> list[RunningTrial]:
    return [running_of(dict(row)) for row in connection.execute(query).mappings()]


def _owned(uuid: str, worker: int | None) -> tuple[Any, Any]:
    return RunningRow.uuid == uuid, RunningRow.owner == worker
