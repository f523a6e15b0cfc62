"""What is said of a whole transcript: figures that mean what they say, and a warning for each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenopool.asr.flags import flags_of as judged
from stenopool.model import SAMPLE_RATE, Segment, Span

PLAIN = "Printing, in the only sense with which we are at present concerned, differs"
OTHER = "from most if not from all the arts and crafts represented in the Exhibition"


def flags_of(segments, speech, duration_s=60.0):
    return judged(segments, speech, duration_s)


def said(start_s, end_s, text=PLAIN, **figures):
    """A segment as Whisper gives it, of speech that it is sure of."""
    known = {"avg_logprob": -0.2, "no_speech_prob": 0.01, "compression_ratio": 1.2}
    return Segment(start_s=start_s, end_s=end_s, text=text, **known | figures)


def speech(*spans):
    return [Span(round(a * SAMPLE_RATE), round(b * SAMPLE_RATE)) for a, b in spans]


def test_good_speech_has_no_warning():
    found = flags_of([said(0, 5), said(5.2, 10, OTHER)], speech((0.1, 4.9), (5.3, 9.5)))
    assert found.warnings == ()
    assert found.coverage == 1.0
    assert found.avg_logprob == pytest.approx(-0.2)
    assert (found.low_confidence_share, found.silence_phrases) == (0.0, 0)


def test_a_recording_in_which_nobody_speaks_has_no_figures_and_no_warning():
    found = flags_of([], [])
    assert (found.coverage, found.avg_logprob, found.low_confidence_share) == (None,) * 3
    assert (found.compression_ratio, found.silence_phrases, found.warnings) == (None, 0, ())


@given(
    st.lists(st.integers(0, 400), min_size=2, max_size=20, unique=True).map(sorted),
    st.lists(st.integers(0, 400), min_size=0, max_size=20, unique=True).map(sorted),
)
def test_coverage_is_what_counting_tenths_of_seconds_gives(spoken, written):
    spans = list(zip(spoken[::2], spoken[1::2], strict=False))
    texts = list(zip(written[::2], written[1::2], strict=False))
    is_speech, has_text = np.zeros(400, bool), np.zeros(400, bool)
    for start, end in spans:
        is_speech[start:end] = True
    for start, end in texts:
        has_text[start:end] = True
    found = flags_of(
        [said(start / 10, end / 10) for start, end in texts],
        speech(*((start / 10, end / 10) for start, end in spans)),
    )
    assert found.coverage == pytest.approx((is_speech & has_text).sum() / is_speech.sum())


def test_speech_without_text_is_told_with_its_seconds():
    (warning,) = flags_of([said(0, 41)], speech((0, 100))).warnings
    assert warning.startswith("only 41% of 100.0 s of speech has text")
    (warning,) = flags_of([], speech((3, 5))).warnings
    assert warning.startswith("none of 2.0 s of speech has text")
    assert flags_of([said(0, 9)], speech((0, 18))).warnings == ()
    assert flags_of([], speech((3, 3.09))).warnings == ()


def test_guessed_text_is_told_with_its_share_and_its_place():
    certain, guess = said(0, 10, "a" * 75), said(2050, 2060, "b" * 25, avg_logprob=-1.5)
    found = flags_of([certain, guess], speech((0, 10), (2050, 2060)))
    assert found.avg_logprob == pytest.approx(0.75 * -0.2 + 0.25 * -1.5)
    assert found.low_confidence_share == 0.25
    assert found.warnings == (
        "low confidence in 25% of the text, from 0:34:10 on (mean log-probability down to -1.50)",
    )
    assert flags_of([said(0, 10, avg_logprob=-1.0)], speech((0, 10))).warnings == ()


def test_an_engine_without_probabilities_leaves_their_figures_empty():
    bare = Segment(start_s=0, end_s=5, text=PLAIN)
    found = flags_of([bare], speech((0, 5)))
    assert (found.avg_logprob, found.low_confidence_share, found.warnings) == (None, None, ())
    assert 0.5 < found.compression_ratio < 2.4
    assert found.coverage == 1.0


def in_a_row(*texts, start_s=0.0):
    """Segments of five seconds each, and their speech."""
    segments = [said(start_s + 5 * i, start_s + 5 * i + 5, text) for i, text in enumerate(texts)]
    return segments, speech((start_s, start_s + 5 * len(texts)))


def test_the_same_sentence_in_consecutive_segments_is_found():
    segments, spoken = in_a_row(PLAIN, *["So it is, so it is."] * 12, OTHER, start_s=2045)
    found = flags_of(segments, spoken)
    (warning,) = found.warnings
    assert warning.startswith("the same text 12 times in a row from 0:34:10 on")
    assert found.compression_ratio > 2.4


@pytest.mark.parametrize("length", [2, 3, 4])
def test_sentences_that_come_again_in_turns_are_found(length):
    turns = [PLAIN, OTHER, "And so on it goes, for ever.", "Nobody knows why that is."][:length]
    (warning,) = flags_of(*in_a_row("Well.", *turns * 6)).warnings
    assert warning.startswith(f"the same {length} texts 6 times in a row from 0:00:05 on")


def test_a_loop_inside_of_one_window_is_found():
    loop = said(7, 12, "five " * 60, compression_ratio=15.0)
    (warning,) = flags_of([said(0, 6), loop], speech((0, 12))).warnings
    assert warning == "text that repeats itself from 0:00:07 on (compression ratio 15.0)"
    bare = Segment(start_s=0, end_s=5, text="five " * 60)
    assert "repeats itself" in flags_of([bare], speech((0, 5))).warnings[0]


@pytest.mark.parametrize(
    "texts", [["Yes."] * 4, ["Thank you."] * 3, [PLAIN, PLAIN], [PLAIN, OTHER, PLAIN, OTHER]]
)
def test_what_people_say_twice_is_no_loop(texts):
    assert flags_of(*in_a_row(*texts)).warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        "Thank you.", "Thanks for watching!", "Subtitles by the Amara.org community",
        "Untertitel der Amara.org-Community", "ご視聴ありがとうございました。",
        " sous-titres réalisés par la communauté d'Amara.org ", "Продолжение следует…", "you",
    ],
)  # fmt: skip
def test_what_models_say_in_silence_is_flagged_where_nobody_speaks(text):
    found = flags_of([said(0, 5), said(10, 12, text)], speech((0, 5)))
    assert found.silence_phrases == 1
    assert f"'{text}' at 0:00:10 is what models say in silence" in found.warnings[0]


def test_what_models_say_in_silence_is_flagged_where_the_model_hears_no_speech():
    doubted = said(0, 2, "Thank you.", no_speech_prob=0.61)
    assert flags_of([doubted], speech((0, 2))).silence_phrases == 1
    assert flags_of([doubted], None).silence_phrases == 1


@pytest.mark.parametrize("no_speech_prob", [0.6, None])
def test_a_thank_you_that_somebody_says_is_no_phrase_of_silence(no_speech_prob):
    real = said(10, 13, "Thank you.", no_speech_prob=no_speech_prob)
    found = flags_of([said(0, 5), real], speech((0, 5), (10.2, 10.6)))
    assert (found.silence_phrases, found.warnings) == (0, ())


def test_a_sentence_with_thanks_in_it_is_no_phrase_of_silence():
    sentence = said(10, 12, "Thank you for the letter.", no_speech_prob=0.9)
    assert flags_of([said(0, 5), sentence], speech((0, 5))).silence_phrases == 0


def test_text_where_the_vad_heard_nobody_is_told():
    segments = [said(0, 5), said(10, 12, OTHER), said(14, 15.5, OTHER)]
    (warning,) = flags_of(segments, speech((0, 5), (11.9, 12.0))).warnings
    assert warning == "3.5 s of text where no speech was found, from 0:00:10 on"


def test_text_of_a_long_recording_with_hardly_any_speech_is_told():
    word = [said(10, 10.5, "So.")]
    (warning,) = flags_of(word, speech((10.1, 10.5)), duration_s=41).warnings
    assert warning == "only 0.4 s of 41.0 s sounded like speech, and may be none"
    assert flags_of(word, speech((10.1, 10.5)), duration_s=39).warnings == ()
    assert not any("may be none" in text for text in flags_of([], speech((0, 0.1))).warnings)
    (warning,) = flags_of([said(0.5, 0.6, "So.")], speech((0.5, 0.6)), duration_s=1).warnings
    assert warning == "only 0.1 s of 1.0 s sounded like speech, and may be none"


def test_a_minute_of_clear_speech_in_hours_is_speech():
    assert flags_of([said(10, 70)], speech((10, 70)), duration_s=36_000).warnings == ()


def test_text_behind_the_end_of_the_sound_is_where_nobody_speaks():
    found = flags_of([said(1.0, 1.0, "Thank you.")], speech((0, 0.9)), duration_s=1)
    assert found.silence_phrases == 1
    assert any("no speech was found" in warning for warning in found.warnings)
    assert flags_of([said(0.5, 0.5)], speech((0, 0.9)), duration_s=1).silence_phrases == 0


@pytest.mark.parametrize("lost", [(0, 12), (20, 32), (48, 60)])
def test_much_speech_without_text_in_one_place_is_told_with_the_place(lost):
    spoken = [said(a, a + 2, f"sentence {a}") for a in range(0, 60, 2)]
    texts = [one for one in spoken if not lost[0] <= one.start_s < lost[1]]
    (warning,) = flags_of(texts, speech((0, 60))).warnings
    assert warning.startswith(f"12.0 s of speech without text from 0:00:{lost[0]:02} on")
    texts = [one for one in spoken if not lost[0] + 4 <= one.start_s < lost[1]]
    assert flags_of(texts, speech((0, 60))).warnings == ()


def test_without_vad_any_text_says_that_nobody_checked():
    found = flags_of([said(0, 5)], None)
    assert found.coverage is None
    assert "no VAD" in found.warnings[0]
    assert flags_of([], None).warnings == ()


@given(
    st.lists(
        st.tuples(
            st.integers(0, 90), st.integers(0, 9), st.text(min_size=1, max_size=9),
            st.none() | st.floats(-5, 0), st.none() | st.floats(0, 1),
        ),
        max_size=8,
    ),
    st.none() | st.lists(st.integers(0, 90), max_size=8, unique=True).map(sorted),
)  # fmt: skip
def test_figures_lie_in_their_ranges_whatever_was_said(texts, edges):
    segments = [
        said(start, start + length, text, avg_logprob=logprob, no_speech_prob=doubt)
        for start, length, text, logprob, doubt in sorted(texts, key=lambda one: one[0])
    ]
    spans = None if edges is None else speech(*zip(edges[::2], edges[1::2], strict=False))
    found = flags_of(segments, spans)
    for share in (found.coverage, found.low_confidence_share):
        assert share is None or 0.0 <= share <= 1.0
    assert found.avg_logprob is None or found.avg_logprob <= 0.0
    assert 0 <= found.silence_phrases <= len(segments)
