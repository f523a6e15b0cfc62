"""Which process did something, and whether it may still be at it."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessId:
    """A process that no later one can be taken for.

    Attributes:
        host: name of its machine.
        pid: its number there.
        started: when it began (seconds since 1970).
    """

    host: str
    pid: int
    started: float

    @classmethod
    def current(cls) -> ProcessId:
        """This process."""
        process = psutil.Process()
        return cls(host=socket.gethostname(), pid=os.getpid(), started=process.create_time())

    @property
    def is_here(self) -> bool:
        """Whether it is, or was, on this machine; others' processes cannot be seen from here."""
        return self.host == socket.gethostname()

    def is_alive(self) -> bool:
        """Whether it is there; meant for one of this machine."""
        return is_running(self.pid, self.started)


def is_running(pid: int, started: float) -> bool:
    """Whether a process of this machine is still there; one that has ended but waits is not.

    Args:
        pid: its number.
        started: when it began (seconds since 1970), as `psutil` said it.
    """
    try:
        found = psutil.Process(pid)
        same = abs(found.create_time() - started) < 0.1
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
