"""What keeping freed memory does for CTranslate2's encoder on a CPU; one JSON line a setting.

    python benchmarks/encoder.py > benchmarks/results/encoder-DATE-MACHINE.jsonl

CPU milliseconds to encode a window of 30 s on one thread, int8: with glibc's own limits, with
freed memory kept (`keep_freed_memory`), and with that and one heap for all threads. Settings take
turns, each in a process of its own; figures are medians over the rounds of medians over windows.
`same_numbers` says whether every setting gives the same encoding to the last bit. Weights are
random and of the true shape, but for the demo's. It needs torch.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from engine import environment, write_known_models

SETTINGS: dict[str, tuple[bool, dict[str, str]]] = {
    "glibc's limits": (False, {}),
    "freed memory kept": (True, {}),
    "freed memory kept, one heap": (True, {"MALLOC_ARENA_MAX": "1"}),
}
"""Whether freed memory is kept, and variables of the process."""

WINDOWS = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", action="append", help="repeatable; demo, tiny, base")
    parser.add_argument("--runs", type=int, default=5, help="rounds")
    parser.add_argument("--measure", nargs=2, metavar=("FOLDER", "KEEP"))
    chosen = parser.parse_args()
    if chosen.measure:
        folder, keep = chosen.measure
        print(json.dumps(measure_here(folder, keep=keep == "True")))
        return
    with tempfile.TemporaryDirectory() as place:
        for shape in chosen.shape or ("demo", "tiny", "base"):
            for line in compare(shape, model_of(shape, Path(place)), chosen.runs):
                print(json.dumps({**line, **environment("encoder.py")}), flush=True)


def model_of(shape: str, place: Path) -> Path:
    from stenopool.asr.models import demo_folder

    if shape == "demo":
        return demo_folder()
    files, _ = write_known_models(place / shape, shape)["clips"]
    return files["ctranslate2"]


def compare(shape: str, model: Path, runs: int) -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SETTINGS}
    for number in range(runs):
        order = list(SETTINGS) if number % 2 == 0 else list(reversed(SETTINGS))
        for name in order:
            keep, variables = SETTINGS[name]
            command = [sys.executable, __file__, "--measure", str(model), str(keep)]
            done = subprocess.run(
                command, env=os.environ | variables, capture_output=True, text=True, check=True
            )
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    same = len({one["sha256"] for results in found.values() for one in results}) == 1
    return [
        {
            "shape": shape,
            "setting": name,
            "runs": runs,
            "cpu_ms": statistics.median(one["cpu_ms"] for one in results),
            "all_cpu_ms": [one["cpu_ms"] for one in results],
            "memory_bytes": statistics.median(one["memory_bytes"] for one in results),
            "same_numbers": same,
            "load": os.getloadavg()[0],
        }
        for name, results in found.items()
    ]


def measure_here(model: str, *, keep: bool) -> dict[str, Any]:
    """CPU time of a window in this process, by way of a thread as in the engine."""
    from ctranslate2 import StorageView
    from faster_whisper import WhisperModel

    from stenopool.asr.ctranslate2 import keep_freed_memory

    if keep:
        keep_freed_memory()
    loaded = WhisperModel(model, device="cpu", compute_type="int8", cpu_threads=1, num_workers=1)
    mels = loaded.model.n_mels
    window = np.random.default_rng(0).standard_normal((1, mels, 3000)).astype(np.float32)

    def encode() -> bytes:
        return np.array(loaded.model.encode(StorageView.from_array(window))).tobytes()

    with ThreadPoolExecutor(1) as pool:
        digest = hashlib.sha256(pool.submit(encode).result()).hexdigest()  # and memory is warm
        spent = []
        for _ in range(WINDOWS):
            started = time.process_time()
            pool.submit(encode).result()
            spent.append((time.process_time() - started) * 1000)
    held = psutil.Process().memory_info().rss
    return {"cpu_ms": statistics.median(spent), "sha256": digest, "memory_bytes": held}


if __name__ == "__main__":
    main()
