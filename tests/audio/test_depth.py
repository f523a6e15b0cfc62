"""However deep in a recording a word lies, it is found at its time."""

import io

import numpy as np
import pytest

from audio.making import Format, at_rate, word, write_long
from audio.test_units import Tiled
from stenopool.audio import probe, read_units, stream_audio
from stenopool.model import SAMPLE_RATE

RIGHT_TO = SAMPLE_RATE // 50
"""Times are right to 20 ms."""

ALONE = (("reservoir", "0"),)
"""No packet of an MP3 borrows room from another one, so that copies of it are whole."""

VARIABLE = (("global_quality", "590"), ("flags", "+qscale"), *ALONE)

FORMATS = {
    "wav 16 kHz": Format("wav", "pcm_s16le", 16_000),
    "wav 8 kHz": Format("wav", "pcm_mulaw", 8_000),
    "wav 44.1 kHz": Format("w64", "pcm_s16le", 44_100),
    "flac 44.1 kHz": Format("flac", "flac", 44_100, repeats=False),
    "mp3 of a variable rate": Format("mp3", "libmp3lame", 44_100, VARIABLE),
    "mp3 22.05 kHz": Format("mp3", "libmp3lame", 22_050, ALONE),
    "m4a": Format("ipod", "aac", 44_100),
    "matroska": Format("matroska", "aac", 44_100),
    "opus": Format("ogg", "libopus", 48_000),
    "webm": Format("webm", "libopus", 48_000),
}

SPOKEN = "7_jackson_3"


def place_in(window, sound):
    """Where a sound lies in a window, to a sample: where the two correlate most."""
    size = len(window) + len(sound)
    spectra = np.fft.rfft(window.astype(float), size), np.fft.rfft(sound.astype(float), size)
    return int(np.argmax(np.fft.irfft(spectra[0] * spectra[1].conj(), size)[: len(window)]))


def heard(path, sound):
    """Where the sound is in each window of a recording, in samples of the recording."""
    found = []
    for unit in read_units(path):
        ends = np.cumsum([window.samples for window in unit.windows])
        for window, samples in zip(unit.windows, np.split(unit.samples, ends[:-1]), strict=False):
            found.append(window.start + place_in(samples, sound))
    return found


def check(form, hours, tmp_path):
    sound, _ = word(SPOKEN)
    chance = np.random.default_rng(int(hours * 10))
    last = hours * 3_600 - 40
    times = sorted({1.0, *chance.uniform(30, last - 30, 2).round(4).tolist(), last})
    path = write_long(
        tmp_path / "long", form, hours, dict.fromkeys(times, at_rate(sound, form.rate))
    )
    found = heard(path, sound)

    assert len(found) == len(times)
    off = [place - round(time * SAMPLE_RATE) for place, time in zip(found, times, strict=True)]
    assert max(abs(samples) for samples in off) <= RIGHT_TO, off


@pytest.mark.parametrize("name", ["wav 16 kHz", "wav 44.1 kHz", "mp3 of a variable rate", "m4a"])
def test_a_word_an_hour_deep_is_found_at_its_time(name, tmp_path):
    check(FORMATS[name], 1.0, tmp_path)


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_a_word_ten_hours_deep_is_found_at_its_time(form, tmp_path):
    check(form, 10.0, tmp_path)


@pytest.mark.parametrize("declared", ["begun again", 0, 0x7FFF_FFFF, 0x7FFF_0100, 0xFFFF_FFFF])
def test_a_wav_file_of_more_bytes_than_its_header_can_count_is_read_on(declared, wav_header):
    """Ten hours of stereo are 6 GB, and 32 bits count four."""
    piece = np.random.default_rng(0).integers(-900, 900, 1 << 19).astype(np.int16).tobytes()
    pieces = (1 << 32) // len(piece) + 10
    size = pieces * len(piece)
    header = wav_header(size % (1 << 32) if declared == "begun again" else declared)
    blocks = stream_audio(Tiled(header, piece, pieces))
    read = [next(blocks) for _ in range(30)]

    assert sum(map(len, read)) * 2 > size % (1 << 32)
    assert probe(Tiled(header, piece, pieces)).duration_s == size / 2 / SAMPLE_RATE


def test_a_wav_file_as_long_as_it_says_ends_there(wav_header):
    data = wav_header(32_000) + bytes(32_000) + b"LIST" + (4_000).to_bytes(4, "little")

    assert sum(map(len, stream_audio(io.BytesIO(data + bytes(4_000))))) == SAMPLE_RATE
