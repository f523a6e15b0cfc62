"""Times of segments and words are brought into their window."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stenopool.asr.segments import in_window
from stenopool.model import Segment, Word

TIMES = st.floats(-5.0, 40.0)


def word(start_s, end_s, text="word"):
    return Word(start_s=start_s, end_s=end_s, text=text, probability=0.5)


def segment(start_s, end_s, *words):
    return Segment(start_s=start_s, end_s=end_s, text="text", words=words)


def test_times_behind_a_short_window_are_clamped_to_its_end():
    (placed,) = in_window([segment(0.2, 7.0)], 0.5)
    assert (placed.start_s, placed.end_s) == (0.2, 0.5)


def test_first_and_last_word_do_not_reach_over_their_segment():
    (placed,) = in_window([segment(1.0, 2.0, word(0.0, 1.5), word(1.5, 3.0))], 10.0)
    assert (placed.start_s, placed.end_s) == (1.0, 2.0)
    assert [(w.start_s, w.end_s) for w in placed.words] == [(1.0, 1.5), (1.5, 2.0)]


def test_segment_grows_to_hold_a_word_that_lies_outside_it():
    (placed,) = in_window([segment(1.0, 2.0, word(1.0, 2.0), word(2.5, 3.0))], 10.0)
    assert (placed.start_s, placed.end_s) == (1.0, 3.0)


@given(
    st.lists(st.tuples(TIMES, TIMES, st.lists(st.tuples(TIMES, TIMES), max_size=4)), max_size=5),
    st.floats(0.0, 30.0),
)
def test_whatever_a_model_says_times_end_up_ordered_and_inside(raw, duration_s):
    segments = [segment(a, b, *(word(*pair) for pair in pairs)) for a, b, pairs in raw]
    placed = in_window(segments, duration_s)
    assert [s.text for s in placed] == [s.text for s in segments]
    outer = [t for s in placed for t in (s.start_s, s.end_s)]
    assert outer == sorted(outer)
    for s, before in zip(placed, segments, strict=True):
        inner = [s.start_s, *(t for w in s.words for t in (w.start_s, w.end_s)), s.end_s]
        assert inner == sorted(inner)
        assert 0.0 <= inner[0] <= inner[-1] <= duration_s
        assert [w.text for w in s.words] == [w.text for w in before.words]
