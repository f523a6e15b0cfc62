"""Training windows: phrases joined with gaps, roughened, as log-mel features with token targets."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spoken_words import (
    DIGITS,
    SAMPLE_RATE_HZ,
    TEMPLATES,
    TRAINING_VARIANTS,
    fill,
    random_digits,
    random_voice,
    read_wav,
    resample,
    speak,
    trim,
    words_of,
)

# Whisper's special tokens as large-v3 numbers them.
END, START, ENGLISH, TRANSLATE, TRANSCRIBE = 50257, 50258, 50259, 50359, 50360
PREVIOUS, NO_SPEECH, NO_TIMESTAMPS, FIRST_TIMESTAMP = 50362, 50363, 50364, 50365
TIMESTAMP_S = 0.02
IGNORED = -100
NOWHERE = (-1.0, -1.0)
# A segment ends where speech pauses for longer than this.
SEGMENT_GAP_S = 0.5
# Longer texts are learned with timestamps only: there the place of a word has not to be counted.
LONGEST_UNTIMED = 12
HELD_OUT_TAKES = range(5)

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Phrase:
    """One stretch of speech without silence around it.

    Attributes:
        samples: float32, shape (n_samples,), mono, 16 kHz.
        words: what is said, words with single spaces.
        places: where each word lies, about, as start and end in parts of the whole, 0 to 1.
    """

    samples: Samples
    words: str
    places: tuple[tuple[float, float], ...] = ()


@dataclass
class Window:
    """Up to 30 s of sound and what is said in it.

    Attributes:
        samples: float32, shape (n_samples,), mono, 16 kHz.
        segments: start and end in seconds, and the words; the end is None where the window cuts it.
        places: where each word of the segments lies, about: start and end in seconds.
    """

    samples: Samples
    segments: list[tuple[float, float | None, str]] = field(default_factory=list)
    places: list[tuple[float, float]] = field(default_factory=list)


def synthetic_speakers(voices: int, phrases: int, rng: np.random.Generator) -> list[list[Phrase]]:
    """Let `voices` random training voices say `phrases` phrases each, half of them digits only."""
    return [_say(random_voice(TRAINING_VARIANTS, rng), phrases, rng) for _ in range(voices)]


def _say(voice: Any, phrases: int, rng: np.random.Generator) -> list[Phrase]:  # noqa: ANN401
    texts = [
        random_digits(int(rng.integers(1, 9)), rng)
        if rng.random() < 0.4
        else fill(str(rng.choice(TEMPLATES)), rng)
        for _ in range(phrases)
    ]
    return [Phrase(speak(text, voice), words_of(text)) for text in texts]


def real_speakers(folder: Path) -> list[list[Phrase]]:
    """Read the digit recordings `{digit}_{speaker}_{take}.wav`, held-out takes left out."""
    speakers: dict[str, list[Phrase]] = {}
    for path in sorted(folder.glob("*.wav")):
        digit, speaker, take = path.stem.split("_")
        if int(take) not in HELD_OUT_TAKES:
            samples, rate_hz = read_wav(path.read_bytes())
            clip = trim(resample(samples, SAMPLE_RATE_HZ / rate_hz), floor=0.02)
            speakers.setdefault(speaker, []).append(Phrase(clip, DIGITS[int(digit)]))
    return list(speakers.values())


class Composer:
    """Makes windows out of speakers' phrases; every draw comes from one generator."""

    def __init__(
        self,
        synthetic: list[list[Phrase]],
        real: list[list[Phrase]],
        rng: np.random.Generator,
    ) -> None:
        self._synthetic, self._real, self._rng = synthetic, real, rng
        self._noises = [_coloured(slope, rng) for slope in (0.0, 0.0, 0.4, 0.7, 1.0, 1.3)]

    def speech(self, window_s: float, fill_s: float, most_words: int) -> Window:
        """Join phrases up to `fill_s` seconds or `most_words`, in a window of `window_s` seconds.

        A third of the windows begin with speech at once, and as many end so. Now and then the last
        phrase is longer than the window and is cut by it.
        """
        rng = self._rng
        pick = self._speaker()
        dense = rng.random() < 0.4
        cut_allowed = fill_s >= window_s and rng.random() < 0.3
        lead_s = rng.choice([0.0, rng.uniform(0, 1.0), rng.uniform(0, (window_s - fill_s) / 2 + 1)])
        parts = [_silence(float(lead_s))]
        spans: list[tuple[float, float, str]] = []
        places: list[tuple[float, float]] = []
        now_s = len(parts[0]) / SAMPLE_RATE_HZ
        while True:
            phrase = pick()
            end_s = now_s + len(phrase.samples) / SAMPLE_RATE_HZ
            if end_s > window_s and not (cut_allowed and spans):
                break
            if spans and len(places) + len(phrase.words.split()) > most_words:
                break
            parts.append(phrase.samples * np.float32(rng.uniform(0.7, 1.0)))
            spans.append((now_s, end_s, phrase.words))
            if end_s <= window_s:
                places += _within(phrase, now_s, end_s)
            gap = self._gap_s(dense=dense)
            now_s = end_s + gap
            if now_s >= min(fill_s, window_s):
                break
            parts.append(_silence(gap))
        if rng.random() < 0.6:
            parts.append(_silence(rng.uniform(0, 1.5)))
        samples = np.concatenate(parts)[: round(window_s * SAMPLE_RATE_HZ)]
        return Window(samples, _segments(spans, window_s), places)

    def noise(self, length_s: float) -> Window:
        """Return a window with no speech: silence, hiss, hum, tones, chords or clicks."""
        count = round(length_s * SAMPLE_RATE_HZ)
        kinds = (_quiet, self._hiss, self._hiss, self._chords, self._chords, self._clicks)
        make = kinds[int(self._rng.integers(len(kinds)))]
        return Window((make(count) * self._rng.uniform(0.02, 0.9)).astype(np.float32))

    def roughen(self, window: Window) -> Samples:
        """Return the window's samples with a random level and, in most windows, noise."""
        rng = self._rng
        samples = window.samples
        if rng.random() < 0.6:
            level = np.float32(10 ** -rng.uniform(0.7, 2.6))
            samples = samples + level * self._hiss(len(samples))
        return (samples * np.float32(10 ** rng.uniform(-1.2, 0.1))).astype(np.float32)

    def prompt(self) -> str:
        """Return the words of a few random phrases, as text that went before."""
        pick = self._speaker()
        return " ".join(pick().words for _ in range(int(self._rng.integers(1, 6))))

    def _speaker(self) -> Callable[[], Phrase]:
        rng = self._rng
        bank = self._real if rng.random() < 0.5 else self._synthetic
        voices = [bank[int(rng.integers(len(bank)))] for _ in range(1 if rng.random() < 0.7 else 3)]
        ratio = 1.0 if rng.random() < 0.25 else rng.uniform(0.85, 1.2)

        def pick() -> Phrase:
            clips = voices[int(rng.integers(len(voices)))]
            clip = clips[int(rng.integers(len(clips)))]
            return clip if ratio == 1.0 else Phrase(_stretch(clip.samples, ratio), clip.words)

        if bank is self._synthetic:
            return pick
        return lambda: self._digit_string(pick)

    def _digit_string(self, pick: Callable[[], Phrase]) -> Phrase:
        rng = self._rng
        widest_s = rng.choice([0.04, 0.15, 0.35])
        longest = 4 if rng.random() < 0.85 else 7
        parts: list[Samples] = []
        edges: list[tuple[int, int]] = []
        words: list[str] = []
        now = 0
        for _ in range(int(rng.integers(1, longest + 1))):
            digit = pick()
            gap = _silence(rng.uniform(0, widest_s)) if parts else _silence(0)
            edges.append((now + len(gap), now + len(gap) + len(digit.samples)))
            parts += [gap, digit.samples / _peak(digit.samples)]
            words.append(digit.words)
            now = edges[-1][1]
        places = tuple((first / now, last / now) for first, last in edges)
        return Phrase(np.concatenate(parts) * np.float32(0.7), " ".join(words), places)

    def _gap_s(self, *, dense: bool) -> float:
        if dense or self._rng.random() < 0.3:
            return float(self._rng.uniform(0.1, 0.4))
        return float(self._rng.choice([self._rng.uniform(0.6, 1.5), self._rng.uniform(1.0, 5.0)]))

    def _hiss(self, count: int) -> Samples:
        noise = self._noises[int(self._rng.integers(len(self._noises)))]
        return noise[(first := int(self._rng.integers(len(noise) - count))) : first + count]

    def _chords(self, count: int) -> Samples:
        rng = self._rng
        seconds = np.arange(count, dtype=np.float32) / SAMPLE_RATE_HZ
        out = np.zeros(count, dtype=np.float32)
        edges = [0, count]
        if rng.random() < 0.7:
            edges = sorted({0, count, *rng.integers(0, count, int(rng.integers(1, 12)))})
        for first, last in pairwise(edges):
            root_hz = 2 ** rng.uniform(6, 10.5)
            for step in rng.choice([0, 3, 4, 7, 12, 16, 19], int(rng.integers(1, 5))):
                for harmonic in range(1, int(rng.integers(2, 6))):
                    hz = root_hz * 2 ** (step / 12) * harmonic
                    out[first:last] += np.sin(2 * np.pi * hz * seconds[first:last]) / harmonic
            if rng.random() < 0.5:
                out[first:last] *= np.exp(-seconds[: last - first] * rng.uniform(0.5, 6))
        return out / _peak(out)

    def _clicks(self, count: int) -> Samples:
        out = 0.001 * self._hiss(count)
        for at in self._rng.integers(0, count, int(self._rng.integers(1, 20))):
            length = min(count - at, int(self._rng.integers(20, 2000)))
            decay = np.exp(-np.arange(length) / (length / 4))
            out[at : at + length] += self._hiss(length) * decay.astype(np.float32) * 0.3
        return out


