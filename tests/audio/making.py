"""Long recordings whose words and places are known, made of the shared spoken digits."""

from __future__ import annotations

import random
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from stenopool.audio import stream_audio
from stenopool.model import SAMPLE_RATE, Span

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet

DIGITS = Path(__file__).parents[2] / "../shared/audio/digits"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

BLOCK = 4_096
"""Samples in a frame that an encoder gets."""

FAINT = 0.1
"""Edges of a word that are below this share of its loudest 5 ms are not missed."""


@dataclass(frozen=True)
class Spoken:
    """A recording: int16, mono, 16 kHz; its words, and where the audible part of each lies."""

    samples: np.ndarray
    words: tuple[str, ...]
    places: tuple[Span, ...]


@cache
def word(name: str) -> tuple[np.ndarray, Span]:
    """A digit's sound, int16 at 16 kHz, and where its audible part lies in it."""
    sound = np.concatenate(list(stream_audio(DIGITS / f"{name}.wav")))
    block = SAMPLE_RATE // 200
    blocks = sound[: len(sound) // block * block].astype(float).reshape(-1, block)
    level = np.sqrt((blocks**2).mean(1))
    loud = np.flatnonzero(level > FAINT * level.max())
    return sound, Span(int(loud[0]) * block, (int(loud[-1]) + 1) * block)


@cache
def names() -> tuple[str, ...]:
    """The digits of the shared folder, as `{digit}_{speaker}_{take}`."""
    return tuple(sorted(path.stem for path in DIGITS.glob("*.wav")))


def spoken(seed: int, count: int, pauses: tuple[float, float], noise: float = 0.0) -> Spoken:
    """Digits of any speakers with a pause (s, at random in a range) before each and at the end.

    Args:
        seed: same seed, same recording.
        count: of digits.
        pauses: the shortest and the longest.
        noise: its RMS over all of the recording, of 32,768; 0 leaves the pauses all zeros.
    """
    chance = random.Random(seed)
    parts: list[np.ndarray] = []
    words, places, at = [], [], 0
    for _ in range(count):
        name = chance.choice(names())
        sound, audible = word(name)
        pause = np.zeros(round(chance.uniform(*pauses) * SAMPLE_RATE), np.int16)
        at += len(pause)
        words.append(WORDS[int(name[0])])
        places.append(Span(at + audible.start, at + audible.end))
        parts += [pause, sound]
        at += len(sound)
    parts.append(np.zeros(round(chance.uniform(*pauses) * SAMPLE_RATE), np.int16))
    samples = np.concatenate(parts)
    if noise:
        hiss = np.random.default_rng(seed).normal(0, noise, len(samples))
        samples = np.clip(np.rint(samples + hiss), -32_768, 32_767).astype(np.int16)
    return Spoken(samples, tuple(words), tuple(places))


def at_rate(sound: np.ndarray, rate: int) -> np.ndarray:
    """Resample int16 at 16 kHz to another rate (Hz), by its spectrum."""
    length = round(len(sound) * rate / SAMPLE_RATE)
    spectrum = np.fft.rfft(sound)
    resized = np.zeros(length // 2 + 1, complex)
    common = min(len(spectrum), len(resized))
    resized[:common] = spectrum[:common]
    return np.clip(
        np.rint(np.fft.irfft(resized, length) * (length / len(sound))), -32_768, 32_767
    ).astype(np.int16)


@dataclass(frozen=True)
class Format:
    """How a long recording is written; `repeats` where silent packets are all alike."""

    container: str
    codec: str
    rate: int
    options: tuple[tuple[str, str], ...] = ()
    repeats: bool = True


def write_long(path: Path, form: Format, hours: float, said: dict[float, np.ndarray]) -> Path:
    """Write hours of digital silence with a few sounds in it, in seconds.

    An encoder that gets nothing but zeros gives the same packet again and again: most of them
    are copies here.

    Args:
        path: of the file.
        form: its format.
        hours: its length.
        said: sounds, int16 at the format's rate, by where they begin (s).
    """
    with av.open(str(path), "w", format=form.container) as file:
        stream = file.add_stream(form.codec, rate=form.rate, options=dict(form.options))
        stream.layout = "mono"
        writer = _Writer(file, stream, repeats=form.repeats)
        for start_s, sound in sorted(said.items()):
            writer.silence_until(round(start_s * form.rate))
            writer.write(sound)
        writer.silence_until(round(hours * 3_600 * form.rate))
        writer.end()
    return path


class _Writer:
    """Encodes samples, and makes long silence of copies of a packet."""

    def __init__(self, file: OutputContainer, stream: AudioStream, *, repeats: bool) -> None:
        self._file, self._stream, self._repeats = file, stream, repeats
        self._fed = self._copied = 0
        self._last = b"", 0, 0

    def silence_until(self, at: int) -> None:
        """Write zeros up to a sample; the first and the last seconds are truly encoded."""
        edge = 2 * self._stream.rate
        if self._repeats and at - self._at() > 3 * edge:
            self._zeros(edge)
            self._copy((at - self._at() - edge) // self._last[2])
        self._zeros(at - self._at())

    def write(self, samples: np.ndarray) -> None:
        """Encode int16 samples."""
        for start in range(0, len(samples), BLOCK):
            piece = np.ascontiguousarray(samples[start : start + BLOCK])
            frame = av.AudioFrame.from_ndarray(piece.reshape(1, -1), "s16", "mono")
            frame.sample_rate, frame.time_base = self._stream.rate, Fraction(1, self._stream.rate)
            frame.pts = self._fed
            self._fed += len(piece)
            self._mux(self._stream.encode(frame))

    def end(self) -> None:
        """Write what the encoder still holds."""
        self._mux(self._stream.encode(None))

    def _at(self) -> int:
        return self._fed + self._copied

    def _zeros(self, count: int) -> None:
        while count > 0:
            self.write(np.zeros(min(count, 1 << 20), np.int16))
            count -= 1 << 20

    def _copy(self, count: int) -> None:
        data, pts, duration = self._last
        for number in range(1, count + 1):
            packet = av.Packet(data)
            packet.pts = packet.dts = pts + number * duration
            packet.duration, packet.time_base = duration, Fraction(1, self._stream.rate)
            packet.stream = self._stream
            self._file.mux(packet)
        self._copied += count * duration

    def _mux(self, packets: list[Packet]) -> None:
        for packet in packets:
            if packet.pts is not None:
                packet.pts = packet.dts = packet.pts + self._copied
                self._last = bytes(packet), packet.pts, packet.duration
            self._file.mux(packet)
