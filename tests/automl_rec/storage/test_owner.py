"""A process is told from one that has ended, and from one that got its number later."""

import socket
import subprocess
import sys
from dataclasses import replace

import psutil

from automl_rec.storage.owner import Owner

HERE = Owner.current()
ELSEWHERE = Owner("another-machine", 1, 0.0)


def test_this_process_lives() -> None:
    assert Owner.current() == HERE
    assert not HERE.dead()


def test_a_process_that_ended_is_dead_even_before_its_parent_looks() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = Owner(socket.gethostname(), process.pid, psutil.Process(process.pid).create_time())
    alive = owner.dead()
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    unreaped = owner.dead()
    process.communicate()
    assert [alive, unreaped, owner.dead()] == [False, True, True]


def test_a_reused_number_is_another_process() -> None:
    assert replace(HERE, started=HERE.started - 10).dead()


def test_a_process_elsewhere_is_judged_by_its_silence() -> None:
    assert not ELSEWHERE.dead()
    assert not ELSEWHERE.gone(heartbeat=100.0, now=160.0, lease_seconds=60.0)
    assert ELSEWHERE.gone(heartbeat=100.0, now=160.5, lease_seconds=60.0)


def test_a_process_here_that_ended_is_gone_at_once() -> None:
    ended = replace(HERE, started=0.0)
    assert ended.gone(heartbeat=100.0, now=100.0, lease_seconds=60.0)
