"""Known words in long recordings: a seam between windows or units loses none and doubles none."""

import io

import pytest

from audio.making import spoken
from stenopool.audio import read_units
from stenopool.model import SAMPLE_RATE

PAUSES = {
    "a list read out": (0.05, 0.6),
    "an answer now and then": (0.3, 12.0),
    "both": (0.0, 3.0),
    "no pause at all": (0.0, 0.0),
}
UNIT_S = (600, 31, 12, 5)
"""Cuts of windows alone, and of units too, at whatever place their limits fall."""

TRIMMED = SAMPLE_RATE // 50
"""Of a word's edge a window may lack 20 ms, the quiet place in which it is cut."""


def broken(recording, windows):
    """Words that are not whole in one window or are heard in another one, with what is missing."""
    found = []
    for text, place in zip(recording.words, recording.places, strict=True):
        inside = [min(place.end, w.end) - max(place.start, w.start) for w in windows]
        heard = [samples for samples in inside if samples > TRIMMED]
        if len(heard) != 1 or heard[0] < place.samples - TRIMMED:
            found.append((text, place, heard))
    return found


def windows_of(recording, wav_header, unit_s, *, vad=True):
    data = wav_header(len(recording.samples) * 2) + recording.samples.tobytes()
    units = read_units(io.BytesIO(data), vad=vad, unit_s=unit_s)
    return [window for unit in units for window in unit.windows]


def seams_of(recording, wav_header, lengths=UNIT_S):
    """How many windows there are in all, and which words are broken."""
    count, found = 0, []
    for unit_s in lengths:
        for vad in (True, False):
            windows = windows_of(recording, wav_header, unit_s, vad=vad)
            count += len(windows)
            found += broken(recording, windows)
    return count, found


@pytest.mark.parametrize("noise", [0, 60], ids=["all zeros", "a room"])
@pytest.mark.parametrize("pauses", PAUSES.values(), ids=PAUSES)
def test_every_word_is_whole_in_one_window_wherever_the_seams_fall(pauses, noise, wav_header):
    count, found = seams_of(spoken(1, 40, pauses, noise), wav_header)
    assert count > 15
    assert found == []


def test_no_unit_ends_in_a_word_that_the_vad_has_not_noticed_yet(wav_header):
    """What it takes for a short silence may be a shorter one and the start of a word."""
    for seed in range(100, 104):
        assert seams_of(spoken(seed, 60, (0.0, 0.15)), wav_header, (5, 9, 31))[1] == []


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("noise", [0, 30, 100], ids="noise of {}".format)
@pytest.mark.parametrize("pauses", PAUSES.values(), ids=PAUSES)
def test_of_hundreds_of_seams_hardly_one_breaks_a_word(pauses, noise, wav_header):
    """Where words follow one another without a pause, one in fifty may."""
    counts, found = 0, []
    for seed in range(2, 8):
        count, more = seams_of(spoken(seed, 80, pauses, noise), wav_header)
        counts, found = counts + count, found + more
    assert len(found) <= counts * (0.02 if pauses[0] == 0.0 else 0.001), found
