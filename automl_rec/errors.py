"""Every error a user can meet.

    AutomlRecError
    ├── SpaceError            the space file: where, what was required, what was received
    ├── PluginError           a plugin that cannot be loaded, or two that claim one name
    ├── DataError             the interactions: file, row, column
    ├── StudyMismatchError    a stored study that was made from something else
    ├── Infeasible            a configuration that is refused before it costs anything
    ├── DivergenceError       a training whose loss or weights stopped being finite
    ├── StudyFailedError      a study of which nothing came
    ├── StorageError          the database
    │   ├── NotStoredError    a study or a trial that the database does not hold
    │   └── NotResumableError a training file that is damaged, or of another training
    └── ExportError           artefacts, written or read

A message is one sentence of fact and one of remedy. The command line prints it and exits with
``exit_status``; a traceback is only ever shown for our own bugs.
"""


class AutomlRecError(Exception):
    """An expected failure with a message for the user."""

    exit_status = 2


class SpaceError(AutomlRecError):
    """The search space or a configuration file asks for something that cannot be."""


class PluginError(AutomlRecError):
    """A plugin cannot be loaded, or breaks the contract of its kind."""


class DataError(AutomlRecError):
    """The interactions cannot be read, or nothing can be learned from them."""


class StudyMismatchError(AutomlRecError):
    """A stored study does not belong to the space, data or objectives it was opened with."""


class Infeasible(AutomlRecError):  # noqa: N818 - a verdict on a configuration, not a fault
    """A configuration that cannot be built, or breaks a bound whatever it learns."""


class DivergenceError(AutomlRecError):
    """A training left the finite numbers."""

    exit_status = 1


class StudyFailedError(AutomlRecError):
    """Every trial failed, or the workers cannot start."""

    exit_status = 1


class StorageError(AutomlRecError):
    """The study's database cannot be read or written."""

    exit_status = 1


class NotStoredError(StorageError):
    """A study or a trial is asked for that is not there: the name is wrong, not the database."""

    exit_status = 2


class NotResumableError(StorageError):
    """A training file holds nothing that this training could go on from."""


class ExportError(AutomlRecError):
    """An artefact cannot be written or read."""


DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What content that nobody wrote so may raise where it is read and used."""


def reason_of(error: Exception) -> str:
    """The last line of what was raised, to stand in a message; its key alone where one is absent.

    >>> reason_of(KeyError("plan"))
    'plan is missing'
    """
    if isinstance(error, KeyError):
        return f"{error.args[0] if error.args else 'a field'} is missing"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "its parts contradict each other"
