import mmap
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from automl_rec.search.memory import held_bytes, own_bytes

MEGABYTE = 1_000_000
HOLDING = """
import mmap, subprocess, sys
own, mapped, child = sys.argv[1:]
held = bytearray(b"1") * (int(own) * 1_000_000)
if mapped:
    file = open(mapped, "rb")
    pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    sum(pages[::4096])
if int(child):
    process = subprocess.Popen(
        [sys.executable, "-c", sys.orig_argv[2], child, "", "0"], stdin=sys.stdin,
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
print("ready", flush=True)
sys.stdin.readline()
"""


@contextmanager
def holding(own: int, mapped: str = "", child: int = 0) -> Iterator[psutil.Process]:
    """A process that holds so many megabytes, and those of a file, and so has a child."""
    popen = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(own), mapped, str(child)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with popen:
        assert popen.stdout is not None
        assert popen.stdout.readline() == "ready\n"
        yield psutil.Process(popen.pid)
        popen.communicate("\n\n")


@pytest.fixture(scope="module")
def plain() -> int:
    """What the interpreter holds itself."""
    with holding(0) as process:
        return own_bytes(process)


def test_what_a_process_holds_is_what_it_wrote(plain: int) -> None:
    with holding(200) as process:
        held = own_bytes(process) - plain
        assert held == pytest.approx(200 * MEGABYTE, rel=0.05)
        assert held_bytes([process.pid]) == {process.pid: own_bytes(process)}


@pytest.mark.skipif(sys.platform != "linux", reason="pages of files are told apart on Linux alone")
def test_pages_of_files_do_not_count(plain: int, tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"1" * (mmap.PAGESIZE * 25_000))
    with holding(0, mapped=str(file)) as process:
        assert process.memory_info().rss - plain > 100 * MEGABYTE
        assert own_bytes(process) - plain < 10 * MEGABYTE


def test_what_a_process_started_counts_as_its_own(plain: int) -> None:
    with holding(100, child=150) as one, holding(50) as other:
        held = held_bytes([one.pid, other.pid])
        assert held[one.pid] - 2 * plain == pytest.approx(250 * MEGABYTE, rel=0.1)
        assert held[other.pid] - plain == pytest.approx(50 * MEGABYTE, rel=0.1)


def test_a_process_that_is_gone_holds_nothing() -> None:
    with holding(0) as process:
        pass
    assert held_bytes([process.pid]) == {process.pid: 0}
