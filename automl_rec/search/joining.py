"""A process that joins a study by hand, on any machine: checked first, then it takes trials."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from automl_rec.data import Prepared, prepare
from automl_rec.errors import StudyMismatchError
from automl_rec.evaluation import require_measurable
from automl_rec.registry import Registry
from automl_rec.search.events import Listener
from automl_rec.search.local import LocalEngine, default_workers
from automl_rec.search.pricing import Pricing
from automl_rec.search.session import DRAIN_SECONDS, Session, plugin_versions, pricer
from automl_rec.search.study import LOGS, RUNS, make_folder, place_of, unmake_folders
from automl_rec.space.checker import check, read_space
from automl_rec.space.space import Space
from automl_rec.storage.records import Manifest
from automl_rec.storage.repository import Repository


def join(
    study: str | Path,
    *,
    storage: str | None = None,
    out: Path | str = RUNS,
    space: Path | None = None,
    workers: int | None = None,
    drain_seconds: float = DRAIN_SECONDS,
    without: Sequence[str] = (),
    listeners: Sequence[Listener] = (),
    registry: Registry | None = None,
) -> None:
    """Runs trials of a study until it ends, or until the process is told to end.

    Args:
        study: its name, or its folder.
        storage: database URL; the SQLite file in the study's folder if None.
        out: folder that holds the folders of studies: models of the front lie there for whoever
            exports, if the machines share it.
        space: the space file as this machine has it, where the data lie elsewhere than on the
            machine that searches.
        workers: how many trials run at once; one a processor if None.
        drain_seconds: how long trials may still run after SIGTERM; what is left then waits for
            another process, with its training so far.
        without: plugins to leave out.
        listeners: hear what happens.
        registry: the installed components; discovered if None.

    Raises:
        StudyMismatchError: the plugins, the data or the space here are not the study's.
        SpaceError: the space cannot be read with the plugins installed here.
        DataError: the data cannot be read.
        StorageError: there is no such study, or the database or the disk refuses.
        StudyFailedError: the workers cannot start.
        KeyboardInterrupt: Ctrl-C; the trials wait for another process.
    """
    registry = registry or Registry.discover(without=without)
    folder, url = place_of(study, storage, out)
    with contextlib.ExitStack() as stack:
        repository = stack.enter_context(Repository.open(url, create=False))
        stored = repository.study(folder.resolve().name)
        manifest = stored.manifest
        check_plugins(manifest, registry)
        space_here = _space(manifest, space, registry)
        undo = stack.enter_context(contextlib.ExitStack())
        undo.callback(unmake_folders, make_folder(folder))
        resources = space_here.resources
        at_once = workers or default_workers(resources.cpus)
        engine = LocalEngine(at_once, folder / LOGS, resources)
        stack.callback(engine.close)
        data = prepare(space_here.data)
        check_data(manifest, data)
        require_measurable(data, manifest.objectives)
        undo.pop_all()
        Session(
            space=space_here,
            objectives=manifest.objectives,
            registry=registry,
            data=data,
            manifest=manifest,
            stored=stored,
            engine=engine,
            pricing=Pricing(pricer(data, registry), manifest.objectives),
            folder=folder,
            budget=stored.budget(),
            role="worker",
            listeners=tuple(listeners),
            without=tuple(without),
            drain_seconds=drain_seconds,
        ).run()


def check_plugins(manifest: Manifest, registry: Registry) -> None:
    """Refuses a machine whose plugins are not the study's; others may be installed beside them.

    Raises:
        StudyMismatchError: a plugin is missing or of another version.
    """
    here = plugin_versions(registry)
    differences = [
        f"{name} {version} (here: {here.get(name, 'not installed')})"
        for name, version in manifest.plugins.items()
        if here.get(name) != version
    ]
    if differences:
        wanted = " ".join(f"{name}=={version}" for name, version in manifest.plugins.items())
        raise StudyMismatchError(
            f"The study {manifest.name!r} needs {', '.join(differences)}. "
            f"Install what it ran with (pip install {wanted}), or search it with these plugins "
            f"first, which makes them the study's."
        )


def check_data(manifest: Manifest, data: Prepared) -> None:
    """Refuses data that are not the study's.

    Raises:
        StudyMismatchError: the digests differ.
    """
    if data.digest != manifest.data_digest:
        raise StudyMismatchError(
            f"The study {manifest.name!r} has data of digest {manifest.data_digest[:12]}, those "
            f"here have {data.digest[:12]}. Copy the study's files to where the space names them, "
            f"or name this machine's copy of the space with --space SPACE.yaml."
        )


def _space(manifest: Manifest, path: Path | None, registry: Registry) -> Space:
    """The study's space, from its own text or from a file that says the same.

    Raises:
        StudyMismatchError: the file says something else.
        SpaceError: it cannot be read.
    """
    if path is None:
        named = Path(manifest.data.get("folder", ".")) / f"{manifest.name}.yaml"
        space = check(manifest.space_text, named, registry)
    else:
        space = read_space(path, registry)
    if space.digest != manifest.space_digest:
        raise StudyMismatchError(
            f"The study {manifest.name!r} has another space than {space.path}. "
            f"Give the file that it is searched with."
        )
    return space
