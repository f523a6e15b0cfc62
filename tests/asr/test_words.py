"""Words have times that stay in order and inside their segment, window and recording."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.clips import OPTIONS, clip
from stenopool.asr import torch_engine as engine_module
from stenopool.asr.timestamps import TimedTokens
from stenopool.audio import read_units
from stenopool.model import SAMPLE_RATE

RECORDINGS = sorted(
    path
    for path in (Path(engine_module.__file__).parents[1] / "data" / "recordings").rglob("*.*")
    if path.suffix != ".csv"
)
SHOWN = 8
"""Of the recordings, one of this many with the slower engine."""


@pytest.fixture(params=["demo_engine", "torch_engine"])
def engine(request):
    return request.getfixturevalue(request.param)


def check_words(engine, windows):
    """What holds of every window's words; gives how many there are."""
    options = replace(OPTIONS[engine.name], word_timestamps=True)
    count = 0
    for window, result in zip(
        windows, engine.transcribe(windows, options, ["en"] * len(windows)), strict=True
    ):
        earliest_s = 0.0
        for segment in result.segments:
            assert " ".join(word.text for word in segment.words) == segment.text
            times = [time for word in segment.words for time in (word.start_s, word.end_s)]
            ordered = [earliest_s, segment.start_s, *times, segment.end_s]
            assert ordered == sorted(ordered)
            earliest_s = segment.end_s
            count += len(segment.words)
        assert earliest_s <= len(window) / SAMPLE_RATE
    return count


def windows_of(path):
    """The windows of a recording as a run cuts them, float32."""
    found = []
    for unit in read_units(path):
        ends = np.cumsum([window.samples for window in unit.windows])
        pieces = np.split(unit.samples, ends[:-1]) if unit.windows else []
        found += [piece.astype(np.float32) / 32_768 for piece in pieces]
    return found


def test_a_segment_that_begins_without_a_space_begins_with_a_word(engine):
    backend = engine._backend
    encoded = backend.encode([backend.mel(clip("digits/7_jackson_3.wav"))])[0]
    first, second = (tokens_of(engine, text) for text in (" seven", "nine eight"))
    parts = [TimedTokens(0.0, 0.3, first), TimedTokens(0.3, 0.6, second)]
    found = backend.words(encoded, parts, "en", "transcribe", 60)
    assert [[word.text for word in words] for words in found] == [["seven"], ["nine", "eight"]]


def test_words_of_a_translation_are_those_of_english(engine):
    backend = engine._backend
    encoded = backend.encode([backend.mel(clip("digits/7_jackson_3.wav"))])[0]
    parts = [TimedTokens(0.0, 0.6, tokens_of(engine, " Stenopool translates"))]
    (words,) = backend.words(encoded, parts, "zh", "translate", 60)
    assert [word.text for word in words] == ["Stenopool", "translates"]


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_words_of_the_shortest_sounds_have_times(engine, frames):
    backend = engine._backend
    encoded = backend.encode([backend.mel(np.ones(160, np.float32) / 2)])[0]
    parts = [TimedTokens(0.0, frames / 100, tokens_of(engine, " seven nine"))]
    (words,) = backend.words(encoded, parts, "en", "transcribe", frames)
    assert [word.text for word in words] == ["seven", "nine"]


def tokens_of(engine, text):
    tokenizer = getattr(engine._backend, "_plain", None) or engine._backend._tokenizer
    found = (
        tokenizer.encode(text)
        if engine.name == "ctranslate2"
        else tokenizer.encode(text, add_special_tokens=False).ids
    )
    return tuple(found)


@pytest.mark.proof
def test_words_of_the_demo_recordings_are_in_order_and_inside(engine):
    chosen = RECORDINGS if engine.name == "ctranslate2" else RECORDINGS[::SHOWN]
    windows = [window for path in chosen for window in windows_of(path)]
    assert check_words(engine, windows) >= 2 * len(windows)


def scene(seed, seconds, level):
    """Half a minute or less of digits, pauses and noise, cut off wherever it ends."""
    chance = random.Random(seed)
    parts, length = [], round(seconds * SAMPLE_RATE)
    while sum(map(len, parts)) < length:
        parts.append(np.zeros(chance.randrange(SAMPLE_RATE), np.float32))
        name = f"{chance.randrange(10)}_{chance.choice(SPEAKERS)}_{chance.randrange(50)}"
        parts.append(clip(f"digits/{name}.wav"))
    noise = np.random.default_rng(seed).normal(0, level, length)
    start = chance.randrange(SAMPLE_RATE // 2)
    samples = np.resize(np.concatenate(parts)[start:], length)
    return np.clip(samples + noise, -1, 1).astype(np.float32)


SPEAKERS = ("george", "jackson", "lucas", "nicolas")


@pytest.mark.proof
@settings(max_examples=8, derandomize=True)
@given(
    st.lists(
        st.tuples(st.integers(0, 2**32), st.floats(0.01, 30), st.sampled_from((0, 0.001, 0.05))),
        min_size=1,
        max_size=2,
    )
)
def test_words_of_any_window_are_in_order_and_inside(demo_engine, torch_engine, scenes):
    windows = [scene(*one) for one in scenes]
    for engine in (demo_engine, torch_engine):
        check_words(engine, windows)


@pytest.mark.proof
@pytest.mark.slow
@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.integers(0, 2**32), st.floats(0.01, 30), st.sampled_from((0, 0.001, 0.05))),
        min_size=1,
        max_size=3,
    )
)
def test_words_of_hundreds_of_windows_are_in_order_and_inside(demo_engine, torch_engine, scenes):
    windows = [scene(*one) for one in scenes]
    for engine in (demo_engine, torch_engine):
        check_words(engine, windows)
