r"""Measure the demo model as it ships: CTranslate2 int8 on the CPU through faster-whisper, greedy.

    python tools/measure_demo_model.py --model src/stenopool/data/demo_model \
        --recordings src/stenopool/data/recordings --digits DIGIT_RECORDINGS

Prints one line of JSON a measure. Word error rates are fractions over all words of a set.
"""

import argparse
import csv
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
from numpy.typing import NDArray
from spoken_words import DIGITS, SAMPLE_RATE_HZ

Samples = NDArray[np.float32]
Clip = tuple[Samples, str]
MODES: dict[str, dict[str, Any]] = {
    "timestamps": {"language": "en", "without_timestamps": False},
    "no timestamps": {"language": "en", "without_timestamps": True},
    "language detected": {"language": None, "without_timestamps": False},
    "silence cut out first": {"language": "en", "without_timestamps": False, "vad_filter": True},
}

log = logging.getLogger("measure")


def main() -> None:
    """Print every measure."""
    parser = argparse.ArgumentParser(description="Measure Stenopool's demo model.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--recordings", type=Path)
    parser.add_argument("--digits", type=Path)
    parser.add_argument(
        "--clips", type=int, default=200, help="at most so many single digits a set"
    )
    parser.add_argument("--show", action="store_true", help="print what was read wrongly")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("faster_whisper").setLevel(logging.ERROR)
    reader = Reader(options.model, show=options.show)
    if options.recordings:
        measure_recordings(reader, options.recordings)
    if options.digits:
        measure_digits(reader, options.digits, options.clips)
    measure_other_sounds(reader)


class Reader:
    """The model under test."""

    def __init__(self, folder: Path, *, show: bool) -> None:
        from faster_whisper import WhisperModel

        self._model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)
        self._show = show

    def read(self, samples: Samples, **mode: Any) -> list[Any]:  # noqa: ANN401
        """Return the segments that greedy decoding gives, with no second try."""
        segments, _ = self._model.transcribe(
            samples, beam_size=1, temperature=0.0, condition_on_previous_text=False, **mode
        )
        return list(segments)

    def error_rate(self, clips: list[Clip], mode: dict[str, Any]) -> float:
        """Return the word error rate over clips."""
        texts = [text for _, text in clips]
        read = [
            " ".join("".join(s.text for s in self.read(sound, **mode)).split())
            for sound, _ in clips
        ]
        for wanted, got in zip(texts, read, strict=True):
            if self._show and wanted != got:
                log.info("  wanted %s\n  read   %s", wanted, got)
        return float(jiwer.wer(texts, read))


def measure_recordings(reader: Reader, folder: Path) -> None:
    """Print the error rate on the demo recordings, a mode at a time, a format at a time."""
    sets: dict[str, list[Clip]] = defaultdict(list)
    with (folder / "texts.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            clip = (_decode(folder / row["path"]), row["text"])
            long = float(row["seconds"]) > 60
            sets["three minutes" if long else row["codec"]].append(clip)
    for name, mode in MODES.items():
        rates = {codec: reader.error_rate(clips, mode) for codec, clips in sets.items()}
        words = {codec: _words(clips) for codec, clips in sets.items()}
        total = sum(rates[codec] * words[codec] for codec in sets) / sum(words.values())
        _report(f"demo recordings, {name}", all=total, **rates)


def measure_digits(reader: Reader, folder: Path, count: int) -> None:
    """Print the error rates on real digits: single, with silence around, and joined."""
    rng = np.random.default_rng(1)
    paths = sorted(folder.glob("*.wav"))
    held_out = [p for p in paths if int(p.stem.rsplit("_", 1)[1]) < 5]
    single = _digits(_sample(held_out, count, rng))
    every = _digits(_sample(paths, count, rng))
    padded = [(_around(sound, 0.2, 0.3), text) for sound, text in single]
    joined = list(_strings(_digits(held_out), 20, rng))
    sets: dict[str, list[Clip]] = {
        "held-out digits, nothing around": single,
        "held-out digits, silence around": padded,
        "digits of all takes, nothing around": every,
        "20 to 29 s of held-out digits": joined,
    }
    for name, clips in sets.items():
        modes = ("timestamps", "no timestamps")
        rates = {mode: reader.error_rate(clips, MODES[mode]) for mode in modes}
        _report(name, words=_words(clips), **rates)


def measure_other_sounds(reader: Reader) -> None:
    """Print what is read in sounds that are no speech, which should be nothing."""
    for name, make in _other_sounds().items():
        for length_s in (5, 30):
            seconds = np.arange(length_s * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
            segments = reader.read(make(seconds).astype(np.float32), language="en")
            text = "".join(s.text for s in segments).strip()
            _report(f"{length_s} s of {name}", text=text)


def _other_sounds() -> dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]]:
    noise = np.random.default_rng(2)

    def chords(t: NDArray[np.float64]) -> NDArray[np.float64]:
        roots_hz = np.array([220.0, 174.6, 261.6, 196.0])[(t % 4).astype(int)]
        waves = sum(np.sin(2 * np.pi * roots_hz * step * t) for step in (1, 1.26, 1.5, 2))
        return 0.1 * waves * np.exp(-(t % 1.0))

    return {
        "digital silence": np.zeros_like,
        "white noise": lambda t: 0.05 * noise.standard_normal(len(t)),
        "faint white noise": lambda t: 0.001 * noise.standard_normal(len(t)),
        "a 440 Hz tone": lambda t: 0.3 * np.sin(2 * np.pi * 440 * t),
        "a quiet 440 Hz tone": lambda t: 0.01 * np.sin(2 * np.pi * 440 * t),
        "50 Hz hum": lambda t: 0.05 * sum(np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3, 5)),
        "chords": chords,
    }


def _decode(path: Path) -> Samples:
    from faster_whisper.audio import decode_audio

    return np.asarray(decode_audio(str(path), sampling_rate=SAMPLE_RATE_HZ), dtype=np.float32)


def _digits(paths: list[Path]) -> list[Clip]:
    return [(_decode(path), DIGITS[int(path.name[0])]) for path in paths]


def _sample(paths: list[Path], count: int, rng: np.random.Generator) -> list[Path]:
    return [paths[i] for i in sorted(rng.permutation(len(paths))[:count])]


def _around(sound: Samples, before_s: float, after_s: float) -> Samples:
    return np.pad(sound, (round(before_s * SAMPLE_RATE_HZ), round(after_s * SAMPLE_RATE_HZ)))


def _strings(clips: list[Clip], count: int, rng: np.random.Generator) -> Iterator[Clip]:
    """Join random digits to strings of 20 to 29 s, with gaps of 0.05 to 0.5 s."""
    for _ in range(count):
        longest = rng.uniform(20, 29) * SAMPLE_RATE_HZ
        parts: list[Samples] = []
        words: list[str] = []
        while sum(map(len, parts)) < longest - SAMPLE_RATE_HZ:
            sound, word = clips[int(rng.integers(len(clips)))]
            parts.append(_around(sound, 0.0, rng.uniform(0.05, 0.5)))
            words.append(word)
        yield np.concatenate(parts), " ".join(words)


def _words(clips: list[Clip]) -> int:
    return sum(len(text.split()) for _, text in clips)


def _report(name: str, **measures: float | str) -> None:
    shown = {k: round(v, 4) if isinstance(v, float) else v for k, v in measures.items()}
    log.info(json.dumps({"measure": name, **shown}))


if __name__ == "__main__":
    main()
