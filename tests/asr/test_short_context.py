"""An encoder that sees a clip and little more says the same, for a part of the work."""

from __future__ import annotations

from dataclasses import replace

import jiwer
import numpy as np
import pytest

from asr.clips import OPTIONS, demo_clips, digit, text_of
from stenopool.asr.features import (
    CONTEXT_LONGEST,
    CONTEXT_MARGIN,
    CONTEXT_STEP,
    FRAMES,
    context_frames,
)
from stenopool.model import SAMPLE_RATE, WINDOW_S

SHORT = replace(OPTIONS["ctranslate2"], language="en", short_clips="context")


def transcribe(engine, windows, options=SHORT):
    return engine.transcribe(windows, options, [None] * len(windows))


def filled_up(sound, seconds):
    return np.pad(sound, (0, round(seconds * SAMPLE_RATE) - len(sound)))


@pytest.fixture
def encoded(demo_engine, monkeypatch):
    """The shapes of what the engine encodes, as it does."""
    shapes = []
    encode = demo_engine._backend.encode

    def noting(mels):
        found = encode(mels)
        shapes.extend((mel.shape, one.shape) for mel, one in zip(mels, found, strict=True))
        return found

    monkeypatch.setattr(demo_engine._backend, "encode", noting)
    return shapes


@pytest.mark.parametrize("frames", [0, 1, 99, 200, 201, CONTEXT_LONGEST])
def test_a_context_has_the_margin_and_not_much_more(frames):
    context = context_frames(frames)
    assert frames + CONTEXT_MARGIN <= context < frames + CONTEXT_MARGIN + CONTEXT_STEP
    assert context % 2 == 0


@pytest.mark.parametrize("frames", [CONTEXT_LONGEST + 1, 2999, 3000])
def test_a_clip_that_is_not_short_has_all_of_the_context(frames):
    assert context_frames(frames) == FRAMES


def test_the_encoder_sees_the_clip_and_the_margin(demo_engine, encoded):
    transcribe(demo_engine, [filled_up(digit(3), 3.5)])
    width = encoded[0][1][1]
    assert encoded[0] == ((128, 600), (300, width))
    encoded.clear()
    transcribe(demo_engine, [digit(3)], replace(SHORT, short_clips=None))
    assert encoded[0] == ((128, 3000), (1500, width))


def test_neither_batch_nor_order_change_a_text(demo_engine):
    windows = [filled_up(digit(number), number) for number in range(2, 10)]
    alone = [transcribe(demo_engine, [window])[0] for window in windows]
    assert transcribe(demo_engine, windows) == alone
    assert transcribe(demo_engine, windows[::-1]) == alone[::-1]


def test_a_full_window_is_read_as_without(demo_engine):
    window = filled_up(digit(5), WINDOW_S)
    assert transcribe(demo_engine, [window]) == transcribe(
        demo_engine, [window], replace(SHORT, short_clips=None)
    )


def test_the_demo_recordings_are_read_no_worse(demo_engine):
    clips = demo_clips()
    texts = [text for _, text in clips]
    rates = [
        jiwer.wer(texts, [text_of(one) for one in transcribe(demo_engine, sounds, options)])
        for sounds in [[sound for sound, _ in clips]]
        for options in (replace(SHORT, short_clips=None), SHORT)
    ]
    assert rates[1] <= rates[0] + 0.01  # two words of 195


def test_words_lie_inside_the_clip(demo_engine):
    [result] = transcribe(demo_engine, [digit(7)], replace(SHORT, word_timestamps=True))
    words = [word for segment in result.segments for word in segment.words]
    assert words
    assert all(0 <= w.start_s <= w.end_s <= len(digit(7)) / SAMPLE_RATE for w in words)
