"""Clips that share a window come out as they would alone, or are transcribed alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenopool.asr.packing import GAP, cut_back, joined, packs_of, places, transcribe_packed
from stenopool.model import SAMPLE_RATE, WINDOW_SAMPLES, Segment, Span, WindowResult, Word

LENGTHS = st.lists(st.integers(1, WINDOW_SAMPLES), max_size=40)


def clip(level, seconds):
    """A clip whose every sample is one number, which says what its text is."""
    return np.full(round(seconds * SAMPLE_RATE), level, np.float32)


def said(*segments, **more):
    return WindowResult(segments=segments, language="en", language_probability=1.0, **more)


def listener(calls=None, late_s=0.0):
    """Hears a text in each stretch of one level, which ends late; notes how many windows it got."""

    def transcribe(windows):
        if calls is not None:
            calls.append(len(windows))
        return [said(*heard_in(window)) for window in windows]

    def heard_in(window):
        at = 0
        for level, run in groupby(window.tolist()):
            length = len(list(run))
            start_s, end_s = at / SAMPLE_RATE, (at + length) / SAMPLE_RATE + late_s
            word = Word(start_s=start_s, end_s=end_s, text=f"{level:.4f}", probability=1.0)
            if level:
                yield Segment(start_s=start_s, end_s=end_s, text=word.text, words=(word,))
            at += length

    return transcribe


@given(LENGTHS)
def test_each_clip_is_in_one_pack_and_no_pack_is_longer_than_a_window(lengths):
    packs = packs_of(lengths)
    assert sorted(number for pack in packs for number in pack) == list(range(len(lengths)))
    for pack in packs:
        assert sum(lengths[number] + GAP for number in pack) - GAP <= WINDOW_SAMPLES


def test_clips_of_seven_seconds_go_three_to_a_window_and_short_ones_beside_long_ones():
    assert [len(pack) for pack in packs_of([7 * SAMPLE_RATE] * 12)] == [3, 3, 3, 3]
    assert packs_of([2 * SAMPLE_RATE, 26 * SAMPLE_RATE]) == [[1, 0]]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_a_shared_window_holds_each_clip_verbatim_with_silence_between(lengths):
    clips = [np.full(length, number + 1, np.float32) for number, length in enumerate(lengths)]
    window, spans = joined(clips), places(lengths)
    for one, span in zip(clips, spans, strict=True):
        assert np.array_equal(window[span.start : span.end], one)
    assert all(right.start - left.end == GAP for left, right in pairwise(spans))
    assert np.count_nonzero(window) == sum(lengths)


@given(st.lists(st.floats(0.1, 30), max_size=12), st.floats(0, 0.19))
def test_clips_get_the_texts_and_times_that_they_get_alone(seconds, late_s):
    clips = [clip((number + 1) / 100, length) for number, length in enumerate(seconds)]
    for one, result in zip(clips, transcribe_packed(listener(late_s=late_s), clips), strict=True):
        [segment] = result.segments
        assert segment.text == f"{float(one[0]):.4f}"
        assert segment.start_s == pytest.approx(0, abs=1e-6)
        assert segment.end_s == pytest.approx(len(one) / SAMPLE_RATE, abs=0.2)
        assert (segment.words[0].start_s, segment.words[0].end_s) == (
            segment.start_s,
            segment.end_s,
        )


def test_nine_clips_cost_three_windows():
    calls = []
    transcribe_packed(listener(calls), [clip(n / 10, 8) for n in range(1, 10)])
    assert calls == [3]


def test_silence_and_what_are_no_numbers_share_no_window():
    lengths = []

    def transcribe(windows):
        lengths.append([len(window) / SAMPLE_RATE for window in windows])
        return listener()(windows)

    silent, broken = clip(0, 2), clip(np.nan, 2)
    results = transcribe_packed(transcribe, [silent, clip(0.1, 2), broken, clip(0.2, 2)])
    assert lengths == [[5], [2, 2]]
    assert [len(results[number].segments) for number in (0, 1, 3)] == [0, 1, 1]


SPANS = places([2 * SAMPLE_RATE] * 3)  # 0 to 2, 3 to 5 and 6 to 8 s
WHOLE = [Segment(start_s=start, end_s=start + 2, text="x", temperature=0.0) for start in (0, 3, 6)]


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        pytest.param(said(*WHOLE), [0, 1, 2], id="a text each"),
        pytest.param(said(WHOLE[0], WHOLE[2]), [0, 2], id="one has none"),
        pytest.param(
            said(replace(WHOLE[0], end_s=4.5), WHOLE[2]), [2], id="one reaches into the next"
        ),
        pytest.param(
            said(WHOLE[0], replace(WHOLE[1], start_s=1.0), WHOLE[2]), [2], id="or begins before"
        ),
        pytest.param(said(WHOLE[0], replace(WHOLE[1], end_s=6.1), WHOLE[2]), [0, 1, 2], id="late"),
        pytest.param(
            said(*WHOLE[:2], replace(WHOLE[0], start_s=2.1, end_s=2.9), WHOLE[2]), [], id="in a gap"
        ),
        pytest.param(said(*WHOLE, warnings=("repeats itself",)), [], id="a warning"),
        pytest.param(said(*WHOLE[:2], replace(WHOLE[2], temperature=0.2)), [], id="a retry"),
        pytest.param(said(), [], id="nothing"),
    ],
)
def test_what_is_in_doubt_is_not_kept(result, kept):
    cut = cut_back(result, SPANS)
    assert [number for number, one in enumerate(cut) if one is not None] == kept


def test_a_clip_shorter_than_the_reach_is_not_swallowed_by_its_neighbour():
    spans = [Span(0, 2 * SAMPLE_RATE), Span(3 * SAMPLE_RATE, 3 * SAMPLE_RATE + 1600)]
    assert cut_back(said(replace(WHOLE[0], end_s=3.5)), spans) == [None, None]


def test_what_is_in_doubt_is_transcribed_alone():
    calls = []
    alone = listener()

    def joins_texts(windows):
        calls.append(len(windows))
        results = alone(windows)
        return [
            said(replace(one.segments[0], end_s=one.segments[-1].end_s)) if len(one.segments) > 1
            else one
            for one in results
        ]  # fmt: skip

    clips = [clip(n / 10, 3) for n in range(1, 5)]
    results = transcribe_packed(joins_texts, clips)
    assert calls == [1, 4]
    assert [one.segments[0].text for one in results] == ["0.1000", "0.2000", "0.3000", "0.4000"]
