"""Speed, error rate and memory of a run on this machine, beside the plain library in a loop.

`make bench` prints one JSON line for each case; redirect it to a file in `benchmarks/results/` to
keep it. Each measurement is a process of its own with a fresh home; figures are medians of `--runs`
measurements, the peer's in the same run, in turn.

    .venv/bin/python benchmarks/run.py --runs 3 > benchmarks/results/DATE-MACHINE.jsonl
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

AUDIO = Path(__file__).parents[2] / "shared" / "audio"
PATTERNS = ("*.wav", "*.flac", "*.mp3")
PACKAGES = ("av", "ctranslate2", "faster-whisper", "pocketsphinx", "pyiceberg", "ray", "stenopool")
CASES = {"demo": ("ctranslate2", "demo"), "pocketsphinx": ("pocketsphinx", "en-us")}
MEMORY_EVERY_S = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="measurements of each kind")
    parser.add_argument("--case", choices=CASES, action="append", help="only this; repeatable")
    parser.add_argument("--audio", type=Path, default=AUDIO, help="a folder with manifest.csv")
    parser.add_argument("--every", type=int, default=1, help="only every so many-th of the clips")
    parser.add_argument("--measure", nargs=2, metavar=("WHO", "CASE"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure_here(*chosen.measure, chosen.audio)))
        return
    with tempfile.TemporaryDirectory() as folder:
        audio = (
            thinned(chosen.audio, Path(folder), chosen.every) if chosen.every > 1 else chosen.audio
        )
        for case in chosen.case or CASES:
            figures = compare(case, audio, chosen.runs)
            print(json.dumps({"every": chosen.every, **figures}), flush=True)


def thinned(audio: Path, folder: Path, every: int) -> Path:
    """A folder with every so many-th clip and to all of the longer recordings."""
    rows = manifest(audio)
    clips = [path for path in rows if path.startswith("digits/")]
    paths = [path for path in rows if path not in set(clips)] + clips[::every]
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(audio / path, folder / path)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[paths[0]]))
        writer.writeheader()
        writer.writerows(rows[path] for path in paths)
    return folder


def compare(case: str, audio: Path, runs: int) -> dict[str, Any]:
    """The medians of ours and the peer's, measured in turn."""
    found: dict[str, list[dict[str, float]]] = {"stenopool": [], "peer": []}
    for _ in range(runs):
        for who, results in found.items():
            results.append(measure(who, case, audio))
    cores = os.cpu_count() or 1
    return {
        "case": case,
        "command": shlex.join(["benchmarks/run.py", *sys.argv[1:]]),
        "machine": {
            "cpu": cpu_name(),
            "cores": cores,
            "memory_bytes": psutil.virtual_memory().total,
        },
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "runs": runs,
        **{who: medians(results, cores) for who, results in found.items()},
        "speed_ratio": statistics.median(
            ours["speed"] / peer["speed"]
            for ours, peer in zip(found["stenopool"], found["peer"], strict=True)
        ),
    }


def medians(results: list[dict[str, float]], cores: int) -> dict[str, float]:
    figures = {name: statistics.median(r[name] for r in results) for name in results[0]}
    return {**figures, "speed_per_core": figures["speed"] / cores}


def measure(who: str, case: str, audio: Path) -> dict[str, float]:
    """Measure in a child process, and add the peak memory of its whole tree."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, __file__, "--audio", str(audio), "--measure", who, case]
        environment = os.environ | {"STENOPOOL_HOME": home}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as child:
            peak = PeakMemory(child.pid)
            text, _ = child.communicate()
            peak.stop()
    if child.returncode:
        raise SystemExit(f"{shlex.join(command)} ended with {child.returncode}")
    return {**json.loads(text.splitlines()[-1]), "peak_memory_bytes": peak.bytes}


class PeakMemory(threading.Thread):
    """The largest sum of proportional memory of a process and its descendants, as sampled."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self._pid = pid
        self._end = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._end.wait(MEMORY_EVERY_S):
            self.bytes = max(self.bytes, tree_memory(self._pid))

    def stop(self) -> None:
        self._end.set()
        self.join()


