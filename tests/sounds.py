"""Sounds in which nobody speaks, made anew for each test: float32, shape (n,), 16 kHz."""

from __future__ import annotations

import numpy as np

from stenopool.model import SAMPLE_RATE

DTMF = {
    key: (low, high)
    for low, row in zip((697, 770, 852, 941), ("123A", "456B", "789C", "*0#D"), strict=True)
    for high, key in zip((1209, 1336, 1477, 1633), row, strict=True)
}
"""The two frequencies (Hz) of each key of a telephone."""


def times(seconds):
    return np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def white(seconds, level, seed=0):
    """White noise; `level` is its root mean square (dB of full scale)."""
    noise = np.random.default_rng(seed).normal(0, 1, int(seconds * SAMPLE_RATE))
    return noise * 10 ** (level / 20)


def pink(seconds, level, seed=0):
    """Noise with as much power in each octave."""
    spectrum = np.fft.rfft(white(seconds, 0, seed))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    noise = np.fft.irfft(spectrum, int(seconds * SAMPLE_RATE))
    return noise / noise.std() * 10 ** (level / 20)


def tone(seconds, hertz, peak=0.5):
    return peak * np.sin(2 * np.pi * hertz * times(seconds))


def chirp(seconds, low=100, high=4000, peak=0.3):
    """A tone that rises from one frequency to another, every five seconds."""
    t = times(seconds) % 5.0
    return peak * np.sin(2 * np.pi * (low * t + (high - low) * t**2 / 10))


def siren(seconds, low=440, high=585, peak=0.4):
    """Two tones in turn, half a second each."""
    t = times(seconds)
    return peak * np.sin(2 * np.pi * np.where(t % 1.0 < 0.5, low, high) * t)


def dialled(seconds, keys="0301234567#*"):
    """Keys of a telephone, each 0.1 s with 0.1 s between."""
    t = times(seconds)
    low, high = np.array([DTMF[key] for key in keys]).T[:, (t / 0.2).astype(int) % len(keys)]
    return np.where(t % 0.2 < 0.1, 0.25 * np.sin(2 * np.pi * low * t), 0) + np.where(
        t % 0.2 < 0.1, 0.25 * np.sin(2 * np.pi * high * t), 0
    )


def drums(seconds, seed=0):
    """A beat of two a second: a falling thump, and a hiss between."""
    t = times(seconds)
    beat, off = t % 0.5, (t + 0.25) % 0.5
    thump = np.sin(2 * np.pi * (50 * beat + 4 * (1 - np.exp(-beat * 30)))) * np.exp(-beat * 12)
    return 0.6 * thump + white(seconds, -12, seed) * np.exp(-off * 40)


def chords(seconds, overtones=6):
    """Four chords of three notes, two seconds each, with the overtones of a string."""
    roots = np.array([[220.0, 261.63, 329.63], [174.61, 220.0, 261.63], [261.63, 329.63, 392.0],
                      [196.0, 246.94, 293.66]])  # fmt: skip
    t = times(seconds)
    notes = roots[(t / 2).astype(int) % len(roots)].T
    sound = sum(
        np.sin(2 * np.pi * note * number * t) / number
        for note in notes
        for number in range(1, overtones + 1)
    )
    return 0.1 * sound * np.exp(-(t % 2.0))


def band(seconds):
    """Chords, drums and a voice-like melody that glides and trembles."""
    t = times(seconds)
    steps = np.array([440, 494, 523, 587, 659, 587, 523, 494])[(t / 0.5).astype(int) % 8]
    phase = 2 * np.pi * np.cumsum(steps + 6 * np.sin(2 * np.pi * 5.5 * t)) / SAMPLE_RATE
    melody = sum(np.sin(phase * number) / number**2 for number in range(1, 5))
    return 0.5 * chords(seconds) + 0.4 * drums(seconds) + 0.1 * melody


SOUNDS = {
    "silence": lambda seconds: np.zeros(int(seconds * SAMPLE_RATE)),
    "offset": lambda seconds: np.full(int(seconds * SAMPLE_RATE), 0.1),
    "faint noise": lambda seconds: white(seconds, -70),
    "white noise": lambda seconds: white(seconds, -40),
    "loud white noise": lambda seconds: white(seconds, -20),
    "pink noise": lambda seconds: pink(seconds, -40),
    "loud pink noise": lambda seconds: pink(seconds, -20),
    "hum": lambda seconds: tone(seconds, 50, 0.1),
    "tone": lambda seconds: tone(seconds, 440),
    "low tone": lambda seconds: tone(seconds, 200),
    "siren": siren,
    "clipped noise": lambda seconds: np.clip(white(seconds, 20), -0.99, 0.99),
    "high tone": lambda seconds: tone(seconds, 3000, 0.2),
    "chirps": chirp,
    "telephone keys": dialled,
    "drums": drums,
    "chords": chords,
    "band": band,
}
"""By name, each made for so many seconds."""


def samples(name, seconds):
    """The sound as int16."""
    return (np.clip(SOUNDS[name](seconds), -1, 1) * 32_767).astype(np.int16)
