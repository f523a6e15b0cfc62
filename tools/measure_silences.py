"""Measure how long a silence inside a window may be before a model stops at it.

Pairs of spoken digits with silence between them, each pair one window; a JSON line a length and
level of noise, with how many windows gave both digits, fewer words, or more.

    python tools/measure_silences.py --digits DIGIT_RECORDINGS > silences.jsonl
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
from spoken_words import DIGITS

from stenopool.asr import load_engine
from stenopool.audio import decode_audio
from stenopool.audio.windows import PAD_AFTER, PAD_BEFORE
from stenopool.model import SAMPLE_RATE, TranscribeOptions
from stenopool.settings import Settings

SILENCES_S = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 8.0, 12.0, 20.0)
NOISES = (0.0, 1e-3)
"""Root mean square of the noise under all of a window: none, and -60 dB."""


def main() -> None:
    """Print one line a silence and noise."""
    parser = argparse.ArgumentParser(description="Measure silences inside windows.")
    parser.add_argument("--digits", type=Path, required=True, help="files such as 7_george_3.wav")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--model", default="demo")
    chosen = parser.parse_args()
    options = TranscribeOptions(model=chosen.model, language="en")
    engine = load_engine(options, Settings.from_env(), device="cpu", threads=os.cpu_count() or 1)
    random = np.random.default_rng(1)
    files = np.array(sorted(chosen.digits.glob("*.wav")))
    pairs = random.choice(files, (chosen.pairs, 2))
    sounds = [[decode_audio(path) for path in pair] for pair in pairs]
    known = [[DIGITS[int(path.name[0])] for path in pair] for pair in pairs]
    for noise in NOISES:
        for silence_s in SILENCES_S:
            between = np.zeros(round(silence_s * SAMPLE_RATE))
            windows = []
            for first, second in sounds:
                plain = np.concatenate([first, between, second])
                window = np.pad(plain, (PAD_BEFORE, PAD_AFTER))
                heard = window + noise * random.standard_normal(len(window))
                windows.append(heard.astype(np.float32))
            results = engine.transcribe(windows, options, ["en"] * len(windows))
            said = [" ".join(s.text for s in result.segments).split() for result in results]
            figures = {
                "model": chosen.model,
                "silence_s": silence_s,
                "noise": noise,
                "pairs": len(known),
                "right": sum(one == other for one, other in zip(said, known, strict=True)),
                "fewer": sum(len(one) < 2 for one in said),
                "more": sum(len(one) > 2 for one in said),
            }
            print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
