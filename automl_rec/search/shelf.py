"""The front as it stands, and the artefacts of its trials on disk."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from automl_rec import pareto
from automl_rec.objectives.objective import Objective
from automl_rec.storage.records import Artefact, TrialRecord


class Shelf:
    """Keeps the front; a trial that leaves it takes its artefact from the disk.

    Args:
        folder: artefacts, one folder a run.
        objectives: of the study.
        trials: recorded before; artefacts of none on the front are removed.
    """

    def __init__(
        self, folder: Path, objectives: Sequence[Objective], trials: Iterable[TrialRecord]
    ) -> None:
        self._folder, self._objectives = folder, tuple(objectives)
        self.front = self._front(trials)
        self.hypervolume = self._hypervolume()
        self._sweep()

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
        shutil.rmtree(self._folder / run, ignore_errors=True)

    def relative(self, artefact: Path) -> str:
        """The path of an artefact from the study's folder."""
        return artefact.relative_to(self._folder.parent).as_posix()

    def _front(self, trials: Iterable[TrialRecord]) -> tuple[TrialRecord, ...]:
        return pareto.front(tuple(trials), self._objectives).trials

    def _hypervolume(self) -> float:
        return pareto.hypervolume_of(self.front, self._objectives)

    def _sweep(self) -> None:
        """Removes what a run that was killed left behind."""
        kept = {run_of(member.artefact) for member in self.front if member.artefact is not None}
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)


def run_of(artefact: Artefact) -> str:
    """The name of an artefact's folder: that of the run which made it."""
    return PurePosixPath(artefact.path).parent.name
