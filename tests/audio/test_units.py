"""A recording becomes units cut in silence: nothing lost, nothing twice, little held."""

import io
import os
from itertools import pairwise

import numpy as np
import psutil
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stenopool.audio import decode_audio, read_units, stream_audio
from stenopool.errors import InvalidOptionError, UnreadableError
from stenopool.model import WINDOW_SAMPLES, Span

RATE = 16_000


@pytest.fixture(scope="session")
def recording(wav_header):
    """Make a WAV file of int16 samples."""

    def make(samples):
        data = np.asarray(samples, np.int16).tobytes()
        return wav_header(len(data)) + data

    return make


def silence(seconds):
    return np.zeros(round(seconds * RATE), np.int16)


def long_windows(unit):
    """The unit's windows, those that touch as one: speech that is too long is in several."""
    joined = []
    for window in unit.windows:
        if joined and joined[-1].end == window.start:
            window = Span(joined.pop().start, window.end)
        joined.append(window)
    return joined


def check_units(units, samples, vad):
    """What holds of the units of any recording."""
    assert [unit.index for unit in units] == list(range(len(units)))
    assert [unit.last for unit in units] == [False] * (len(units) - 1) + [True]
    assert sum(unit.decoded_samples for unit in units) == len(samples)
    start = 0
    for unit in units:
        stretch = Span(start, start + unit.decoded_samples)
        start = stretch.end
        assert unit.samples.dtype == np.int16
        assert all(0 < window.samples <= WINDOW_SAMPLES for window in unit.windows)
        assert all(left.end <= right.start for left, right in pairwise(unit.windows))
        for window in unit.windows:
            assert stretch.start <= window.start < window.end <= stretch.end
        kept = [samples[window.start : window.end] for window in unit.windows]
        assert np.array_equal(unit.samples, np.concatenate([silence(0), *kept]))
        if not vad:
            assert sum(window.samples for window in unit.windows) == unit.decoded_samples
            assert unit.speech_samples == unit.decoded_samples
            assert unit.speech is None
        for span in unit.speech or ():
            assert any(w.start <= span.start < span.end <= w.end for w in long_windows(unit))
        assert all(left.end < right.start for left, right in pairwise(unit.speech or ()))
        assert 0 <= unit.speech_samples <= unit.decoded_samples
        assert bool(unit.windows) == (unit.speech_samples > 0)


@settings(max_examples=12, deadline=None)
@given(
    parts=st.lists(st.tuples(st.floats(0, 8), st.floats(0.1, 7)), min_size=1, max_size=8),
    unit_s=st.floats(2, 40),
    vad=st.booleans(),
)
@example(parts=[(0.0, 6.0)], unit_s=5.5, vad=True)
@example(parts=[(0.0, 6.0)], unit_s=5.5, vad=False)
def test_units_hold_the_recording_once_and_in_order(parts, unit_s, vad, recording, speech):
    pieces = [(silence(quiet), speech[: round(spoken * RATE)]) for quiet, spoken in parts]
    data = recording(np.concatenate([piece for pair in pieces for piece in pair]))
    samples = np.rint(decode_audio(io.BytesIO(data)) * 32_768).astype(np.int16)
    units = list(read_units(io.BytesIO(data), vad=vad, unit_s=unit_s))

    check_units(units, samples, vad)
    assert all(unit.decoded_samples <= unit_s * RATE + 1 for unit in units)
    assert all(unit.decoded_samples >= unit_s * RATE / 2 - 1 for unit in units[:-1])


