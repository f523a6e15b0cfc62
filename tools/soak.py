"""Breaks runs at random for as long as told, and counts what was lost and what came twice.

    make soak MINUTES=10
    .venv/bin/python tools/soak.py --minutes 10 > benchmarks/results/soak-DATE-MACHINE.jsonl

Each run transcribes the same recordings into a new table with the engine made for tests, slowed
down; meanwhile processes of the run are killed or stopped, chosen by the seed: the driver, engines,
reading tasks, Ray's own (raylet, GCS), or all at once as when the power goes. The command is given
again until the run ends well. Then its table is compared row by row with that of a run that nobody
disturbed. One JSON line says what was done.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np
import psutil

BIN = Path(sys.executable).parent
MODEL = "fake:slow=0.1"
KINDS = {
    "engine": ("MapWorker", signal.SIGKILL),
    "stopped engine": ("MapWorker", signal.SIGSTOP),
    "reader": ("ReadRecordings", signal.SIGKILL),
    "idle worker": ("ray::IDLE", signal.SIGKILL),
    "raylet": ("raylet/raylet", signal.SIGKILL),
    "gcs": ("gcs/gcs_server", signal.SIGKILL),
}
"""What is killed: by a mark in the command line, and with which signal."""

WEIGHTS = {
    "engine": 10, "stopped engine": 2, "reader": 4, "idle worker": 2, "driver": 3, "power": 1,
    "raylet": 1, "gcs": 1,
}  # fmt: skip
DEADLY = ("driver", "power", "raylet", "gcs")
"""What ends the run; done only to one whose engines are up, or none would ever get so far."""

PAUSE_S = (0.3, 3.0)
"""Between two kills."""

STUCK_S = 240
"""A run that does not end for so long, undisturbed, has failed the test."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--clips", type=int, default=150, help="recordings of each run")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="soak") as folder:
        found = Soak(Path(folder), arguments.seed).run(arguments.minutes * 60, arguments.clips)
    machine = {"cores": os.cpu_count(), "memory_bytes": psutil.virtual_memory().total}
    versions = {name: version(name) for name in ("ray", "pyiceberg", "stenopool")}
    command = f"tools/soak.py --minutes {arguments.minutes:g} --seed {arguments.seed}"
    about = {"case": "soak", "command": command, "machine": machine}
    about |= {"python": platform.python_version(), "versions": versions}
    print(json.dumps(about | found))
    sys.exit(bool(found["rows_lost"] or found["rows_doubled"] or found["rows_wrong"]))


class Soak:
    """The broken runs of one home.

    Args:
        folder: for recordings and home.
        seed: decides who is killed when.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._recordings = folder / "recordings"
        self._home = folder / "home"
        self._random = random.Random(seed)
        self._kills: Counter[str] = Counter()

    def run(self, seconds: float, clips: int) -> dict[str, object]:
        """Break runs for so long; gives what was done and what came of it."""
        make_clips(self._recordings, clips)
        assert self._start("CALM").wait(STUCK_S) == 0
        calm = self._rows("CALM")
        counts: Counter[str] = Counter()
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            table = f"T{counts['runs']}"
            counts["runs"] += 1
            counts["restarts"] += self._until_done(table, ends)
            rows = self._rows(table)
            counts["rows"] += len(rows)
            paths = Counter(path for path, _ in rows)
            counts["lost"] += len({path for path, _ in calm} - set(paths))
            counts["doubled"] += sum(paths.values()) - len(paths)
            counts["wrong"] += len(set(rows) - set(calm))
            done = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
            print(f"{self._kills.total()} kills, {done}", file=sys.stderr, flush=True)
        return {
            "runs": counts["runs"],
            "recordings_a_run": clips,
            "kills": self._kills.total(),
            "kills_by_kind": dict(self._kills),
            "restarts": counts["restarts"],
            "rows": counts["rows"],
            "rows_lost": counts["lost"],
            "rows_doubled": counts["doubled"],
            "rows_wrong": counts["wrong"],
        }

    def _until_done(self, table: str, ends: float) -> int:
        """Break a run and give its command again until it ends well; gives how often again."""
        restarts = -1
        code = -1
        while code != 0:
            restarts += 1
            process = self._start(table)
            broken_until = time.monotonic() + STUCK_S / 2
            while process.poll() is None and time.monotonic() < min(ends, broken_until):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(self._random.uniform(*PAUSE_S))
                if process.poll() is None:
                    self._break(process)
            code = process.wait(STUCK_S)
            sweep(self._home)
        return restarts

    def _start(self, table: str) -> subprocess.Popen[bytes]:
        environment = {"STENOPOOL_HOME": str(self._home), "STENOPOOL_STALL_S": "3"}
        words = ("transcribe", self._recordings, "--to", table, "--engine", "fake")
        log = (self._home.parent / f"{table}.log").open("ab")
        return subprocess.Popen(
            [BIN / "stenopool", *map(str, words), "--model", MODEL, "--no-vad"],
            env=os.environ | environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def _break(self, driver: subprocess.Popen[bytes]) -> None:
        """Kill or stop something that belongs to the run."""
        kind = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        ours = processes(self._home)
        if kind in DEADLY and not any("MapWorker" in command_of(process) for process in ours):
            return
        if kind == "driver":
            driver.kill()
        elif kind == "power":
            driver.kill()
            for process in ours:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        else:
            mark, how = KINDS[kind]
            chosen = sorted((p for p in ours if mark in command_of(p)), key=lambda p: p.pid)
            if not chosen:
                return
            with suppress(psutil.NoSuchProcess):
                self._random.choice(chosen).send_signal(how)
        self._kills[kind] += 1

    def _rows(self, table: str) -> list[tuple[str, str]]:
        done = subprocess.run(
            [BIN / "stenopool", "sql", f"SELECT path, text FROM {table}", "--format", "json"],
            env=os.environ | {"STENOPOOL_HOME": str(self._home)},
            capture_output=True,
            check=True,
            text=True,
        )
        return [(row["path"], row["text"]) for row in json.loads(done.stdout)]


def processes(home: Path) -> list[psutil.Process]:
    """The processes of the runs of a home, whoever is their parent by now."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("STENOPOOL_HOME") == str(home):
                found.append(process)
    return found


def command_of(process: psutil.Process) -> str:
    """A process's command line; empty for one that has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def sweep(home: Path) -> None:
    """Kill what a run has left, as a machine does that starts again."""
    while left := processes(home):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=10)


def make_clips(folder: Path, count: int) -> None:
    """Write so many different recordings of half a second."""
    folder.mkdir(parents=True)
    for number in range(count):
        noise = np.random.default_rng(number).normal(0, 4000, 8000).astype(np.int16)
        with av.open(str(folder / f"{number:04}.wav"), "w", format="wav") as container:
            stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
            frame = av.AudioFrame.from_ndarray(noise.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate = 16000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