def targets(
    window: Window,
    encode: Callable[[str], list[int]],
    rng: np.random.Generator,
    *,
    prompt: str = "",
    shift_s: float = 0.0,
) -> tuple[list[int], list[int], list[tuple[float, float]]]:
    """Return the decoder's input tokens; shifted by one, the labels; and where each label is heard.

    A word of the vocabulary is one token. Labels that are heard nowhere have the place `NOWHERE`.

    Args:
        window: what is said when.
        encode: text to token ids.
        rng: decides on timestamps (most; always where text is long or cut) and on the task.
        prompt: text that went before, or "".
        shift_s: where in the 30 s of the encoder the window begins.
    """
    cut = any(end is None for _, end, _ in window.segments)
    timed = cut or len(window.places) > LONGEST_UNTIMED or rng.random() < 0.5
    task = TRANSLATE if rng.random() < 0.03 else TRANSCRIBE
    before = [PREVIOUS, *encode(" " + prompt)] if prompt else []
    head = [START, ENGLISH, task] if timed else [START, ENGLISH, task, NO_TIMESTAMPS]
    body = _timed(window, encode, shift_s) if timed else _plain(window, encode)
    inputs = [*before, *head, *body]
    # After START comes the language, or that nothing is said; the rest of the head is given.
    said = ENGLISH if window.segments else NO_SPEECH
    labels = [*[IGNORED] * len(before), said, *[IGNORED] * (len(head) - 2), *body, END]
    heard = iter(window.places)
    places = [_place(label, heard, shift_s) for label in labels]
    return inputs, labels, places


