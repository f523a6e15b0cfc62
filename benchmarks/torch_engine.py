"""The `torch` engine on a GPU, beside Transformers: needs torch, transformers and a GPU, no more.

    python benchmarks/torch_engine.py > benchmarks/results/torch-DATE-CARD.jsonl

One JSON line a case. Weights are random and of the true shape, texts known beforehand (see
`known_texts.py`): every text must equal the known one, and `texts_equal` says how many did.
Figures are medians of `--runs`; loading and warming up are told apart.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from known_texts import SHAPES, write_models

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import torch_parts

from stenopool.asr import torch_engine
from stenopool.model import SAMPLE_RATE, WINDOW_S, TranscribeOptions
from stenopool.settings import Settings

TOKENS = {"clips": 25, "full": 100}
"""Tokens of a text, timestamps and end among them, by load."""

LIMITS = {("large-v3", "clips"): 1490.0, ("large-v3", "full"): 3189.0}
"""Times real time that an H200 allows by arithmetic: 790 TFLOP/s, 4.3 TB/s, nothing overlapped."""

PIPELINE_BATCH = 30
GENERATE_BATCH = 64

Window = np.ndarray[tuple[int], np.dtype[np.float32]]


@dataclass(frozen=True)
class Load:
    """Windows, a model that is on disk, and what it says of each."""

    name: str
    windows: list[Window]
    folder: Path
    text: str

    @property
    def audio_s(self) -> float:
        return sum(map(len, self.windows)) / SAMPLE_RATE

    def part(self, count: int) -> Load:
        """So many windows of all lengths."""
        step = max(len(self.windows) // count, 1)
        return Load(self.name, self.windows[::step][:count], self.folder, self.text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="large-v3")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--clips", type=int, default=2703, help="as many as LibriSpeech dev-clean")
    parser.add_argument("--full", type=int, default=1024, help="windows of 30 s")
    parser.add_argument("--pipeline-clips", type=int, default=90)
    parser.add_argument("--generate-clips", type=int, default=256)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--only", action="append", choices=("parts", "ours", "pipeline", "generate")
    )
    chosen = parser.parse_args()
    wanted = chosen.only or ("ours", "pipeline", "generate", "parts")
    with tempfile.TemporaryDirectory() as folder:
        models = write_models(Path(folder), SHAPES[chosen.shape], TOKENS, chosen.device)
        loads = [
            Load("clips", clips(chosen.clips), *models["clips"]),
            Load("full", full_windows(chosen.full), *models["full"]),
        ]
        settings = Settings.from_env({"STENOPOOL_HOME": folder})
        for load in loads:
            if "ours" in wanted:
                report(chosen, load, ours(load, settings, chosen))
            if "pipeline" in wanted and load.name == "clips":
                part = load.part(chosen.pipeline_clips)
                report(chosen, part, pipeline(part, chosen))
            if "generate" in wanted:
                part = load.part(chosen.generate_clips)
                report(chosen, part, generate(part, chosen))
        if "parts" in wanted:
            for figures in torch_parts.measure(loads[0].folder, chosen.device):
                print(json.dumps({"case": "part", **figures, **environment()}), flush=True)


def clips(count: int) -> list[Window]:
    """Lengths as in LibriSpeech dev-clean: 5.39 h in 2,703 clips, half under 5.9 s.

    Its few clips over 30 s are cut to a window.
    """
    random = np.random.default_rng(0)
    drawn_s = random.lognormal(np.log(5.9), 0.63, count)
    lengths_s = np.clip(drawn_s * (5.39 * 3600 / 2703 / drawn_s.mean()), 1.45, WINDOW_S)
    return [_sound(random, length_s) for length_s in lengths_s]


def full_windows(count: int) -> list[Window]:
    random = np.random.default_rng(1)
    return [_sound(random, WINDOW_S) for _ in range(count)]


_BASE = np.random.default_rng(2).standard_normal(90 * SAMPLE_RATE).astype(np.float32) * 0.05


def _sound(random: np.random.Generator, length_s: float) -> Window:
    samples = int(length_s * SAMPLE_RATE)
    start = int(random.integers(0, len(_BASE) - samples))
    return _BASE[start : start + samples].copy()


def ours(load: Load, settings: Settings, chosen: argparse.Namespace) -> dict[str, Any]:
    options = TranscribeOptions(engine="torch", model=str(load.folder), language="en")
    engine, load_s = timed(lambda: torch_engine.load(options, settings, chosen.device))
    # As a run does: windows of like length share a batch.
    windows = sorted(load.windows, key=len)

    def work() -> list[str]:
        found = []
        for start in range(0, len(windows), engine.max_batch):
            batch = windows[start : start + engine.max_batch]
            found += engine.transcribe(batch, options, ["en"] * len(batch))
        return [" ".join(segment.text for segment in result.segments) for result in found]

    figures = measured(work, load, chosen.runs)
    return {"engine": "stenopool torch", "load_s": load_s, "max_batch": engine.max_batch, **figures}


def pipeline(load: Load, chosen: argparse.Namespace) -> dict[str, Any]:
    """As the guide calls it, over arrays in memory: what decoding files costs is left out."""
    from transformers import pipeline as make

    model, tokenizer, extractor = peer(load, chosen.device)
    dtype = torch.float16 if chosen.device == "cuda" else torch.float32
    recognise = make(
        "automatic-speech-recognition",
        model=model,
        tokenizer=tokenizer,
        feature_extractor=extractor,
        dtype=dtype,
        device=chosen.device,
        chunk_length_s=30,
        batch_size=PIPELINE_BATCH,
    )

    def work() -> list[str]:
        audio = [{"raw": window, "sampling_rate": SAMPLE_RATE} for window in load.windows]
        found = recognise(
            audio,
            return_timestamps=True,
            generate_kwargs={"language": "english", "max_new_tokens": 128},
        )
        return [result["text"].strip() for result in found]

    return {"engine": "transformers pipeline", **measured(work, load, chosen.runs)}


def generate(load: Load, chosen: argparse.Namespace) -> dict[str, Any]:
    """Transformers done well: sorted batches, spectrograms on the device, no chunking."""
    model, tokenizer, extractor = peer(load, chosen.device)
    windows = sorted(load.windows, key=len)

    def work() -> list[str]:
        texts: list[str] = []
        for start in range(0, len(windows), GENERATE_BATCH):
            batch = windows[start : start + GENERATE_BATCH]
            features = extractor(
                batch, sampling_rate=SAMPLE_RATE, return_tensors="pt", device=chosen.device
            ).input_features.to(chosen.device, model.dtype)
            with torch.inference_mode():
                ids = model.generate(
                    features, language="en", max_new_tokens=128, return_timestamps=True
                )
            texts += tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [text.strip() for text in texts]

    return {
        "engine": "transformers generate",
        "batch": GENERATE_BATCH,
        **measured(work, load, chosen.runs),
    }


def peer(load: Load, device: str) -> tuple[Any, Any, Any]:
    """Transformers' model, tokenizer and feature extractor."""
    from transformers import (
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizerFast,
    )

    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    model = WhisperForConditionalGeneration.from_pretrained(
        load.folder,
        dtype=torch.float16 if device == "cuda" else torch.float32,
        low_cpu_mem_usage=True,
        use_safetensors=True,
    ).to(device)
    tokenizer = WhisperTokenizerFast(
        tokenizer_file=str(load.folder / "tokenizer.json"), pad_token="<|endoftext|>"
    )
    mels = model.config.num_mel_bins
    return model, tokenizer, WhisperFeatureExtractor(feature_size=mels)


