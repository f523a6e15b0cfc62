"""Timestamp tokens: where segments begin and end, and what a window still owes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stenopool.asr.timestamps import split_at_timestamps

BEGIN = 1000


def at(seconds: float) -> int:
    return BEGIN + round(seconds / 0.02)


def split(*tokens, duration_s=10.0):
    return split_at_timestamps(tokens, BEGIN, duration_s)


def shape(result):
    return [(round(p.start_s, 2), round(p.end_s, 2), p.tokens) for p in result.segments]


def test_one_pair_of_timestamps_is_one_segment():
    result = split(at(0.2), 1, 2, at(1.5))
    assert shape(result) == [(0.2, 1.5, (1, 2))]
    assert result.rest_s is None


def test_double_timestamp_divides_segments():
    result = split(at(0.0), 1, at(2.0), at(2.5), 2, at(4.0))
    assert shape(result) == [(0.0, 2.0, (1,)), (2.5, 4.0, (2,))]
    assert result.rest_s is None


def test_pair_at_the_end_leaves_the_rest_to_be_decoded():
    result = split(at(0.0), 1, at(4.0), at(4.0))
    assert shape(result) == [(0.0, 4.0, (1,))]
    assert round(result.rest_s, 2) == 4.0


def test_unfinished_text_is_given_up_for_a_fresh_decoding_from_the_end_of_the_one_before():
    result = split(at(0.0), 1, at(4.0), at(7.4), 2, 3)
    assert shape(result) == [(0.0, 4.0, (1,))]
    assert round(result.rest_s, 2) == 4.0


def test_unfinished_text_is_kept_where_too_little_would_be_left_to_decode():
    result = split(at(0.0), 1, at(9.6), at(9.7), 2, 3)
    assert shape(result) == [(0.0, 9.6, (1,)), (9.7, 10.0, (2, 3))]
    assert result.rest_s is None


def test_rest_without_progress_is_not_decoded_for_ever():
    result = split(at(0.0), at(0.0), 1, 2)
    assert shape(result) == [(0.0, 10.0, (1, 2))]
    assert result.rest_s is None


def test_text_without_end_goes_on_to_the_end_of_the_window():
    assert shape(split(at(0.4), 1, 2)) == [(0.4, 10.0, (1, 2))]
    assert shape(split(1, 2)) == [(0.0, 10.0, (1, 2))]


def test_text_that_begins_behind_the_sound_is_in_all_of_it():
    assert shape(split(at(0.6), 1, 2, duration_s=0.5)) == [(0.0, 0.5, (1, 2))]
    assert shape(split(at(0.5), 1, duration_s=0.5)) == [(0.0, 0.5, (1,))]


def test_nothing_said_is_no_segment():
    assert shape(split()) == []
    assert shape(split(at(0.0), at(3.0))) == []


@given(st.lists(st.integers(0, BEGIN + 1500), max_size=40), st.floats(0.1, 30.0))
def test_every_text_token_is_in_one_segment_or_behind_the_rest(tokens, duration_s):
    result = split_at_timestamps(tokens, BEGIN, duration_s)
    kept = [token for part in result.segments for token in part.tokens]
    text = [token for token in tokens if token < BEGIN]
    assert kept == text[: len(kept)]
    if result.rest_s is None:
        assert kept == text
    else:
        assert 1.0 <= result.rest_s <= duration_s - 0.5
