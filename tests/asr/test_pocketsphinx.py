"""The engine that is always there, on read English."""

from __future__ import annotations

import csv

import jiwer
import numpy as np
import pytest

from asr.clips import AUDIO, OPTIONS, clip, text_of
from stenopool.model import SAMPLE_RATE

WORDS = jiwer.Compose(
    [jiwer.ToLowerCase(), jiwer.RemovePunctuation(), jiwer.ReduceToListOfListOfWords()]
)


def transcribe(engine, *windows, **changes):
    from dataclasses import replace

    options = replace(OPTIONS["pocketsphinx"], **changes)
    return engine.transcribe(list(windows), options, ["en"] * len(windows))


@pytest.fixture(scope="module")
def references():
    with (AUDIO / "manifest.csv").open(newline="") as file:
        return {row["path"]: row["transcript"] for row in csv.DictReader(file)}


def test_word_error_rate_on_read_sentences_is_under_a_third(pocketsphinx_engine, references):
    paths = [f"ljspeech/LJ001-000{n}.flac" for n in (2, 4, 8)]
    found = [text_of(r) for r in transcribe(pocketsphinx_engine, *map(clip, paths))]
    rate = jiwer.wer(
        [references[path].replace("-", " ") for path in paths],
        found,
        reference_transform=WORDS,
        hypothesis_transform=WORDS,
    )
    assert rate < 0.30, found


def test_result_depends_on_the_window_alone(pocketsphinx_engine):
    flac, wav = (clip(f"ljspeech/LJ001-0008.{kind}") for kind in ("flac", "wav"))
    np.testing.assert_array_equal(flac, wav)
    alone = transcribe(pocketsphinx_engine, flac)
    transcribe(pocketsphinx_engine, clip("digits/4_george_0.wav"))
    assert transcribe(pocketsphinx_engine, wav) == alone


def test_long_pause_divides_segments_and_fillers_are_no_words(pocketsphinx_engine):
    sentence = clip("ljspeech/LJ001-0008.flac")
    pause = np.zeros(2 * SAMPLE_RATE, dtype=np.float32)
    window = np.concatenate([sentence, pause, sentence])
    (result,) = transcribe(pocketsphinx_engine, window, word_timestamps=True)
    first, *_, last = result.segments
    length_s = len(sentence) / SAMPLE_RATE
    assert first.end_s < length_s + 0.5
    assert last.start_s > length_s + 1.5
    words = [word.text for segment in result.segments for word in segment.words]
    assert all(word.replace("'", "").isalpha() for word in words)
