"""The ledger and the plan of ten million recordings, without the recordings.

    .venv/bin/python tools/scale.py > benchmarks/results/scale-DATE-MACHINE.jsonl

A table gets `--recordings` rows in commits of `--commit` rows each, as a run leaves them in its
branch. Then each of these is done in a process of its own:

* `ledger`: the ledger is read as by a run that is resumed, `--runs` times;
* `plan`: a listing of as many files is planned of which nothing is done, with the keys of a run,
  and cut into Ray's reading tasks for a thousand engines (Ray is imported and not started);
* `plan_again`: the same listing, of which nine in ten are done.

One JSON line gives seconds and memory of each: `peak_bytes` is the most that the process had at any
time, `imports_bytes` what it had when all was imported and nothing done, `own_bytes` the
difference.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median

import numpy as np
import psutil
import pyarrow as pa

from stenopool.catalog import open_catalog
from stenopool.catalog.ids import TranscriptIds
from stenopool.catalog.ledger import Ledger
from stenopool.catalog.transcripts import transcript_schema
from stenopool.distributed.planning import make_plan
from stenopool.model import FileRef, ModelInfo, TranscribeOptions, transcript_id
from stenopool.settings import Settings

RUN = "scale"
ENGINES = 1000
MODEL = ModelInfo(name="large-v3-turbo", revision="0" * 40)
OPTIONS = TranscribeOptions(model="large-v3-turbo")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=int, default=10_000_000)
    parser.add_argument("--commit", type=int, default=4096, help="rows of each commit")
    parser.add_argument("--runs", type=int, default=3, help="times that the ledger is read")
    parser.add_argument("--measure", choices=sorted(MEASURES), help=argparse.SUPPRESS)
    parser.add_argument("--home", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measured(arguments)))
        return
    with tempfile.TemporaryDirectory(prefix="scale") as home:
        filled = fill(home, arguments.recordings, arguments.commit)
        found = {name: in_process(name, home, arguments) for name in MEASURES}
    machine = {"cores": os.cpu_count(), "memory_bytes": psutil.virtual_memory().total}
    words = f"--recordings {arguments.recordings} --commit {arguments.commit}"
    about = {
        "case": "scale",
        "command": f"tools/scale.py {words} --runs {arguments.runs}",
        "machine": machine | {"cpu": cpu(), "load": psutil.getloadavg()},
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("pyarrow", "pyiceberg", "ray", "stenopool")},
        "recordings": arguments.recordings,
        "rows_a_commit": arguments.commit,
    }
    print(json.dumps(about | filled | found))


def in_process(name: str, home: str, arguments: argparse.Namespace) -> dict[str, object]:
    """Measure in a process of its own; medians where it is done more than once."""
    words = [sys.executable, __file__, "--recordings", str(arguments.recordings)]
    runs = [
        json.loads(
            subprocess.run(
                [*words, "--home", home, "--measure", name], check=True, stdout=subprocess.PIPE
            ).stdout
        )
        for _ in range(arguments.runs if name == "ledger" else 1)
    ]
    print(f"{name}: {runs}", file=sys.stderr, flush=True)
    return {"runs": len(runs)} | {key: median(run[key] for run in runs) for key in runs[0]}


def measured(arguments: argparse.Namespace) -> dict[str, float]:
    measure = MEASURES[arguments.measure]
    for module in IMPORTED[arguments.measure]:
        importlib.import_module(module)
    imports = memory_bytes("VmRSS")
    started = time.monotonic()
    found = measure(arguments.home, arguments.recordings)
    figures = {"seconds": time.monotonic() - started, "imports_bytes": imports}
    peak = memory_bytes("VmHWM")
    return figures | {"peak_bytes": peak, "own_bytes": peak - imports} | found


def memory_bytes(which: str) -> int:
    """Of this process: what it has (VmRSS), or the most that it had (VmHWM)."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(which))


def cpu() -> str:
    with open("/proc/cpuinfo", encoding="ascii") as lines:
        return next(line.split(": ")[1].strip() for line in lines if line.startswith("model name"))


def key(number: int) -> str:
    """The id of a recording: spread like a hash's digits, and made without one."""
    return f"{(number * 0x9E3779B97F4A7C15) % (1 << 64):016x}{number:016x}"


