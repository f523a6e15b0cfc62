"""Whisper's rules on a usable text reach both engines: a window that fails is treated alone.

Each threshold is moved to where one of two windows fails.
"""

from __future__ import annotations

import pytest

from asr.clips import OPTIONS, digit, text_of
from stenopool.asr import quality

WINDOWS = [digit(6), digit(7)]
GREEDY = (0.0, 2)
"""Temperature of the first decoding, and how many windows it has."""


@pytest.fixture(params=["demo_engine", "torch_engine"])
def engine(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def decodings(engine, monkeypatch):
    """Temperature and number of windows of each decoding that the engine makes."""
    made = []
    generate = engine._backend.generate

    def noted(encoded, languages, options, temperature):
        made.append((temperature, len(encoded)))
        return generate(encoded, languages, options, temperature)

    monkeypatch.setattr(engine._backend, "generate", noted)
    monkeypatch.setattr(quality, "TEMPERATURES", (0.0, 0.2))
    return made


def transcribe(engine):
    return engine.transcribe(WINDOWS, OPTIONS[engine.name], ["en"] * len(WINDOWS))


def between(results, field):
    """A value between those of the windows' first segments, and which window has the lower one."""
    values = [getattr(result.segments[0], field) for result in results]
    assert values[0] != values[1]
    return sum(values) / 2, int(values[1] < values[0])


def test_window_that_was_guessed_at_is_tried_again_alone(engine, decodings, monkeypatch):
    before = transcribe(engine)
    threshold, guessed = between(before, "avg_logprob")
    monkeypatch.setattr(quality, "MIN_AVG_LOGPROB", threshold)
    after = transcribe(engine)
    assert decodings == [GREEDY, GREEDY, (0.2, 1)]
    assert after[1 - guessed] == before[1 - guessed]


def test_window_that_repeats_itself_is_tried_again_alone(engine, decodings, monkeypatch):
    before = transcribe(engine)
    threshold, _ = between(before, "compression_ratio")
    monkeypatch.setattr(quality, "MAX_COMPRESSION_RATIO", threshold)
    plain, repeating = transcribe(engine)
    assert decodings == [GREEDY, GREEDY, (0.2, 1)]
    assert plain == before[0]
    assert all(segment.compression_ratio is not None for segment in repeating.segments)


def test_window_without_speech_by_the_models_own_word_is_silence(engine, decodings, monkeypatch):
    before = transcribe(engine)
    threshold, guessed = between(before, "avg_logprob")
    monkeypatch.setattr(quality, "MIN_AVG_LOGPROB", threshold)
    monkeypatch.setattr(quality, "MAX_NO_SPEECH_PROB", 0.0)
    after = transcribe(engine)
    assert decodings == [GREEDY, GREEDY]
    assert text_of(after[guessed]) == ""
    assert after[1 - guessed] == before[1 - guessed]
