"""The processes of clusters on this machine, found by a mark in their environment.

A node's processes run in several sessions and groups, and outlive their parents. What they all
have is the environment that their first process started with.
"""

from __future__ import annotations

import os
from contextlib import suppress

import psutil

from stenopool import processes

MARK = "STENOPOOL_NODE"
"""Variable whose value is a cluster's marker, a dot and a node's number."""

GONE_S = 5.0
"""How long a killed process may take to be gone (s)."""


def identity(pid: int | None = None) -> tuple[int, float]:
    """A process's id and start time, which no later process has together; by default one's own."""
    process = psutil.Process(pid)
    return process.pid, process.create_time()


def is_running(process: tuple[int, float] | None) -> bool:
    """Whether a process of that identity is still there; one that has ended but waits is not."""
    return process is not None and processes.is_running(*process)


def marked(marker: str, number: int | None = None) -> list[psutil.Process]:
    """Processes of a cluster, or of one of its nodes; never this process itself.

    Args:
        marker: of the cluster.
        number: of the node; None for all.
    """
    found = []
    for process in psutil.process_iter():
        # A process that belongs to somebody else cannot be read, and is none of ours.
        with suppress(psutil.Error):
            value = process.environ().get(MARK, "")
            mine = value == f"{marker}.{number}" if number else value.startswith(f"{marker}.")
            if mine and process.pid != os.getpid():
                found.append(process)
    return found


def sweep(marker: str, number: int | None = None) -> int:
    """Kill what is left of a cluster or a node, again until nothing is; gives how many it were."""
    killed = 0
    while left := marked(marker, number):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        killed += len(left)
        _, alive = psutil.wait_procs(left, timeout=GONE_S)
        if alive:
            break  # in the kernel's hands: it was killed, and cannot be killed more
    return killed
