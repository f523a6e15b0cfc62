r"""Measure what the two ways of sparing work on short clips do to the words, and what they spare.

Clips of known words in several lengths, spoken by espeak-ng in voices that the demo model was not
trained on, and real digits; each set is read with every clip filled up to 30 s, with shorter
contexts of several margins, and packed with several gaps. One JSON line a set and setting.

    python tools/measure_short_clips.py --digits DIGIT_RECORDINGS > short-clips.jsonl
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jiwer
import numpy as np
from numpy.typing import NDArray
from spoken_words import DEMO_VARIANTS, DIGITS, random_digits, random_voice, speak, words_of

from stenopool.asr import features, load_engine, packing
from stenopool.audio import decode_audio
from stenopool.model import SAMPLE_RATE, WINDOW_S, TranscribeOptions
from stenopool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stenopool.model import WindowResult

LENGTHS_S = ((1, 2), (2, 4), (4, 6), (6, 9))
MARGINS_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
GAPS_S = (0.5, 1.0, 2.0)

Sound = NDArray[np.float32]
Clip = tuple[Sound, str]


def main() -> None:
    """Print one line a set and setting."""
    parser = argparse.ArgumentParser(description="Measure short contexts and packing.")
    parser.add_argument("--digits", type=Path, help="a folder of files such as 7_george_3.wav")
    parser.add_argument("--clips", type=int, default=100, help="of each set")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sets = demo() | spoken(options.clips, np.random.default_rng(options.seed))
    if options.digits is not None:
        sets |= digits(options.digits, options.clips, np.random.default_rng(options.seed))
    manner = TranscribeOptions(model=options.model, language="en")
    reader = Reader(manner)
    facts = {
        "model": options.model,
        "revision": reader.revision,
        "ctranslate2": version("ctranslate2"),
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
    }
    for name, clips in sets.items():
        for setting, measured in reader.settings(clips):
            line = {"set": name, "clips": len(clips), "setting": setting, **measured, **facts}
            print(json.dumps(line), flush=True)


def demo() -> dict[str, list[Clip]]:
    """The recordings that ship with the project, but for the one of three minutes."""
    folder = Path(__file__).parents[1] / "src" / "stenopool" / "data" / "recordings"
    with (folder / "texts.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if float(row["seconds"]) <= WINDOW_S]
    return {"demo": [(decode_audio(str(folder / row["path"])), row["text"]) for row in rows]}


def spoken(count: int, random: np.random.Generator) -> dict[str, list[Clip]]:
    """Strings of digits in voices of espeak-ng, sorted by their length."""
    sets: dict[str, list[Clip]] = {f"spoken, {low:g} to {high:g} s": [] for low, high in LENGTHS_S}
    while any(len(clips) < count for clips in sets.values()):
        text = random_digits(int(random.integers(1, 26)), random)
        sound = speak(text, random_voice(DEMO_VARIANTS, random))
        for (low, high), clips in zip(LENGTHS_S, sets.values(), strict=True):
            if low <= len(sound) / SAMPLE_RATE < high and len(clips) < count:
                noise = random.standard_normal(len(sound)).astype(np.float32) * 1e-3
                clips.append((np.clip(sound * 0.7 + noise, -1, 1), words_of(text)))
    return sets


def digits(folder: Path, count: int, random: np.random.Generator) -> dict[str, list[Clip]]:
    """Real speakers: single digits, and five in a row."""
    paths = sorted(folder.glob("*.wav"))

    def clip(chosen: Sequence[Path]) -> Clip:
        said = [decode_audio(str(path)) for path in chosen]
        gap = np.zeros(SAMPLE_RATE // 5, np.float32)
        sound = np.concatenate([part for one in said for part in (one, gap)])
        return sound, " ".join(DIGITS[int(path.name[0])] for path in chosen)

    def drawn(size: int) -> list[Path]:
        return [paths[int(i)] for i in random.integers(len(paths), size=size)]

    return {
        "one digit, real": [clip(drawn(1)) for _ in range(count)],
        "five digits, real": [clip(drawn(5)) for _ in range(count)],
    }


class Reader:
    """The engine under test."""

    def __init__(self, options: TranscribeOptions) -> None:
        self._options = options
        self._engine = load_engine(options, Settings.from_env(), device="cpu", threads=1)
        self.revision = self._engine.info.revision
        self._windows = 0

    def settings(self, clips: Sequence[Clip]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every setting's name and measures."""
        yield "30 s", self._measured(clips, self._read)
        features.CONTEXT_STEP = 2  # type: ignore[misc]
        features.CONTEXT_LONGEST = features.FRAMES  # type: ignore[misc]
        for margin_s in MARGINS_S:
            features.CONTEXT_MARGIN = int(margin_s * 100)  # type: ignore[misc]
            yield f"context, {margin_s:g} s more", self._measured(clips, self._read_in_context)
        for gap_s in GAPS_S:
            packing.GAP = int(gap_s * SAMPLE_RATE)  # type: ignore[misc]
            self._windows = 0
            measured = self._measured(
                clips, lambda windows: packing.transcribe_packed(self._read, windows)
            )
            yield f"packed, gap of {gap_s:g} s", measured | {"windows": self._windows}

    def _read(self, windows: Sequence[Sound]) -> list[WindowResult]:
        self._windows += len(windows)
        return self._engine.transcribe(windows, self._options, [None] * len(windows))

    def _read_in_context(self, windows: Sequence[Sound]) -> list[WindowResult]:
        context = replace(self._options, short_clips="context")
        return self._engine.transcribe(windows, context, [None] * len(windows))

    def _measured(
        self, clips: Sequence[Clip], read: Callable[[Sequence[Sound]], list[WindowResult]]
    ) -> dict[str, Any]:
        import ctranslate2

        ctranslate2.set_random_seed(0)
        started = time.process_time()
        results = read([sound for sound, _ in clips])
        cpu_s = time.process_time() - started
        heard = [
            words_of(" ".join(segment.text for segment in result.segments)) for result in results
        ]
        texts = [text for _, text in clips]
        audio_s = sum(len(sound) for sound, _ in clips) / SAMPLE_RATE
        found = jiwer.process_words(texts, heard)
        return {
            "wer": round(found.wer, 4),
            "words": found.hits + found.substitutions + found.deletions,
            "deleted": found.deletions,
            "inserted": found.insertions,
            "audio_s": round(audio_s, 1),
            "cpu_s": round(cpu_s, 2),
        }


if __name__ == "__main__":
    main()
