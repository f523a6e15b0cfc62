"""Loads a model, or reads clips with it, again and again; prints the memory held meanwhile.

python -m asr.repeating loads|clips ENGINE MODEL HOME COUNT
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import numpy as np

from asr.clips import DIGITS, clip
from memory import while_doing
from stenopool.asr import load_engine
from stenopool.model import TranscribeOptions
from stenopool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

SPEAKERS = ("george", "jackson", "lucas", "nicolas")


def loads(options: TranscribeOptions, settings: Settings) -> Iterator[None]:
    """A load, a clip and an unload for each step."""
    while True:
        engine = load_engine(options, settings, device="cpu", threads=1)
        assert engine.transcribe([sound(7)], options, ["en"])[0].segments
        del engine
        yield


def clips(options: TranscribeOptions, settings: Settings) -> Iterator[None]:
    """A clip for each step, in batches as the engine likes them, words and language asked for."""
    engine = load_engine(options, settings, device="cpu", threads=2)
    number = 0
    while True:
        batch = [sound(number + n) for n in range(engine.max_batch)]
        number += len(batch)
        assert len(engine.transcribe(batch, options, [None] * len(batch))) == len(batch)
        yield from [None] * len(batch)


def sound(number: int) -> np.ndarray:
    """One of two thousand digits, each with a pause of its own length behind it."""
    take, digit, speaker = number // 40 % 50, number % 10, SPEAKERS[number // 10 % 4]
    pause = 160 * (number % 97)
    # Read anew: two thousand that are kept would look like a leak of 58 MB.
    samples = clip.__wrapped__(f"digits/{digit}_{speaker}_{take}.wav")
    return np.pad(samples, (1_600, 1_600 + pause))


if __name__ == "__main__":
    what, engine, model, home, count = sys.argv[1:]
    assert len(DIGITS) == 10
    options = TranscribeOptions(engine=engine, model=model, word_timestamps=True)
    settings = Settings.from_env({"STENOPOOL_HOME": home})
    steps = {"loads": loads, "clips": clips}[what](options, settings)
    print(json.dumps(while_doing(steps, int(count))))  # noqa: T201