def measured(work: Callable[[], list[str]], load: Load, runs: int) -> dict[str, Any]:
    """Run once to warm up, then as often as asked; counts the texts that are the known one."""
    on_gpu = torch.cuda.is_available()
    texts, first_s = timed(work)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    walls_s = []
    for _ in range(runs):
        texts, wall_s = timed(work)
        walls_s.append(wall_s)
    wall_s = statistics.median(walls_s)
    return {
        "windows": len(load.windows),
        "audio_s": load.audio_s,
        "first_s": first_s,
        "walls_s": walls_s,
        "speed": load.audio_s / wall_s,
        "windows_per_s": len(load.windows) / wall_s,
        "tokens_per_s": len(load.windows) * TOKENS[load.name] / wall_s,
        "texts_equal": sum(text == load.text for text in texts),
        "peak_gpu_bytes": torch.cuda.max_memory_reserved() if on_gpu else None,
    }


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    found = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return found, time.perf_counter() - started


def report(chosen: argparse.Namespace, load: Load, figures: dict[str, Any]) -> None:
    limit = LIMITS.get((chosen.shape, load.name))
    share = {"share_of_h200_limit": figures["speed"] / limit} if limit else {}
    print(
        json.dumps(
            {
                "case": load.name,
                "shape": chosen.shape,
                "weights": "random, texts known",
                "tokens_per_text": TOKENS[load.name],
                **figures,
                **share,
                **environment(),
            }
        ),
        flush=True,
    )
    gc.collect()
    if chosen.device == "cuda":
        torch.cuda.empty_cache()


def environment() -> dict[str, Any]:
    """What the figures were taken with."""
    packages: Sequence[str] = ("torch", "transformers", "triton")
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except ImportError:
            continue
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    return {
        "command": shlex.join(["benchmarks/torch_engine.py", *sys.argv[1:]]),
        "card": card,
        "driver": driver(),
        "versions": found,
    }


def driver() -> str | None:
    query = ["nvidia-smi", "--query-gpu=driver_version,clocks.sm", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


if __name__ == "__main__":
    main()