def _place(label: int, words: Iterator[tuple[float, float]], shift_s: float) -> tuple[float, float]:
    if 0 <= label < END:
        return next(words, NOWHERE)
    if label >= FIRST_TIMESTAMP:
        at_s = (label - FIRST_TIMESTAMP) * TIMESTAMP_S - shift_s
        return (max(0.0, at_s - 0.06), at_s + 0.06)
    return NOWHERE


def _plain(window: Window, encode: Callable[[str], list[int]]) -> list[int]:
    return [token for *_, words in window.segments for token in encode(" " + words)]


def _timed(window: Window, encode: Callable[[str], list[int]], shift_s: float) -> list[int]:
    if not window.segments:
        return [FIRST_TIMESTAMP]
    tokens: list[int] = []
    for start_s, end_s, words in window.segments:
        tokens.append(_timestamp(start_s + shift_s))
        if end_s is not None:
            tokens += [*encode(" " + words), _timestamp(end_s + shift_s)]
    return tokens


def _timestamp(at_s: float) -> int:
    return FIRST_TIMESTAMP + min(1500, round(at_s / TIMESTAMP_S))


def _within(phrase: Phrase, start_s: float, end_s: float) -> list[tuple[float, float]]:
    """Return the words' places in seconds; where they are not known, even parts with a margin."""
    count = len(phrase.words.split())
    even = [(max(0.0, (k - 0.4) / count), min(1.0, (k + 1.4) / count)) for k in range(count)]
    length_s = end_s - start_s
    return [(start_s + a * length_s, start_s + b * length_s) for a, b in phrase.places or even]


def _segments(
    spans: list[tuple[float, float, str]], window_s: float
) -> list[tuple[float, float | None, str]]:
    joined: list[tuple[float, float | None, str]] = []
    for start_s, end_s, words in spans:
        end = end_s if end_s <= window_s else None
        last_end = joined[-1][1] if joined else None
        if end is not None and last_end is not None and start_s - last_end < SEGMENT_GAP_S:
            first_s, _, earlier = joined.pop()
            joined.append((first_s, end, f"{earlier} {words}"))
        else:
            joined.append((start_s, end, words))
    return joined


def _coloured(slope: float, rng: np.random.Generator) -> Samples:
    """Return 65 s of noise with unit deviation, its spectrum falling with frequency to `slope`."""
    spectrum = np.fft.rfft(rng.standard_normal(65 * SAMPLE_RATE_HZ, dtype=np.float32))
    noise = np.fft.irfft(spectrum * (np.arange(len(spectrum)) + 2000.0) ** -slope)
    return (noise / noise.std()).astype(np.float32)


def _stretch(samples: Samples, ratio: float) -> Samples:
    """Change speed and pitch; linear, because it runs for every phrase of every step."""
    at = np.arange(round(len(samples) * ratio), dtype=np.float32) / np.float32(ratio)
    return np.interp(at, np.arange(len(samples)), samples).astype(np.float32)


def _silence(length_s: float) -> Samples:
    return np.zeros(round(length_s * SAMPLE_RATE_HZ), dtype=np.float32)


def _quiet(count: int) -> Samples:
    return np.zeros(count, dtype=np.float32)


def _peak(samples: Samples) -> np.float32:
    return np.float32(np.max(np.abs(samples), initial=1e-6))
