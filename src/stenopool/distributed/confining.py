"""What keeps one recording from taking a worker or a node with it: limits of time and of memory.

A worker whose recording takes too long is killed, and one that wants too much memory is refused
it. Either way the driver finds out which recording it was; see `stenopool.distributed.passes`.
"""

from __future__ import annotations

import atexit
import os
import resource
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final

from stenopool.distributed import watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator

BEAT_S: Final = 0.2
"""A watchdog is told no more often than this that something moved (s)."""


class Guard:
    """Says to a watchdog how long this process may take; the watchdog kills it afterwards.

    Args:
        pipe: where the watchdog listens; None starts one.
    """

    def __init__(self, pipe: int | None = None) -> None:
        self._pipe = self._start() if pipe is None else pipe
        self._seconds = 0.0
        self._told_at = 0.0

    def _start(self) -> int:
        command = [sys.executable, "-I", "-S", watchdog.__file__, str(os.getpid())]
        # It lives as long as this process: its input ends with it.
        self._watchdog = subprocess.Popen(  # noqa: S603 - our own file
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert self._watchdog.stdin is not None  # noqa: S101 - asked for above
        atexit.register(self._watchdog.communicate)  # closes its input, which is its end
        return self._watchdog.stdin.fileno()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Kill this process if the block takes longer; a block inside another one ends it."""
        self._tell(seconds)
        try:
            yield
        finally:
            self._tell(0.0)

    def beat(self) -> None:
        """Say that something moved: the block has all of its time again."""
        if self._seconds and time.monotonic() - self._told_at > BEAT_S:
            self._tell(self._seconds)

    def _tell(self, seconds: float) -> None:
        self._seconds, self._told_at = seconds, time.monotonic()
        os.write(self._pipe, f"{seconds:.3f}\n".encode())


_GIVEN: list[Guard] = []


def guard_by(pipe: int) -> None:
    """Let somebody else watch this process, who listens at the pipe."""
    _GIVEN.append(Guard(pipe))


@cache
def guard() -> Guard:
    """The guard of this process."""
    return _GIVEN[-1] if _GIVEN else Guard()


def limit_memory(growth_bytes: int) -> None:
    """Let this process take so much more memory than it has; then allocating fails in it.

    The first call in a process counts. What is shared, read from files or lies on a GPU does
    not. Linux alone can do this; elsewhere nothing is limited.
    """
    if sys.platform != "linux":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY:
        wanted = data_bytes() + growth_bytes
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


@contextmanager
def limited_memory(growth_bytes: int) -> Iterator[None]:
    """The same for as long as the block lasts, in a process that others use afterwards."""
    former = resource.getrlimit(resource.RLIMIT_DATA)
    limit_memory(growth_bytes)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, former)


def data_bytes() -> int:
    """What counts against the limit in this process now (bytes)."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - no path of a user
        line = next(line for line in status if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024
