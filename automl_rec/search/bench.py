"""The bench of a worker: what stays between trials, and one trial run on it.

Every engine's workers use it; configurations come in and measurements go out as plain data.
"""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from automl_rec import export
from automl_rec.data import Prepared
from automl_rec.errors import (
    DivergenceError,
    ExportError,
    Infeasible,
    NotResumableError,
    StorageError,
)
from automl_rec.evaluation import Evaluated, Outcome, evaluate
from automl_rec.objectives.objective import Objective
from automl_rec.registry import Registry
from automl_rec.search.reason import reason_of, shorten
from automl_rec.space.configuration import Configuration, require_allowed
from automl_rec.training.progress import Progress

Message: TypeAlias = Mapping[str, Any]
Report: TypeAlias = Callable[[Progress], bool]


@dataclass(frozen=True, slots=True)
class Bench:
    """What stays between trials."""

    data: Prepared
    objectives: tuple[Objective, ...]
    registry: Registry
    artefacts: Path
    trainings: Path

    @classmethod
    def of(cls, setup: Message) -> "Bench":
        """The bench that the fields of an `engine.Setup` describe.

        Raises:
            DataError: the prepared data cannot be opened.
            PluginError: a plugin is broken in a way that no trial can go round.
        """
        return cls(
            Prepared.open(setup["data"]),
            tuple(Objective(**fields) for fields in setup["objectives"]),
            Registry.discover(without=setup["without"]),
            Path(setup["artefacts"]),
            Path(setup["trainings"]),
        )

    def attempt(self, job: Message, report: Report) -> dict[str, Any]:
        """Runs a trial, whatever comes of it.

        Args:
            job: the fields of an `engine.Job`.
            report: told of every validation; False ends the training.

        Returns:
            ``"type"``, ``"finished"`` or ``"failed"``, with the fields of `engine.Finished` or
            `engine.Failed`.
        """
        try:
            return {"type": "finished", **self._run(job, report)}
        except Infeasible as error:
            return _failed("infeasible", shorten(str(error)))
        except (ExportError, StorageError) as error:
            return _failed("storage", shorten(str(error)))
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything; the study goes on
            traceback.print_exc()
            return _failed("error", reason_of(error))

    def _run(self, job: Message, report: Report) -> dict[str, Any]:
        """Runs a trial and writes its model.

        Raises:
            Infeasible: the configuration cannot be built on these data.
            DivergenceError: training left the finite numbers.
            ExportError: the model could not be written.
            StorageError: the training could not be written.
        """
        configuration = Configuration.from_dict(job["configuration"])
        require_allowed(configuration, self.registry)
        evaluated = self._evaluate(configuration, job, report)
        found = _plain(evaluated.outcome)
        if evaluated.served is not None:
            path = self.artefacts / job["run"] / export.MODEL
            export.write_model(path, evaluated.served, configuration)
            found |= {
                "artefact": str(path),
                "artefact_sha256": export.sha256(path),
                "artefact_bytes": path.stat().st_size,
            }
        return found

    def _evaluate(self, configuration: Configuration, job: Message, report: Report) -> Evaluated:
        """Goes on from the training file, or anew where that is of no use."""
        file = self.trainings / job["training"]
        resumed = file.exists()
        try:
            return self._evaluate_from(file, configuration, job, report)
        except (Infeasible, DivergenceError):
            raise
        except Exception as error:
            # It may be damaged, or of another version of a plugin; where it could not be written
            # again, it stays as it was.
            unwritten = isinstance(error, StorageError) and not isinstance(error, NotResumableError)
            if unwritten or not resumed:
                raise
            traceback.print_exc()
            file.unlink(missing_ok=True)
        return self._evaluate_from(file, configuration, job, report)

    def _evaluate_from(
        self, file: Path, configuration: Configuration, job: Message, report: Report
    ) -> Evaluated:
        return evaluate(
            configuration,
            self.data,
            self.objectives,
            self.registry,
            seed=job["seed"],
            report=report,
            seconds=job["seconds"],
            checkpoint=file,
            checkpoint_share=CHECKPOINT_SHARE,
            keep=job["keep"],
        )


CHECKPOINT_SHARE = 0.05
"""Of a trial's time, at most, goes into writing its training file."""


def _failed(how: str, reason: str) -> dict[str, Any]:
    return {"type": "failed", "how": how, "reason": reason}


def _plain(outcome: Outcome) -> dict[str, Any]:
    measured = outcome.measurements.items()
    return {
        "measurements": {name: (found.value, found.standard_error) for name, found in measured},
        "train_seconds": outcome.train_seconds,
        "stopped": outcome.stopped,
        "curve": [(p.epoch, p.quality, p.standard_error, p.seconds) for p in outcome.curve],
    }
