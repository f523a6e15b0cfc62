"""Real recordings as windows, and the options that each engine is tested with."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np

import stenopool
from stenopool.model import SAMPLE_RATE, WINDOW_S, TranscribeOptions

DEMO = Path(stenopool.__file__).parent / "data" / "recordings"
AUDIO = Path(__file__).parents[2] / "../shared/audio"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

OPTIONS = {
    "ctranslate2": TranscribeOptions(engine="ctranslate2", model="demo"),
    "torch": TranscribeOptions(engine="torch", model="demo"),
    "pocketsphinx": TranscribeOptions(engine="pocketsphinx"),
    "fake": TranscribeOptions(engine="fake", model="fake"),
}


@cache
def clip(path: str) -> np.ndarray:
    """A recording of the shared folder: float32, shape (n,), mono, 16 kHz."""
    return _decoded(AUDIO / path)


def demo_clips() -> list[tuple[np.ndarray, str]]:
    """The demo recordings that fit into a window, each with what it says."""
    with (DEMO / "texts.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if float(row["seconds"]) <= WINDOW_S]
    return [(_decoded(DEMO / row["path"]), row["text"]) for row in rows]


def _decoded(path: Path) -> np.ndarray:
    import av

    resampler = av.AudioResampler("fltp", "mono", SAMPLE_RATE)
    with av.open(str(path)) as container:
        frames = [g for f in container.decode(audio=0) for g in resampler.resample(f)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def with_silence(samples: np.ndarray) -> np.ndarray:
    """0.2 s of silence before and 0.3 s after, as VAD leaves around speech."""
    return np.pad(samples, (3200, 4800))


def digit(number: int, speaker: str = "jackson", take: int = 0) -> np.ndarray:
    """A spoken digit with silence around it."""
    return with_silence(clip(f"digits/{number}_{speaker}_{take}.wav"))


def text_of(result) -> str:
    return " ".join(segment.text for segment in result.segments)
