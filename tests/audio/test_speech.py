"""The VAD finds what is spoken, however short, and nothing in silence, noise and tones."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from faster_whisper.vad import get_speech_timestamps
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.making import spoken
from stenopool.audio import decode_audio, find_speech, read_units
from stenopool.audio.speech import FRAME, SpeechFinder, speech_spans
from stenopool.model import Span

RATE = 16_000
TIMES = np.arange(10 * RATE) / RATE


def frames_in(spans, length):
    """Which frames of a recording are in the spans."""
    judged = np.zeros(length // FRAME + 1, bool)
    for start, end in spans:
        judged[start // FRAME : -(-end // FRAME)] = True
    return judged


@pytest.mark.parametrize(
    "path", ["jfk/jfk.flac", "ljspeech/LJ001-0001.wav", "ljspeech/LJ001-0006.wav"]
)
def test_speech_is_where_faster_whisper_finds_it(path, shared):
    samples = decode_audio(shared / path)
    ours = [(span.start, span.end) for span in find_speech(samples)]
    theirs = get_speech_timestamps(
        samples, threshold=0.35, min_silence_duration_ms=100, speech_pad_ms=0
    )

    found = frames_in(ours, len(samples))
    expected = frames_in([(span["start"], span["end"]) for span in theirs], len(samples))
    assert expected.any()
    assert np.mean(found == expected) > 0.97


def test_speech_between_silences_is_found_where_it_is(speech):
    silence = np.zeros(10 * RATE, np.int16)
    spans = find_speech(np.concatenate([silence, speech, silence]))

    assert abs(spans[0].start - 10 * RATE) < RATE // 5
    assert abs(spans[-1].end - (10 * RATE + len(speech))) < RATE // 2
    assert sum(span.samples for span in spans) > 0.8 * len(speech)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(10 * RATE),
        np.full(10 * RATE, 0.1),
        np.random.default_rng(1).normal(0, 0.001, 10 * RATE),
        np.random.default_rng(2).normal(0, 0.01, 10 * RATE),
        0.5 * np.sin(2 * np.pi * 440 * TIMES),
        0.02 * np.sin(2 * np.pi * 50 * TIMES),
        np.zeros(1),
        np.zeros(0),
    ],
    ids=["silence", "offset", "hiss", "noise", "tone", "hum", "sample", "nothing"],
)
def test_there_is_no_speech_in_what_nobody_says(samples):
    assert find_speech(samples.astype(np.float32)) == []
    assert find_speech((samples * 32_767).astype(np.int16)) == []


def test_short_words_with_no_silence_around_them_are_kept(shared):
    """Of all 2,000 digits one is lost; every eighth is tried here."""
    paths = sorted((shared / "digits").glob("*.wav"))[::8]
    lost = [path.name for path in paths if not next(read_units(path)).windows]

    assert len(paths) == 250
    assert lost == []


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 40_000), min_size=1, max_size=12))
def test_judging_piece_by_piece_is_judging_at_once(sizes, speech):
    samples = speech[: sum(sizes)]
    whole, pieces = SpeechFinder(), SpeechFinder()
    ends = np.cumsum([0, *sizes])
    parts = [pieces.feed(samples[a:b]) for a, b in pairwise(ends)]
    found = np.concatenate([*parts, pieces.finish()])

    assert len(found) == -(-len(samples) // FRAME)
    np.testing.assert_allclose(
        found, np.concatenate([whole.feed(samples), whole.finish()]), atol=1e-5
    )


@given(
    probabilities=st.lists(st.floats(0, 1, width=32), max_size=60),
    first_frame=st.integers(0, 5),
    ends=st.tuples(st.integers(0, 40 * FRAME), st.integers(0, 40 * FRAME)),
    alone=st.booleans(),
)
def test_spans_are_ordered_disjoint_and_inside(probabilities, first_frame, ends, alone):
    within = Span(min(ends), max(ends))
    spans = speech_spans(np.array(probabilities, np.float32), first_frame, within, alone=alone)

    edges = [edge for span in spans for edge in (span.start, span.end)]
    assert edges == sorted(edges)
    assert len(set(edges)) == len(edges)
    assert all(within.start <= edge <= within.end for edge in edges)


def test_speech_goes_on_while_it_is_only_a_little_less_likely():
    probabilities = np.array([0.3, 0.4, 0.3, 0.21, 0.4, 0.1, 0.3, 0.0, 0.0, 0.0], np.float32)

    assert speech_spans(probabilities, 0, Span(0, 10 * FRAME), alone=False) == [
        Span(FRAME, 5 * FRAME)
    ]


def test_a_short_silence_belongs_to_the_speech_around_it():
    def spans(silent_frames):
        probabilities = np.array([0.9, 0.9, *[0.1] * silent_frames, 0.9, 0.9], np.float32)
        return speech_spans(probabilities, 0, Span(0, 100 * FRAME), alone=False)

    assert spans(3) == [Span(0, 7 * FRAME)]
    assert spans(4) == [Span(0, 2 * FRAME), Span(6 * FRAME, 8 * FRAME)]


def test_faint_speech_counts_only_where_nothing_is_clear():
    faint = np.array([0.0, 0.3, 0.11, 0.0, 0.0, 0.0, 0.0, 0.0], np.float32)
    clear = np.array([0.0, 0.3, 0.11, 0.0, 0.0, 0.0, 0.0, 0.9], np.float32)
    whole = Span(0, 8 * FRAME)

    assert speech_spans(faint, 0, whole, alone=True) == [Span(FRAME, 3 * FRAME)]
    assert speech_spans(faint, 0, whole, alone=False) == []
    assert speech_spans(clear, 0, whole, alone=True) == [Span(7 * FRAME, 8 * FRAME)]


def test_words_after_long_silence_are_found(shared, read_wav, at_16_khz):
    """Silero's memory, left alone, overlooks most of these."""
    paths = sorted((shared / "digits").glob("*_jackson_*.wav"))[::40]
    words = [at_16_khz(*read_wav(path)) for path in paths]
    silence = np.random.default_rng(6).normal(0, 8, 15 * RATE).astype(np.int16)
    spans = find_speech(np.concatenate([part for word in words for part in (silence, word)]))

    starts = np.cumsum([0, *(len(silence) + len(word) for word in words[:-1])]) + len(silence)
    found = [
        any(span.start < start + len(word) and start < span.end for span in spans)
        for start, word in zip(starts, words, strict=True)
    ]
    assert len(words) == 13
    assert sum(found) >= 12


def test_words_in_silence_of_all_zeros_are_found():
    """As noise gates and codecs leave it between answers; Silero overlooks one in sixty there."""
    recording = spoken(2, 120, (1.0, 3.0))
    spans = find_speech(recording.samples)

    assert [
        word
        for word, place in zip(recording.words, recording.places, strict=True)
        if not any(span.start < place.end and place.start < span.end for span in spans)
    ] == []


def test_no_engine_is_loaded_to_read_a_recording(shared):
    path = shared / "ljspeech" / "LJ001-0002.flac"
    code = (
        "import sys; from stenopool.audio import read_units;"
        f"assert next(read_units({str(path)!r})).windows;"
        "print(sorted({'ctranslate2', 'faster_whisper', 'torch', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)

    assert done.stdout == "[]\n"
    assert done.stderr == ""