def tree_memory(pid: int) -> int:
    """Proportional set size of a process tree: pages that several share count once (bytes)."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            total += process.memory_full_info().pss
    except psutil.Error:  # a process ended while it was read; the next sample has the rest
        return total
    return total


def measure_here(who: str, case: str, audio: Path) -> dict[str, float]:
    """One measurement in this process: seconds of audio, wall clock, start-up and error rates."""
    engine, model = CASES[case]
    started = time.perf_counter()
    work: Callable[[], dict[str, str | None]]
    work = ours(engine, model, audio) if who == "stenopool" else peer(engine, audio)
    start_up_s = time.perf_counter() - started
    started = time.perf_counter()
    texts = work()
    wall_s = time.perf_counter() - started
    known = manifest(audio)
    audio_s = sum(float(row["seconds"]) for row in known.values())
    return {
        "audio_s": audio_s,
        "wall_s": wall_s,
        "start_up_s": start_up_s,
        "speed": audio_s / wall_s,
        "wer_digits": error_rate(known, texts, "digits/"),
        "wer_sentences": error_rate(known, texts, "ljspeech/"),
    }


def ours(engine: str, model: str, audio: Path) -> Callable[[], dict[str, str | None]]:
    """A run, with Ray started beforehand; Ray's start counts as start-up."""
    import stenopool
    from stenopool.distributed.cluster import start_ray

    start_ray(None)

    def work() -> dict[str, str | None]:
        stenopool.transcribe(
            str(audio), to="BENCH", patterns=PATTERNS, engine=engine, model=model, language="en"
        )
        return dict(stenopool.sql("SELECT path, text FROM bench").fetchall())

    return work


def peer(engine: str, audio: Path) -> Callable[[], dict[str, str | None]]:
    """The library that the engine is made of, one file after another, on all cores."""
    return peer_whisper(audio) if engine == "ctranslate2" else peer_pocketsphinx(audio)


def peer_whisper(audio: Path) -> Callable[[], dict[str, str | None]]:
    from faster_whisper import WhisperModel

    from stenopool.asr.models import demo_folder

    cores = os.cpu_count() or 1
    model = WhisperModel(str(demo_folder()), device="cpu", compute_type="int8", cpu_threads=cores)

    def text(path: str) -> str:
        segments, _ = model.transcribe(str(audio / path), language="en", beam_size=1)
        return " ".join(segment.text.strip() for segment in segments)

    return lambda: {path: text(path) for path in manifest(audio)}


def peer_pocketsphinx(audio: Path) -> Callable[[], dict[str, str | None]]:
    import numpy as np
    from pocketsphinx import Decoder

    from stenopool.audio import decode_audio

    decoder = Decoder(samprate=16000, loglevel="FATAL")

    def text(path: str) -> str:
        samples = (decode_audio(audio / path) * 32768).astype(np.int16)
        decoder.start_utt()
        decoder.process_raw(samples.tobytes(), full_utt=True)
        decoder.end_utt()
        return decoder.hyp().hypstr if decoder.hyp() else ""

    return lambda: {path: text(path) for path in manifest(audio)}


def manifest(audio: Path) -> dict[str, dict[str, str]]:
    with (audio / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def error_rate(known: dict[str, dict[str, str]], texts: dict[str, str | None], below: str) -> float:
    """Word error rate over the recordings of one folder, case and punctuation aside."""
    import jiwer

    from stenopool.cli.demo import normalised

    paths = [path for path in known if path.startswith(below)]
    said = [normalised(known[path]["transcript"]) for path in paths]
    return float(jiwer.wer(said, [normalised(texts[path] or "") for path in paths]))


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
