"""The ledger and the plan of ten million recordings, without the recordings.

    .venv/bin/python tools/scale.py > benchmarks/results/scale-DATE-MACHINE.jsonl

A table gets `--recordings` rows in commits of `--commit` rows each, as a run leaves them in its
branch. Then a process of its own reads the ledger as a run does that is resumed, and another makes
the plan of a listing of as many files, of which nine in ten are done. One JSON line gives seconds
and peak memory of both.
"""

from __future__ import annotations

import argparse
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

import numpy as np
import psutil
import pyarrow as pa

from stenopool.catalog import open_catalog
from stenopool.catalog.ids import TranscriptIds
from stenopool.catalog.ledger import Ledger
from stenopool.catalog.transcripts import transcript_schema
from stenopool.distributed.planning import cut_blocks, make_plan
from stenopool.model import FileRef
from stenopool.settings import Settings

RUN = "scale"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=int, default=10_000_000)
    parser.add_argument("--commit", type=int, default=40_960, help="rows of each commit")
    parser.add_argument("--measure", choices=sorted(MEASURES), help=argparse.SUPPRESS)
    parser.add_argument("--home", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measured(arguments)))
        return
    with tempfile.TemporaryDirectory(prefix="scale") as home:
        started = time.monotonic()
        fill(home, arguments.recordings, arguments.commit)
        filled_s = time.monotonic() - started
        words = [sys.executable, __file__, "--recordings", str(arguments.recordings)]
        found = {
            name: json.loads(
                subprocess.run(
                    [*words, "--home", home, "--measure", name],
                    check=True,
                    stdout=subprocess.PIPE,
                ).stdout
            )
            for name in MEASURES
        }
    machine = {"cores": os.cpu_count(), "memory_bytes": psutil.virtual_memory().total}
    about = {
        "case": "scale",
        "command": "tools/scale.py",
        "machine": machine,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("pyarrow", "pyiceberg", "stenopool")},
        "recordings": arguments.recordings,
        "rows_a_commit": arguments.commit,
        "filled_s": filled_s,
    }
    print(json.dumps(about | found))


def measured(arguments: argparse.Namespace) -> dict[str, float]:
    before = peak_bytes()
    started = time.monotonic()
    found = MEASURES[arguments.measure](arguments.home, arguments.recordings)
    figures = {"seconds": time.monotonic() - started, "peak_rss_bytes": peak_bytes()}
    return figures | {"rss_before_bytes": before, "found": found}


def peak_bytes() -> int:
    """The most memory that this process has had; what its parent had does not count."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def key(number: int) -> str:
    """The id of a recording: spread like a hash's digits, and made without one."""
    return f"{(number * 0x9E3779B97F4A7C15) % (1 << 64):016x}{number:016x}"


def ledger_of(home: str) -> Ledger:
    settings = Settings.from_env({"STENOPOOL_HOME": home})
    return Ledger(open_catalog(settings), open_catalog(settings).name("T"), RUN)


def fill(home: str, recordings: int, commit: int) -> None:
    ledger = ledger_of(home)
    now = datetime.now(UTC)
    for start in range(0, recordings, commit):
        numbers = range(start, min(start + commit, recordings))
        columns = {
            "transcript_id": [key(number) for number in numbers],
            "path": [path(number) for number in numbers],
            "text": ["some words that somebody said"] * len(numbers),
            "duration_s": [7.0] * len(numbers),
            "run_id": [RUN] * len(numbers),
            "transcribed_at": [now] * len(numbers),
        }
        schema = transcript_schema()
        arrays = [
            pa.array(columns[field.name], field.type)
            if field.name in columns
            else pa.nulls(len(numbers), field.type)
            for field in schema
        ]
        ledger.commit(pa.Table.from_arrays(arrays, schema=schema))


def read_ledger(home: str, recordings: int) -> int:
    done = ledger_of(home).own()
    assert len(done.ids) == done.transcribed == recordings
    return len(done.ids)


def plan(home: str, recordings: int) -> int:
    """Plan a listing of which nine in ten are done."""
    keys = (key(number) for number in range(recordings * 9 // 10))
    done = TranscriptIds(pa.array(part) for part in parts(keys, 100_000))
    made = make_plan(Listed(recordings), lambda file: file.etag, done=done)
    cuts = cut_blocks(made.references["size_bytes"].to_numpy(), 8000)
    assert sum(cuts) == len(made) == recordings - recordings * 9 // 10
    return len(made)


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


MEASURES = {"ledger": read_ledger, "plan": plan}

if __name__ == "__main__":
    main()