def test_a_unit_ends_in_the_longest_silence_near_its_limit(recording, speech):
    parts = [speech, silence(0.7), speech, silence(2), speech, silence(0.7), speech]
    units = list(read_units(io.BytesIO(recording(np.concatenate(parts))), unit_s=18))

    end = len(speech) * 2 + round(1.7 * RATE)
    assert len(units) == 2
    assert units[0].decoded_samples == pytest.approx(end, abs=RATE // 3)
    assert units[0].windows[-1].end < end < units[1].windows[0].start


def test_a_unit_without_silence_ends_where_it_is_quietest(recording, speech):
    voiced = np.tile(speech[2 * RATE : 3 * RATE], 60)
    units = list(read_units(io.BytesIO(recording(voiced)), unit_s=40, vad=False))
    spoken = list(read_units(io.BytesIO(recording(voiced)), unit_s=40))

    for made in (units, spoken):
        check_units(made, voiced, vad=made is spoken)
        cut = made[0].decoded_samples
        around = np.abs(voiced[cut - 160 : cut + 160].astype(int)).mean()
        assert around < np.abs(voiced.astype(int)).mean() / 3


@pytest.mark.parametrize("unit_s", [45, 60, 75, 100])
def test_without_vad_a_unit_ends_with_a_full_window(unit_s, recording, speech):
    units = list(read_units(io.BytesIO(recording(np.tile(speech, 30))), unit_s=unit_s, vad=False))
    windows = [window for unit in units for window in unit.windows]

    assert len(units) > 2
    assert all(window.samples >= 25 * RATE for window in windows[:-1])


def test_speech_that_goes_on_over_a_cut_is_kept_on_both_sides(recording, speech):
    voiced = np.tile(speech[2 * RATE : 3 * RATE], 60)
    units = list(read_units(io.BytesIO(recording(voiced)), unit_s=40))

    assert units[0].windows[-1].end == units[0].decoded_samples == units[1].windows[0].start


@pytest.mark.parametrize("unit_s", [600, 20])
def test_a_recording_of_silence_has_units_without_windows(unit_s, recording):
    units = list(read_units(io.BytesIO(recording(silence(50))), unit_s=unit_s))

    check_units(units, silence(50), vad=True)
    assert len(units) == (1 if unit_s == 600 else 3)
    assert all(unit.windows == () and unit.speech_samples == 0 for unit in units)
    assert units[-1].last


def test_half_a_minute_with_any_speech_is_one_window(recording, speech):
    data = recording(np.concatenate([silence(10), speech, silence(1), speech, silence(4)]))
    (unit,) = read_units(io.BytesIO(data))

    (window,) = unit.windows
    assert all(span.start >= 10 * RATE for span in unit.speech)
    assert sum(17 * RATE < span.start < 18.5 * RATE for span in unit.speech) == 1
    assert 9.5 * RATE < window.start <= 10.1 * RATE
    assert 24.5 * RATE < window.end < 26 * RATE


def test_a_lone_word_is_kept_whole(recording, digit):
    (unit,) = read_units(io.BytesIO(recording(digit)))

    assert unit.windows == (Span(0, len(digit)),)
    assert 0 < unit.speech_samples <= len(digit)


@pytest.mark.parametrize("samples", [1, 100, 511, 512, 513])
def test_the_shortest_recordings_are_units(samples, recording, speech):
    data = recording(speech[:samples])

    check_units(list(read_units(io.BytesIO(data))), speech[:samples], vad=True)
    check_units(list(read_units(io.BytesIO(data), vad=False)), speech[:samples], vad=False)


def test_a_unit_that_is_too_short_is_refused(recording):
    with pytest.raises(InvalidOptionError, match=r"0\.5 s is too short"):
        next(read_units(io.BytesIO(recording(silence(1))), unit_s=0.5))


class Tiled(io.RawIOBase):
    """A WAV file of any length, made of one piece again and again, that counts what is read."""

    def __init__(self, header, piece, repeats):
        self._header, self._piece = header, piece
        self.length = len(header) + len(piece) * repeats
        self._at = 0
        self.furthest = 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=0):
        self._at = offset + {0: 0, 1: self._at, 2: self.length}[whence]
        return self._at

    def tell(self):
        return self._at

    def read(self, size=-1):
        size = min(size, self.length - self._at)
        inside = self._at - len(self._header)
        if inside < 0:
            found = self._header[self._at : self._at + size]
        else:
            first = inside % len(self._piece)
            found = (self._piece * (2 + size // len(self._piece)))[first : first + size]
        self._at += len(found)
        self.furthest = max(self.furthest, self._at)
        return found


def test_a_long_recording_needs_no_more_memory_than_a_unit(wav_header, speech):
    """Four hours would be 460 MB of samples; the file is made while it is read."""
    piece = np.concatenate([speech, silence(5)]).tobytes()
    repeats = 4 * 3_600 // 12
    file = Tiled(wav_header(len(piece) * repeats), piece, repeats)
    process = psutil.Process(os.getpid())
    list(read_units(Tiled(wav_header(len(piece) * 10), piece, 10), unit_s=60))
    before, most, total = process.memory_info().rss, 0, 0
    for unit in read_units(file, vad=False, unit_s=120):
        total += unit.decoded_samples
        most = max(most, process.memory_info().rss - before)

    assert total == len(piece) * repeats // 2
    assert most < 60e6


def test_a_long_recording_is_judged_in_bounded_memory(wav_header, speech):
    piece = np.concatenate([speech[: 2 * RATE], silence(58)]).tobytes()
    file = Tiled(wav_header(len(piece) * 120), piece, 120)
    process = psutil.Process(os.getpid())
    next(read_units(Tiled(wav_header(len(piece) * 3), piece, 3), unit_s=60))
    before, most, windows = process.memory_info().rss, 0, 0
    for unit in read_units(file, unit_s=300):
        windows += len(unit.windows)
        most = max(most, process.memory_info().rss - before)

    assert windows == 120
    assert most < 80e6


def test_the_first_unit_comes_before_the_rest_is_read(wav_header, speech):
    piece = speech.tobytes()
    file = Tiled(wav_header(len(piece) * 40), piece, 40)
    units = read_units(file, unit_s=20)
    next(units)

    assert file.furthest < file.length / 3
    units.close()


def test_the_first_block_comes_before_the_rest_is_read(wav_header, speech):
    piece = speech.tobytes()
    file = Tiled(wav_header(len(piece) * 40), piece, 40)

    assert len(next(stream_audio(file, block_samples=1_000))) == 1_000
    assert file.furthest < file.length / 5


def test_an_error_on_the_way_comes_after_the_units_before_it(wav_header, speech):
    piece = speech.tobytes()

    class Failing(Tiled):
        def read(self, size=-1):
            if self._at > self.length // 2:
                raise TimeoutError("the bucket is slow")
            return super().read(size)

    units = read_units(Failing(wav_header(len(piece) * 20), piece, 20), unit_s=20)
    assert not next(units).last
    with pytest.raises(TimeoutError, match="the bucket is slow"):
        assert not any(unit.last for unit in units)


def test_nothing_decoded_is_an_error_and_no_unit(wav_header):
    with pytest.raises(UnreadableError):
        next(read_units(io.BytesIO(wav_header(0))))
