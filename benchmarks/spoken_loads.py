"""Recordings of known lengths for benchmarks, spoken by espeak-ng: 300 clips, and an hour.

The words do not matter where texts are known beforehand (see `known_texts.py`); that somebody
speaks does, because silence is found and left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

from spoken_words import DEMO_VARIANTS, TEMPLATES, fill, random_voice, speak

SAMPLE_RATE = 16_000

CLIP_MEAN_S = 5.39 * 3600 / 2703
"""Of LibriSpeech dev-clean: 5.39 h in 2,703 clips."""

PHRASES = 240
"""Spoken once and put together anew for each recording."""

Sound = np.ndarray[tuple[int], np.dtype[np.float32]]


def write_clips(folder: Path, count: int) -> list[Path]:
    """Write FLAC files with the lengths of LibriSpeech dev-clean: half under 5.9 s, none over 30 s.

    Args:
        folder: there, and empty.
        count: of files.
    """
    random = np.random.default_rng(0)
    drawn_s = random.lognormal(np.log(5.9), 0.63, count)
    lengths_s = np.clip(drawn_s * (CLIP_MEAN_S / drawn_s.mean()), 1.45, 30.0)
    phrases = spoken_phrases(random)
    paths = [folder / f"clip-{number:04}.flac" for number in range(count)]
    for path, length_s in zip(paths, lengths_s, strict=True):
        write_flac(path, speech(phrases, length_s, random, pauses_s=(0.1, 0.4)))
    return paths


def write_long(path: Path, length_s: float) -> Path:
    """Write one FLAC file: phrase after phrase, with pauses of up to 1.5 s; gives its path."""
    random = np.random.default_rng(1)
    write_flac(path, speech(spoken_phrases(random), length_s, random, pauses_s=(0.2, 1.5)))
    return path


def spoken_phrases(random: np.random.Generator) -> list[Sound]:
    """Phrases in many voices: float32, range [-1, 1], 16 kHz."""
    return [
        speak(fill(str(random.choice(TEMPLATES)), random), random_voice(DEMO_VARIANTS, random))
        for _ in range(PHRASES)
    ]


def speech(
    phrases: list[Sound],
    length_s: float,
    random: np.random.Generator,
    *,
    pauses_s: tuple[float, float],
) -> Sound:
    """Phrases in any order with pauses between, cut off at the length."""
    wanted = round(length_s * SAMPLE_RATE)
    parts: list[Sound] = []
    held = 0
    while held < wanted:
        pause = np.zeros(round(random.uniform(*pauses_s) * SAMPLE_RATE), np.float32)
        parts += [phrases[int(random.integers(len(phrases)))], pause]
        held += len(parts[-2]) + len(pause)
    noise = random.standard_normal(wanted).astype(np.float32) * 1e-3
    return np.clip(np.concatenate(parts)[:wanted] * 0.7 + noise, -1, 1)


def write_flac(path: Path, samples: Sound) -> None:
    """Write mono sound at 16 kHz."""
    pcm = np.round(samples * 32767).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        for start in range(0, len(pcm), SAMPLE_RATE * 60):
            block = pcm[None, start : start + SAMPLE_RATE * 60]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "s16p", "mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
