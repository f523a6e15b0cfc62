"""What every engine promises, whichever it is."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from asr.clips import OPTIONS, clip, digit, text_of, with_silence
from stenopool.asr import load_engine
from stenopool.asr.languages import CLEARLY
from stenopool.model import SAMPLE_RATE, WINDOW_SAMPLES, WindowResult

FIXTURES = {
    "ctranslate2": "demo_engine",
    "torch": "torch_engine",
    "pocketsphinx": "pocketsphinx_engine",
    "fake": "fake_engine",
}


@pytest.fixture(params=FIXTURES, scope="session")
def engine(request):
    return request.getfixturevalue(FIXTURES[request.param])


def transcribe(engine, *windows, language="en", **changes) -> list[WindowResult]:
    options = replace(OPTIONS[engine.name], language=language, **changes)
    return engine.transcribe(list(windows), options, [None] * len(windows))


def assert_ordered_inside(result: WindowResult, duration_s: float) -> None:
    times = [t for segment in result.segments for t in (segment.start_s, segment.end_s)]
    assert times == sorted(times)
    assert all(0.0 <= t <= duration_s for t in times)


def test_no_windows_give_no_results(engine):
    assert transcribe(engine) == []
    assert engine.detect_languages([]) == []


def test_results_come_in_the_order_of_the_windows_whatever_the_batch(engine):
    windows = [digit(3), digit(8)]
    together = transcribe(engine, *windows)
    assert together == [transcribe(engine, window)[0] for window in windows]
    assert together == transcribe(engine, *reversed(windows))[::-1]
    assert len({text_of(result) for result in together}) > 1


def test_more_windows_than_a_batch_give_one_result_each(engine):
    windows = [digit(n % 10, take=1) for n in range(engine.max_batch + 1)]
    results = transcribe(engine, *windows)
    assert len(results) == engine.max_batch + 1
    assert all(text_of(result) for result in results)


def test_silence_gives_no_segments(engine):
    silence = np.zeros(SAMPLE_RATE, dtype=np.float32)
    empty = np.zeros(0, dtype=np.float32)
    almost = np.full(SAMPLE_RATE, 5e-5, dtype=np.float32)
    assert [r.segments for r in transcribe(engine, silence, empty, almost)] == [(), (), ()]


def test_window_of_a_tenth_of_a_second_is_taken(engine):
    window = digit(7)[4000:5600]
    (result,) = transcribe(engine, window, word_timestamps=True)
    assert_ordered_inside(result, 0.1)


def test_window_of_thirty_seconds_is_taken_and_a_longer_one_refused(engine):
    window = np.zeros(WINDOW_SAMPLES, dtype=np.float32)
    sound = digit(5)
    window[: len(sound)] = sound
    (result,) = transcribe(engine, window, word_timestamps=True)
    assert_ordered_inside(result, 30.0)
    assert text_of(result)
    with pytest.raises(ValueError, match="480000 samples"):
        transcribe(engine, np.append(window, np.float32(0.0)))


def test_words_lie_inside_their_segment_in_order_and_spell_its_text(engine):
    window = np.concatenate([digit(4), digit(9, take=2)])
    (result,) = transcribe(engine, window, word_timestamps=True)
    assert_ordered_inside(result, len(window) / SAMPLE_RATE)
    for segment in result.segments:
        times = [t for word in segment.words for t in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert segment.start_s <= times[0] <= times[-1] <= segment.end_s
        assert " ".join(word.text for word in segment.words) == segment.text
        assert all(0.0 <= word.probability <= 1.0 for word in segment.words)


def test_asking_for_words_changes_no_text_and_without_it_there_are_none(engine):
    window = digit(6)
    (plain,) = transcribe(engine, window)
    (timed,) = transcribe(engine, window, word_timestamps=True)
    assert text_of(plain) == text_of(timed)
    assert all(segment.words == () for segment in plain.segments)
    assert all(segment.words for segment in timed.segments)


def test_given_language_is_kept_with_certainty(engine):
    (result,) = transcribe(engine, digit(3))
    assert (result.language, result.language_probability) == ("en", 1.0)


def test_missing_language_is_detected_on_the_window_itself(engine):
    window = digit(3)
    (result,) = transcribe(engine, window, language=None)
    assert [(result.language, result.language_probability)] == engine.detect_languages([window])
    assert len(result.language) == 2
    assert 0.0 < result.language_probability <= 1.0


def test_what_a_window_clearly_speaks_counts_more_than_what_its_recording_seems_to(engine):
    window = digit(3)
    [(language, probability)] = engine.detect_languages([window])
    assert probability >= CLEARLY
    (result,) = engine.transcribe([window], OPTIONS[engine.name], ["zh"])
    assert (result.language, result.language_probability) == (language, probability)


def test_allowing_the_language_that_is_spoken_changes_nothing(engine):
    window = digit(3)
    [(language, _)] = found = engine.detect_languages([window])
    assert engine.detect_languages([window], (language,)) == found
    allowed = transcribe(engine, window, language=None, languages=(language,))
    assert allowed == transcribe(engine, window, language=None)


@pytest.fixture(params=["ctranslate2", "torch"], scope="session")
def whisper(request):
    """An engine with a model of many languages, which reads text before a window."""
    return request.getfixturevalue(FIXTURES[request.param])


def test_what_is_not_allowed_is_not_found_and_what_is_found_is_no_likelier_for_it(whisper):
    window, others = digit(3), ("de", "zh")
    [(spoken, certainty)] = whisper.detect_languages([window])
    assert spoken not in others
    [(found, probability)] = whisper.detect_languages([window], others)
    assert found in others
    assert 0.0 <= probability <= 1.0 - certainty + 1e-6
    (result,) = transcribe(whisper, window, language=None, languages=others)
    assert (result.language, result.language_probability) == (found, probability)


def test_prompt_and_hotwords_reach_the_model_the_hotwords_first(whisper):
    plain, *others = (
        transcribe(whisper, digit(3), prompt=prompt, hotwords=hotwords)
        for prompt, hotwords in [
            (None, None),
            ("nine eight nine nine", None),
            (None, "nine eight nine nine"),
            ("nine nine", "nine eight"),
        ]
    )
    assert plain != others[0]
    assert others == others[:1] * 3


def test_more_before_a_window_than_the_context_holds_is_cut_and_not_refused(whisper):
    much = "one two three " * 300
    (result,) = transcribe(whisper, digit(4), prompt=much, hotwords=much)
    assert len(result.segments) <= 1


def test_samples_that_are_no_numbers_spoil_no_window(engine):
    broken = digit(3).copy()
    broken[:10] = np.nan
    broken[-10:] = np.inf
    mended = np.nan_to_num(broken, nan=0.0, posinf=0.0)
    bad, good = transcribe(engine, broken, mended)
    assert bad.segments == good.segments
    assert bad.warnings
    assert not good.warnings


def test_windows_are_not_changed(engine):
    window = with_silence(clip("digits/0_lucas_0.wav"))
    before = window.copy()
    transcribe(engine, window)
    np.testing.assert_array_equal(window, before)


def test_engine_that_nobody_holds_goes_though_another_was_loaded_meanwhile(
    engine, settings, demo_in_transformers_format
):
    options = OPTIONS[engine.name]
    if engine.name == "torch":
        options = replace(options, model=str(demo_in_transformers_format))
    first = load_engine(options, settings, device="cpu", threads=1)
    first.transcribe([digit(3)], options, ["en"])
    there = weakref.ref(first)
    ring = [first]  # as an error's traceback holds it
    ring.append(ring)
    load_engine(options, settings, device="cpu", threads=1)
    del first, ring
    gc.collect()
    assert there() is None


def test_engine_names_itself_and_its_pinned_model(engine):
    assert engine.name == OPTIONS[engine.name].engine
    assert engine.info.revision
    assert engine.max_batch >= 1
