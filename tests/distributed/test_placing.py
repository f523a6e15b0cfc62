"""What an engine says of a window is put where it was said in the recording."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stenopool.asr.segments import in_window
from stenopool.distributed.transcribing import shifted
from stenopool.model import SAMPLE_RATE, WINDOW_SAMPLES, Segment, Span, Word

TEN_HOURS = 10 * 3600 * SAMPLE_RATE


def segment(start_s, end_s):
    word = Word(start_s=start_s, end_s=end_s, text="word", probability=0.5)
    return Segment(start_s=start_s, end_s=end_s, text="word", words=(word,))


@st.composite
def windows(draw):
    """Windows of a recording, ordered and disjoint, with what a model says is in each."""
    at = draw(st.integers(0, TEN_HOURS))
    found = []
    for _ in range(draw(st.integers(1, 4))):
        at += draw(st.sampled_from((0, 0, 1, 5_000)))
        span = Span(at, at + draw(st.integers(1, WINDOW_SAMPLES)))
        times = draw(st.lists(st.tuples(st.floats(-1, 31), st.floats(-1, 31)), max_size=3))
        found.append((span, in_window([segment(*pair) for pair in times], span.samples / 16_000)))
        at = span.end
    return found


@given(windows())
@example([(Span(0, 16_009), in_window([segment(0.0, 30.0)], 16_009 / 16_000))])
def test_times_stay_ordered_and_inside_their_window_to_a_millisecond(found):
    placed = [(span, shifted(segment, span)) for span, said in found for segment in said]
    times = [
        time
        for _, segment in placed
        for time in (
            segment.start_s,
            *(time for word in segment.words for time in (word.start_s, word.end_s)),
            segment.end_s,
        )
    ]
    assert times == sorted(times)
    for span, segment in placed:
        assert span.start / SAMPLE_RATE - 0.001 < segment.start_s
        assert segment.end_s <= span.end / SAMPLE_RATE


@given(st.integers(0, TEN_HOURS // SAMPLE_RATE), st.integers(0, 1_500))
def test_a_step_of_the_model_is_exact_at_any_depth(start_s, step):
    said = segment(step * 0.02, step * 0.02)
    placed = shifted(said, Span(start_s * SAMPLE_RATE, TEN_HOURS * 2))
    assert placed.start_s == pytest.approx(start_s + step / 50, abs=1e-9)


@given(st.integers(0, TEN_HOURS), st.integers(1, WINDOW_SAMPLES), st.integers(1, WINDOW_SAMPLES))
def test_windows_that_touch_give_times_that_touch(start, first, second):
    spans = Span(start, start + first), Span(start + first, start + first + second)
    placed = [
        shifted(in_window([segment(0.0, 30.0)], span.samples / SAMPLE_RATE)[0], span)
        for span in spans
    ]
    assert all(left.end_s == right.start_s for left, right in pairwise(placed))
