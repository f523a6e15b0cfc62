"""Recordings for the audio tests: real speech from the shared folder, and encoders over it."""

from __future__ import annotations

import io
import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

SHARED = Path(__file__).parents[2] / "../shared/audio"


@pytest.fixture(scope="session")
def shared() -> Path:
    return SHARED


def _read_wav(path: Path) -> tuple[np.ndarray, int]:
    """Read 16 bit mono with the standard library: an oracle that shares nothing with FFmpeg."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return samples, file.getframerate()


@pytest.fixture(scope="session")
def read_wav():
    return _read_wav


def _at_16_khz(samples: np.ndarray, rate: int) -> np.ndarray:
    """Resample in the frequency domain: an oracle for swresample."""
    spectrum = np.fft.rfft(samples)
    length = round(len(samples) * 16_000 / rate)
    resized = np.zeros(length // 2 + 1, complex)
    common = min(len(spectrum), len(resized))
    resized[:common] = spectrum[:common]
    resampled = np.fft.irfft(resized, length) * (length / len(samples))
    return np.clip(np.rint(resampled), -32_768, 32_767).astype(np.int16)


@pytest.fixture(scope="session")
def at_16_khz():
    return _at_16_khz


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    """7 s of a read sentence, int16, 16 kHz."""
    samples, rate = _read_wav(SHARED / "ljspeech" / "LJ001-0001.wav")
    return _at_16_khz(samples, rate)[: 7 * 16_000]


@pytest.fixture(scope="session")
def digit() -> np.ndarray:
    """One spoken digit with no silence around it, int16, 16 kHz."""
    samples, rate = _read_wav(SHARED / "digits" / "3_jackson_0.wav")
    return _at_16_khz(samples, rate)


def _encode(samples, kind=("wav", "pcm_s16le"), rate=16_000, *, video_s=0.0, **how) -> bytes:
    """Encode int16 samples, shape (n,) or (channels, n), in a (container, codec).

    `how` may say `options` of the encoder and of the `muxer`, the number of `tracks`, a `gap_s` in
    the middle, and how `late_s` the sound begins.
    """
    container, codec = kind
    channels = np.atleast_2d(samples)
    written = io.BytesIO()
    with av.open(written, "w", format=container, options=how.get("muxer", {})) as file:
        film = _add_film(file) if video_s else None
        streams = [
            file.add_stream(codec, rate=rate, options=how.get("options", {}))
            for _ in range(how.get("tracks", 1))
        ]
        for stream in streams:
            stream.layout = {1: "mono", 2: "stereo", 8: "7.1"}[len(channels)]
        if film:
            _write_film(file, film, video_s)
        for stream in streams:
            _write_sound(file, stream, channels, how.get("gap_s", 0.0), how.get("late_s", 0.0))
    return written.getvalue()


def _add_film(file):
    stream = file.add_stream("mpeg4", rate=10)
    stream.width = stream.height = 64
    return stream


def _write_film(file, stream, seconds: float) -> None:
    black = np.zeros((96, 64), np.uint8)  # a new frame holds whatever the heap held
    for _ in range(round(seconds * 10)):
        file.mux(stream.encode(av.VideoFrame.from_ndarray(black, "yuv420p")))
    file.mux(stream.encode(None))


def _write_sound(file, stream, channels: np.ndarray, gap_s: float, late_s: float) -> None:
    half = channels.shape[1] // 2 // 4096 * 4096
    for start in range(0, channels.shape[1], 4096):
        piece = np.ascontiguousarray(channels[:, start : start + 4096].T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(piece, "s16", stream.layout.name)
        frame.sample_rate, frame.time_base = stream.rate, Fraction(1, stream.rate)
        frame.pts = start + round((late_s + gap_s * (start >= half)) * stream.rate)
        file.mux(stream.encode(frame))
    file.mux(stream.encode(None))


@pytest.fixture(scope="session")
def encode():
    return _encode


def _wav_header(data_bytes: int, channels: int = 1, rate: int = 16_000) -> bytes:
    """Write the header of a 16 bit WAV file by hand, true or not."""
    layout = (16, 1, channels, rate, rate * channels * 2, channels * 2, 16)
    sizes = struct.pack("<I", (36 + data_bytes) % 2**32), struct.pack("<I", data_bytes)
    head = b"RIFF" + sizes[0] + b"WAVEfmt " + struct.pack("<IHHIIHH", *layout)
    return head + b"data" + sizes[1]


@pytest.fixture(scope="session")
def wav_header():
    return _wav_header


@pytest.fixture(scope="session")
def film() -> bytes:
    """Two seconds of MP4 video without sound."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        _write_film(container, _add_film(container), 2.0)
    return file.getvalue()


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A PNG."""
    encoder = av.CodecContext.create("png", "w")
    encoder.width = encoder.height = 16
    encoder.pix_fmt, encoder.time_base = "rgb24", Fraction(1, 1)
    black = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")
    return b"".join(bytes(packet) for packet in encoder.encode(black))


def _alignment(decoded, original) -> tuple[float, int]:
    """The correlation of two recordings where it is greatest, and the shift there (samples)."""
    size = 2 * max(len(decoded), len(original))
    spectra = np.fft.rfft(decoded.astype(float), size), np.fft.rfft(original.astype(float), size)
    products = np.fft.irfft(spectra[0] * spectra[1].conj(), size)
    shift = int(np.argmax(products))
    norm = np.sqrt(np.sum(decoded.astype(float) ** 2) * np.sum(original.astype(float) ** 2))
    return products[shift] / norm, min(shift, size - shift)


@pytest.fixture(scope="session")
def alignment():
    return _alignment
