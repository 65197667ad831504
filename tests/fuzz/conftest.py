"""One case of a fuzz: it ends in a result or one of our errors, soon, small, in its own folder."""

import faulthandler
import importlib
import re
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import psutil
import pytest

from automl_rec.errors import AutomlRecError
from automl_rec.registry import Registry

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
CODE = tuple({str(Path(place).resolve()) for place in [str(ROOT), sys.base_prefix, *sys.path]})
SECONDS = 20
"""No case takes a twentieth of it on an idle machine."""
GIGABYTE = 1 << 30
SECRET = "bait-that-nobody-may-read"
_STARTS = re.compile(r"os\.(exec|fork|posix_spawn|spawn|startfile|system)|subprocess\.|pickle\.")
_CONNECTS = re.compile(r"(socket\.(bind|connect|getaddrinfo|sendto)|urllib\.Request)")
_FILES = re.compile(
    r"open|os\.(chmod|link|listdir|mkdir|remove|rename|rmdir|scandir|symlink|truncate|utime)"
    r"|shutil\.\w+|sqlite3\.connect"
)
_PYTHON = re.compile(r"Traceback|<class |object at 0x|\b[A-Z]\w*(Error|Exception|Panic)\(")


class HangError(BaseException):
    """A case did not end; no handler for exceptions may swallow it."""


@dataclass
class Confinement:
    """Runs cases, each in a folder that it must not leave, and counts how they end.

    Attributes:
        bait: a file beside every case's folder that holds `SECRET`.
        ends: outcome -> cases.
    """

    bait: Path
    ends: Counter[str] = field(default_factory=Counter)
    _folder: str | None = None
    _outside: list[str] = field(default_factory=list)

    def attempt(self, folder: Path, act: Callable[[], T]) -> T | AutomlRecError:
        """What a case gives, or the error of ours that it ends in.

        Raises:
            AssertionError: it left its folder, started or connected to something, or its error
                does not speak plainly.
        """
        beside = sorted(folder.parent.iterdir())
        self._outside.clear()
        self._folder = str(folder.resolve())
        found: T | AutomlRecError
        try:
            with ended_soon(), small():
                found = act()
        except AutomlRecError as error:
            found = error
        finally:
            self._folder = None
        assert not self._outside
        assert sorted(folder.parent.iterdir()) == beside
        assert self.bait.read_text() == SECRET
        if isinstance(found, AutomlRecError):
            assert_plain(found)
        return found

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Listens to what the interpreter does; for `sys.addaudithook`."""
        if self._folder is None:
            return
        if _STARTS.match(event) or _CONNECTS.fullmatch(event):
            self._outside.append(f"{event} {arguments}")
        elif _FILES.fullmatch(event):
            named = arguments[: 1 if event == "open" else 2]
            paths = [path for path in named if isinstance(path, str | bytes | Path)]
            reads = event in {"os.listdir", "os.scandir"} or (
                event == "open" and reading(arguments)
            )
            self._outside += [
                f"{event} {path!r}" for path in paths if not self._inside(path, reads)
            ]

    def _inside(self, path: str | bytes | Path, reads: bool) -> bool:  # noqa: FBT001
        text = str(Path(path.decode() if isinstance(path, bytes) else path).absolute())
        own = text == self._folder or text.startswith(f"{self._folder}/")
        return own or (reads and text.startswith((*CODE, "/proc/", "/sys/", "/usr/")))


def reading(arguments: tuple[Any, ...]) -> bool:
    """Whether a file is opened to be read alone; arguments are path, mode and flags."""
    _, mode, flags = arguments
    if isinstance(mode, str):
        return not set(mode) & set("wax+")
    return not int(flags) & 0o1103  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC


def assert_plain(error: AutomlRecError) -> None:
    """Messages are words for people; nothing of Python shows, nor what a bait holds."""
    message = str(error)
    assert message.strip()
    assert not _PYTHON.search(message), message
    assert SECRET not in message


@contextmanager
def ended_soon() -> Iterator[None]:
    """Ends a case that hangs, and the process where even that is not heard."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise HangError(f"a case took longer than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    faulthandler.dump_traceback_later(6 * SECONDS, exit=True)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()


@contextmanager
def small() -> Iterator[None]:
    """Lets a case ask for two gigabytes of memory and no more, used or not."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    held = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (held + 2 * GIGABYTE, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.discover()


@pytest.fixture(scope="module")
def confinement(tmp_path_factory: pytest.TempPathFactory) -> Confinement:
    """A confinement of its own for a module; its cases' folders lie beside the bait."""
    bait = tmp_path_factory.mktemp("cases") / "bait.csv"
    bait.write_text(SECRET)
    made = Confinement(bait)
    # Some functions of torch import it late, and it makes itself a folder for what it compiles.
    importlib.import_module("torch._dynamo")
    sys.addaudithook(made.hear)  # for good: hooks cannot be taken away, this one sleeps
    return made