def ledger_of(home: str) -> Ledger:
    settings = Settings.from_env({"STENOPOOL_HOME": home})
    return Ledger(open_catalog(settings), open_catalog(settings).name("T"), RUN)


def fill(home: str, recordings: int, commit: int) -> dict[str, float]:
    """Commit so many rows; says how long a commit took at first and in the end."""
    ledger = ledger_of(home)
    started, spent = time.monotonic(), []
    for start in range(0, recordings, commit):
        rows = transcripts(range(start, min(start + commit, recordings)))
        began = time.monotonic()
        ledger.commit(rows)
        spent.append(time.monotonic() - began)
        if len(spent) % 100 == 0:
            print(f"{len(spent)} commits, the last in {spent[-1]:.2f} s", file=sys.stderr)
    return {
        "commits": len(spent),
        "filled_s": time.monotonic() - started,
        "first_commits_s": median(spent[:20]),
        "last_commits_s": median(spent[-20:]),
    }


def transcripts(numbers: range) -> pa.Table:
    columns = {
        "transcript_id": [key(number) for number in numbers],
        "path": [path(number) for number in numbers],
        "text": ["some words that somebody said"] * len(numbers),
        "duration_s": [7.0] * len(numbers),
        "run_id": [RUN] * len(numbers),
        "transcribed_at": [datetime.now(UTC)] * len(numbers),
    }
    schema = transcript_schema()
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(len(numbers), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def read_ledger(home: str, recordings: int) -> dict[str, int]:
    done = ledger_of(home).own()
    assert len(done.ids) == done.transcribed == recordings
    return {"rows": len(done.ids)}


def plan(home: str, recordings: int) -> dict[str, float]:
    """Plan a listing of which nothing is done, and cut it into reading tasks."""
    from stenopool.distributed.references import RecordingReferences

    started = time.monotonic()
    made = make_plan(Listed(recordings), run_key)
    planned_s, before = time.monotonic() - started, memory_bytes("VmRSS")
    planned = {"planned_s": planned_s, "planned_peak_bytes": memory_bytes("VmHWM")}
    blocks = RecordingReferences(made.references, tasks=8 * ENGINES)
    cut_s = time.monotonic() - started - planned_s
    tasks = blocks.get_read_tasks(1)
    assert sum(task.metadata.num_rows for task in tasks) == recordings
    return planned | {
        "plan_bytes": made.references.nbytes,
        "cut_s": cut_s,
        "tasks": len(tasks),
        "tasks_s": time.monotonic() - started - planned_s - cut_s,
        "tasks_bytes": memory_bytes("VmRSS") - before,
    }


def run_key(file: FileRef) -> str:
    return transcript_id(f"@A.B.CALLS/{file.path}", file, MODEL, OPTIONS)


def plan_again(home: str, recordings: int) -> dict[str, int]:
    """Plan a listing of which nine in ten are done."""
    keys = (key(number) for number in range(recordings * 9 // 10))
    done = TranscriptIds(pa.array(part) for part in parts(keys, 100_000))
    made = make_plan(Listed(recordings), lambda file: file.etag, done=done)
    assert len(made) == recordings - recordings * 9 // 10
    return {"planned": len(made)}


def parts(keys: Iterator[str], size: int) -> Iterator[list[str]]:
    while part := [key for _, key in zip(range(size), keys, strict=False)]:
        yield part


def path(number: int) -> str:
    return f"calls/2026/{number // 1000:06}/{number:010}.flac"


class Listed:
    """A source of so many files, with lengths of a heavy tail."""

    def __init__(self, count: int) -> None:
        self._count = count

    def list(self) -> Iterator[FileRef]:
        random = np.random.default_rng(0)
        for start in range(0, self._count, 10_000):
            sizes = (random.lognormal(12, 1.5, 10_000)).astype(np.int64).tolist()
            for number in range(start, min(start + 10_000, self._count)):
                size = sizes[number - start]
                yield FileRef(path=path(number), size_bytes=size, etag=key(number))


MEASURES = {"ledger": read_ledger, "plan": plan, "plan_again": plan_again}
IMPORTED = {
    "ledger": ("pyiceberg.catalog.sql", "pyiceberg.io.pyarrow", "pyiceberg.io.fsspec"),
    "plan": ("ray.data",),
    "plan_again": (),
}
"""What a measure would import on its way."""

if __name__ == "__main__":
    main()
