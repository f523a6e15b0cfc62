"""Whatever times a model names, those of segments and words are in order and inside the window."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asr.random_weights.checkpoints import sounds
from asr.random_weights.engines import OPTIONS
from stenopool.asr import quality
from stenopool.asr.whisper import transcribe_windows
from stenopool.model import SAMPLE_RATE

WINDOWS = sounds(8)
WORDS = replace(OPTIONS, word_timestamps=True)


@pytest.fixture(autouse=True)
def _greedy(monkeypatch):
    """Random weights believe in no text, and would be asked again and again."""
    monkeypatch.setattr(quality, "TEMPERATURES", (0.0,))


def test_words_are_in_order_and_inside_segment_and_window(backend):
    results = transcribe_windows(backend, WINDOWS, WORDS, ["en"] * len(WINDOWS))
    assert sum(len(segment.words) for result in results for segment in result.segments) > 20
    for window, result in zip(WINDOWS, results, strict=True):
        times = [0.0]
        for segment in result.segments:
            times.append(segment.start_s)
            times += [time for word in segment.words for time in (word.start_s, word.end_s)]
            times.append(segment.end_s)
        assert times == sorted(times)
        assert times[-1] <= len(window) / SAMPLE_RATE


def test_both_engines_name_the_same_times(backends):
    """Where attention is not so sharp that CTranslate2 gives up."""
    ours, theirs = (
        transcribe_windows(backends(name, 51_866, 128, 1.0), WINDOWS, WORDS, ["en"] * len(WINDOWS))
        for name in ("ctranslate2", "torch")
    )
    for one, other in zip(ours, theirs, strict=True):
        assert [segment.text for segment in one.segments] == [s.text for s in other.segments]
        assert _times(one) == pytest.approx(_times(other), abs=1e-6)


def _times(result):
    return [
        time
        for segment in result.segments
        for part in (segment, *segment.words)
        for time in (part.start_s, part.end_s)
    ]


def test_segment_keeps_its_time_where_ctranslate2_cannot_place_the_words(backends):
    """Attention so sharp that it vanishes for all tokens alike divides zero by zero there."""
    backend, (window,) = backends("ctranslate2", 51_866, 128), WINDOWS[1:2]
    plain, timed = (
        transcribe_windows(backend, [window], options, ["en"])[0] for options in (OPTIONS, WORDS)
    )
    assert [replace(segment, words=()) for segment in timed.segments] == list(plain.segments)
    assert all(segment.words for segment in timed.segments)
