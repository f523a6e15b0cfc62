"""How much memory a process holds while it does the same again and again."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable

POINTS = 50
"""How often a process is looked at."""


def held_mb() -> float:
    """Resident memory of this process (MB) with no garbage in it."""
    gc.collect()
    return psutil.Process().memory_info().rss / 1e6


def while_doing(steps: Iterable[object], count: int) -> list[float]:
    """Take so many steps; give the memory (MB) after each fiftieth part of them."""
    taken, found = iter(steps), []
    for number in range(1, count + 1):
        next(taken)
        if number * POINTS // count > (number - 1) * POINTS // count:
            found.append(held_mb())
    return found


def in_fresh_process(module: str, *words: str) -> list[float]:
    """Run a module of the tests in a process of its own; gives the figures that it prints."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def growth_mb(figures: list[float]) -> float:
    """How much more is held at the end than after a fifth of the work (MB), by their medians.

    In the first fifth pools and caches fill.
    """
    tenth = len(figures) // 10
    early, late = figures[2 * tenth : 3 * tenth], figures[-tenth:]
    return sorted(late)[tenth // 2] - sorted(early)[tenth // 2]
