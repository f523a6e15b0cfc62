"""What a person sees while a run is under way: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from stenopool.cli import console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stenopool.distributed.run import Progress as RunProgress

PLAIN_EVERY_S = 10.0
"""Seconds between two plain lines."""


@contextmanager
def watched() -> Iterator[Callable[[RunProgress], None]]:
    """A function to hand to a run as `on_progress`, for as long as the block lasts."""
    if console.is_interactive():
        with _bar() as bar:
            yield BarReporter(bar)
    else:
        yield LineReporter()


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A function to call after each of so many steps; a person sees a bar meanwhile."""
    if not console.is_interactive():
        yield lambda: None
        return
    with _bar() as bar:
        task = bar.add_task(what, total=total)

        def step() -> None:
            bar.advance(task)
            done = int(bar.tasks[0].completed)
            bar.update(task, description=f"{done:,} of {total:,} {what}")

        yield step


def _bar() -> Progress:
    columns = (SpinnerColumn(), BarColumn(bar_width=24), TextColumn("{task.description}"))
    return Progress(*columns, console=console.err, transient=True)


class BarReporter:
    """Shows a run as one bar that fills by bytes, since a long recording is more work."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("listing", total=None)

    def __call__(self, progress: RunProgress) -> None:
        """Take the newest state."""
        total = progress.total_bytes or None
        completed = progress.done_bytes if total else 0
        text = describe(progress)
        self._bar.update(self._task, total=total, completed=completed, description=text)


class LineReporter:
    """Shows a run as a line at each new phase and at the first rows, and now and then between."""

    def __init__(self) -> None:
        self._step = ("", False)
        self._told_at = 0.0

    def __call__(self, progress: RunProgress) -> None:
        """Take the newest state."""
        now = time.monotonic()
        if progress.phase == "ended":
            return
        step = (progress.phase, progress.done_bytes > 0)
        if step != self._step or now - self._told_at >= PLAIN_EVERY_S:
            self._step, self._told_at = step, now
            console.tell(describe(progress))


def describe(progress: RunProgress) -> str:
    """One line: recordings, hours of audio, speed, time left, failures."""
    run = progress.run
    if progress.phase == "listing":
        return f"listing: {console.plural(run.listed, 'recording')}"
    if progress.phase == "starting":
        resumed = f", {progress.resumed:,} done before the interruption" if progress.resumed else ""
        start = "; starting engines" if progress.total else ""
        return (
            f"{progress.total:,} of {console.plural(run.listed, 'recording')} to do{resumed}{start}"
        )
    if progress.phase != "transcribing":
        return progress.phase
    if not progress.done_bytes:
        return f"engines are starting for {console.plural(progress.total, 'recording')}"
    parts = [
        f"{run.recordings - progress.resumed:,}/{progress.total:,} recordings",
        f"{console.clock(run.audio_s)} of audio",
        f"{run.speed:.1f} × real time",
        f"{left(progress)} left",
    ]
    if run.failed:
        parts.append(f"{run.failed:,} failed")
    return ", ".join(parts)


def left(progress: RunProgress) -> str:
    """The time left, from the bytes done since the engines started."""
    todo = progress.total_bytes - progress.done_bytes
    return console.clock(progress.transcribing_s * todo / progress.done_bytes)
