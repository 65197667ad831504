"""The front as it stands, and what its trials and those on their way keep on disk."""

import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath

from automl_rec import pareto
from automl_rec.naming import is_folder_name
from automl_rec.objectives.objective import Objective
from automl_rec.space.configuration import Configuration
from automl_rec.storage.records import Artefact, TrialRecord
from automl_rec.storage.stored_study import StoredStudy

ARTEFACTS, TRAININGS = "artefacts", "trainings"


class Shelf:
    """Keeps the front; a trial that leaves it takes its artefact from the disk.

    Args:
        folder: the study's; artefacts lie in it, one folder a run, and trainings, one file a
            training part.
        objectives: of the study.
        trials: recorded before.
    """

    def __init__(
        self, folder: Path, objectives: Sequence[Objective], trials: Iterable[TrialRecord]
    ) -> None:
        self._folder, self._objectives = folder, tuple(objectives)
        self._held: set[str] = set()
        self.front = self._front(trials)
        self.hypervolume = self._hypervolume()

    @property
    def artefacts(self) -> Path:
        """Where every run writes its model, in a folder of its own."""
        return self._folder / ARTEFACTS

    @property
    def trainings(self) -> Path:
        """Where trainings on their way are kept, and ended ones while they are needed."""
        return self._folder / TRAININGS

    def add(self, trial: TrialRecord) -> list[int]:
        """Places a trial; gives the numbers of those whose artefacts are gone."""
        if trial.state != "complete":
            return []
        before = self.front
        # What was dominated once stays dominated, so the rest need not be looked at again.
        self.front = self._front((*before, trial))
        kept = {member.number for member in self.front}
        gone = [member for member in (*before, trial) if member.number not in kept]
        for member in gone:
            if member.artefact is not None:
                self.discard(run_of(member.artefact))
        if trial.number in kept:
            self.hypervolume = self._hypervolume()
        return [member.number for member in gone if member.artefact is not None]

    def discard(self, run: str) -> None:
        """Removes what a run left on the disk."""
        # Names come from the database, which others write too.
        if is_folder_name(run):
            shutil.rmtree(self.artefacts / run, ignore_errors=True)

    def discard_lost(self, digest: str, but: str = "") -> None:
        """Removes what the runs of a trial left that were lost; ``but`` is the one that counts."""
        for path in _listed(self.artefacts):
            if path.name.startswith(f"{digest}-") and path.name != but:
                self.discard(path.name)

    def hold(self, training: str) -> None:
        """Takes care of the file of a training: `clear` removes it when nobody needs it."""
        self._held.add(training)

    def let_go(self, training: str) -> None:
        """Leaves the file of a training to whoever goes on with it."""
        self._held.discard(training)

    def has(self, training: str) -> bool:
        """Whether the file of a training lies here."""
        return is_folder_name(training) and (self.trainings / training).is_file()

    def clear(self, needed: Collection[str]) -> None:
        """Removes the trainings held that are neither needed nor of the front."""
        front = {member.training for member in self.front}
        for training in self._held - front - set(needed):
            self.drop(training)

    def drop(self, training: str) -> None:
        """Removes the file of a training."""
        self._held.discard(training)
        if is_folder_name(training):
            (self.trainings / training).unlink(missing_ok=True)

    def relative(self, artefact: Path) -> str:
        """The path of an artefact from the study's folder."""
        return artefact.relative_to(self._folder).as_posix()

    def _front(self, trials: Iterable[TrialRecord]) -> tuple[TrialRecord, ...]:
        return pareto.front(tuple(trials), self._objectives).trials

    def _hypervolume(self) -> float:
        return pareto.hypervolume_of(self.front, self._objectives)

    def sweep(self, stored: StoredStudy, keeps: Callable[[Configuration], bool]) -> None:
        """Removes what processes that were killed left behind, and what left the front since.

        Args:
            stored: the study, as all its processes know it.
            keeps: whether the training of a configuration of the front is of use to others.
        """
        # Listed first: what another process begins meanwhile is then known to the database.
        artefacts, trainings = _listed(self.artefacts), _listed(self.trainings)
        running, trials = stored.claims.running(), stored.trials()
        front = self._front(trials)
        numbers = {trial.number for trial in front}
        left = [t for t in trials if t.artefact is not None and t.number not in numbers]
        if left:
            stored.forget_artefacts([trial.number for trial in left])
        kept = {run_of(t.artefact) for t in trials if t.artefact is not None and t not in left}
        digests, begun = {row.digest for row in running}, {row.training for row in running}
        useful = (t for t in front if keeps(Configuration.from_dict(t.configuration)))
        self._held = {trial.training for trial in useful}
        for path in artefacts:
            if path.name not in kept and path.name.partition("-")[0] not in digests:
                self.discard(path.name)
        for path in trainings:
            if path.name not in self._held and path.name.partition(".")[0] not in begun:
                path.unlink(missing_ok=True)


def _listed(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def run_of(artefact: Artefact) -> str:
    """The name of an artefact's folder: that of the run which made it."""
    return PurePosixPath(artefact.path).parent.name
