"""Windows keep every word, none is over 30 s, and they are cut where it is quiet."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stenopool.audio import cut_windows
from stenopool.audio.windows import LONGEST_SILENCE, PAD_AFTER, PAD_BEFORE, quietest, tile
from stenopool.model import WINDOW_SAMPLES, Span

RATE = 16_000
LOUD = np.random.default_rng(4).integers(-9_000, 9_000, 300 * RATE).astype(np.int16)


def at(start_s, end_s):
    return Span(round(start_s * RATE), round(end_s * RATE))


def spans_of(lengths):
    """Make spans of (silence, speech) pairs in samples, and the recording's length."""
    spans, position = [], 0
    for silence, speech in lengths:
        spans.append(Span(position + silence, position + silence + speech))
        position += silence + speech
    return spans, position


pairs = st.tuples(st.integers(1, 20 * RATE), st.integers(1, 45 * RATE))
short_pairs = st.tuples(st.integers(1, RATE), st.integers(1, 6 * RATE))


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.lists(pairs, max_size=4) | st.lists(short_pairs, max_size=40),
    tail=st.integers(0, 3 * RATE),
)
def test_windows_are_ordered_disjoint_short_and_keep_all_speech(lengths, tail):
    speech, end = spans_of(lengths)
    samples = LOUD[: end + tail]
    windows = cut_windows(samples, speech)

    assert all(0 < window.samples <= WINDOW_SAMPLES for window in windows)
    assert all(left.end <= right.start for left, right in pairwise(windows))
    assert all(window.start >= 0 and window.end <= len(samples) for window in windows)
    for span in speech:
        kept = sum(
            max(0, min(span.end, window.end) - max(span.start, window.start)) for window in windows
        )
        assert kept == span.samples


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(short_pairs, min_size=20, max_size=40))
def test_there_are_hardly_more_windows_than_needed(lengths):
    speech, end = spans_of(lengths)
    windows = cut_windows(LOUD[:end], speech)

    greedy, start = 1, speech[0].start
    for span in speech:
        if span.end - start > WINDOW_SAMPLES - PAD_BEFORE - PAD_AFTER:
            greedy, start = greedy + 1, span.start
    assert len(windows) <= 1 + 1.5 * greedy


def test_without_speech_there_is_no_window():
    assert cut_windows(LOUD[: 10 * RATE], []) == []


def test_a_few_seconds_with_any_speech_are_one_window_to_their_end():
    assert cut_windows(LOUD[: 5 * RATE], [at(1, 1.1), at(3, 3.1)]) == [at(0, 5)]
    assert cut_windows(LOUD[: 5 * RATE], [at(2, 2.1)]) == [at(1.6, 5)]
    assert cut_windows(LOUD[: 5 * RATE], [at(1, 1.1), at(4, 4.1)]) == [at(0, 3.6), at(3.6, 5)]


def test_half_a_minute_is_one_window_from_first_to_last_word():
    assert cut_windows(LOUD[: 30 * RATE], [at(3, 4), at(6, 7)]) == [at(2.6, 7.2)]
    assert cut_windows(LOUD[: 30 * RATE], [at(0.1, 29.9)]) == [at(0, 30)]


@given(lengths=st.lists(pairs, min_size=2, max_size=6), tail=st.integers(0, 3 * RATE))
@settings(max_examples=100, deadline=None)
def test_no_window_goes_over_a_silence_in_which_a_model_would_stop(lengths, tail):
    speech, end = spans_of(lengths)
    windows = cut_windows(LOUD[: end + tail], speech)

    for before, after in pairwise(speech):
        if after.start - before.end > LONGEST_SILENCE:
            assert not any(w.start < before.end and after.start < w.end for w in windows)
    assert all(left.end <= right.start for left, right in pairwise(windows))


def test_windows_are_cut_in_the_longest_silence():
    speech = [at(0, 9), at(9.2, 16), at(17.5, 22), at(22.3, 29), at(29.2, 40)]

    assert cut_windows(LOUD[: 40 * RATE], speech) == [at(0, 16.2), at(17.1, 40)]


def test_a_longer_silence_is_no_worse_than_a_long_one():
    speech = [at(0, 10), at(11, 20), at(22, 39)]

    assert cut_windows(LOUD[: 39 * RATE], speech) == [at(0, 20.2), at(21.6, 39)]


def test_few_windows_matter_more_than_a_little_silence():
    speech = [at(0, 5), at(6, 14), at(14.2, 20), at(21, 29), at(29.3, 36), at(37, 44)]

    assert len(cut_windows(LOUD[: 44 * RATE], speech)) == 2


def test_one_poor_cut_is_better_than_two_good_ones():
    speech = [at(0, 10), at(12, 27), at(27.1, 42), at(44, 55)]

    assert len(cut_windows(LOUD[: 55 * RATE], speech)) == 2


def test_the_silence_around_a_window_counts_in_its_length():
    speech = [at(2, 15), at(15.5, 31.7), at(42, 50)]

    assert all(
        window.samples <= WINDOW_SAMPLES for window in cut_windows(LOUD[: 60 * RATE], speech)
    )


def test_silence_between_two_windows_is_shared():
    speech = [at(0, 20), at(20.3, 45)]

    assert cut_windows(LOUD[: 45 * RATE], speech) == [at(0, 20.1), at(20.1, 45)]


def test_long_speech_is_cut_where_it_is_quietest():
    samples = LOUD[: 50 * RATE].copy()
    samples[27 * RATE : 27 * RATE + 400] //= 50
    windows = cut_windows(samples, [at(0, 50)])

    assert len(windows) == 2
    assert windows[0].end == windows[1].start
    assert 27 * RATE <= windows[0].end <= 27 * RATE + 400


def test_tiles_cover_everything_and_are_cut_where_it_is_quietest():
    samples = LOUD[: 60 * RATE].copy()
    samples[26 * RATE : 26 * RATE + 500] = 0
    tiles = tile(samples)

    assert tiles[0].start == 0
    assert tiles[-1].end == len(samples)
    assert all(left.end == right.start for left, right in pairwise(tiles))
    assert all(0 < window.samples <= WINDOW_SAMPLES for window in tiles)
    assert 26 * RATE <= tiles[0].end <= 26 * RATE + 500
    assert tile(LOUD[: 30 * RATE]) == [at(0, 30)]
    assert tile(LOUD[:0]) == []


@given(
    length=st.integers(1, 5_000),
    quiet_at=st.integers(0, 5_000),
    offset=st.integers(0, 1_000),
)
def test_the_quietest_place_is_found_inside_the_stretch(length, quiet_at, offset):
    samples = LOUD[: offset + length].copy()
    samples[offset + quiet_at : offset + quiet_at + 320] = 1
    place = quietest(samples, Span(offset, offset + length))

    assert offset <= place <= offset + length
    if length > 320 and quiet_at + 320 <= length:
        assert place == offset + quiet_at + 160
