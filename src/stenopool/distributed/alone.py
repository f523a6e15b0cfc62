"""One recording in a process of its own, with limits; whatever it does to that, it gets its rows.

The last resort for a recording whose worker died twice: here the way in which the process ends
says what is wrong with the recording, and nobody else's work is in it.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import ray

from stenopool.catalog.transcripts import part_schema
from stenopool.distributed.confining import guard_by, limit_memory
from stenopool.distributed.reading import UnitReader, failure_row
from stenopool.distributed.transcribing import Heard, Transcriber, Work, part
from stenopool.distributed.watchdog import is_overdue
from stenopool.errors import CrashedError, OutOfMemoryError, RecordingError, TimedOutError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stenopool.distributed.cluster import Layout

AT_ONCE = 64
"""Recordings that are handed to Ray at once."""

SHOWN_CHARACTERS = 300
"""Of the last words of a process that died."""

_MEMORY_WORDS = ("bad_alloc", "MemoryError", "Cannot allocate memory", "out of memory")


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the process gets.

    Attributes:
        work: as for every engine of the run.
        reader: reads the recording.
        references: the recording, one row of `REFERENCE_SCHEMA`.
    """

    work: Work
    reader: UnitReader
    references: pa.Table


def transcribed_alone(
    references: pa.Table, reader: UnitReader, work: Work, layout: Layout
) -> Iterator[pa.Table]:
    """Each recording in a process of its own, on any node; yields tables of `part_schema`.

    Args:
        references: of `REFERENCE_SCHEMA`.
        reader: reads them.
        work: for the engines.
        layout: what an engine declares.
    """
    remote = _transcribe.options(num_cpus=layout.engine_cpus, num_gpus=layout.engine_gpus)
    waiting = [references.slice(i, 1) for i in range(references.num_rows)]
    running: list[ray.ObjectRef[Any]] = []
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            task = Task(work=work, reader=reader, references=waiting.pop(0).take([0]))
            running.append(remote.remote(pickle.dumps(task)))
        done, running = ray.wait(running)
        yield from ray.get(done)


@ray.remote(max_retries=3)
def _transcribe(pickled: bytes) -> pa.Table:
    return in_process(pickled)


def in_process(pickled: bytes) -> pa.Table:
    """Do a pickled `Task` in a new process; gives a table of `part_schema` whatever happens."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answer, words = (Path(folder, name) for name in ("task", "answer", "words"))
        asked.write_bytes(pickled)
        ours, theirs = os.pipe()
        command = [sys.executable, "-m", __name__, str(asked), str(answer), str(theirs)]
        with words.open("wb") as said:
            process = subprocess.Popen(  # noqa: S603 - our own module
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, pass_fds=(theirs,)
            )
        os.close(theirs)
        overdue = True  # also where this is interrupted
        try:
            overdue = is_overdue(ours)
        finally:
            os.close(ours)
            if overdue:
                process.kill()
        code = _ended(process)
        if not overdue and code == 0:
            with pa.memory_map(str(answer)) as file:
                return pa.ipc.open_stream(file).read_all()
        task: Task = pickle.loads(pickled)  # noqa: S301 - pickled by the driver
        last = words.read_text(errors="replace").strip()
    path = task.references["path"][0].as_py()
    return failed(task, ending(path, code, last, overdue=overdue))


def _ended(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a process that has closed its pipe; it is killed if it stays."""
    try:
        return process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def ending(path: str, code: int, words: str, *, overdue: bool) -> RecordingError:
    """What the end of its process says about a recording.

    Args:
        path: of the recording.
        code: the process's exit status, or its signal below 0.
        words: what it printed.
        overdue: whether it was killed because nothing moved.
    """
    if overdue:
        return TimedOutError(f"'{path}': work on it came to no end, also when it was tried alone")
    last = words.splitlines()[-1][-SHOWN_CHARACTERS:] if words else "it left no word"
    how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    # The kernel kills with SIGKILL what takes the last memory, and nobody else does it here.
    if code == -signal.SIGKILL or any(word in words for word in _MEMORY_WORDS):
        return OutOfMemoryError(
            f"'{path}': it wants more memory than there is, also when it was tried alone "
            f"({how}: {last})"
        )
    return CrashedError(
        f"'{path}': it ends the process that works on it, also when it was tried alone "
        f"({how}: {last})"
    )


def failed(task: Task, error: RecordingError) -> pa.Table:
    """The row of a recording that could not be transcribed alone either."""
    [reference] = task.references.to_pylist()
    del reference["units_done"]
    row = part(task.work, failure_row(reference, error, 0, 0.0), Heard(), 0.0)
    return pa.Table.from_pylist([row], schema=part_schema())


def main() -> None:
    """What the process does: read the task, write the answer, and say how long it may take."""
    asked, answer, pipe = sys.argv[1:]
    task: Task = pickle.loads(Path(asked).read_bytes())  # noqa: S301 - pickled by the driver
    guard_by(int(pipe))
    if task.work.device == "cpu":
        limit_memory(task.work.memory_bytes + task.work.settings.recording_bytes)
    transcriber = Transcriber(task.work)
    with pa.OSFile(answer, "wb") as file, pa.ipc.new_stream(file, part_schema()) as stream:
        for units in task.reader(task.references):
            stream.write_table(transcriber(units))


if __name__ == "__main__":
    main()
