"""A process of some machine, told from all others."""

import os
import socket
from dataclasses import dataclass
from typing import Self

import psutil

_SAME_START = 2.0


@dataclass(frozen=True, slots=True)
class Owner:
    """A process of a machine; ``started`` (seconds since 1970) tells a reused id apart."""

    host: str
    pid: int
    started: float

    @classmethod
    def current(cls) -> Self:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

    def dead(self) -> bool:
        """Whether the process is known to have ended: it ran on this machine and does no more."""
        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            return abs(process.create_time() - self.started) > _SAME_START
        except psutil.NoSuchProcess:
            return True

    def gone(self, heartbeat: float, now: float, lease_seconds: float) -> bool:
        """Whether the process has ended, or has been silent for longer than its lease."""
        return self.dead() or now - heartbeat > lease_seconds
