"""The way through a batch, on a backend whose answers are written down beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stenopool.asr.quality import Attempt
from stenopool.asr.whisper import transcribe_windows
from stenopool.model import TranscribeOptions, Word

BEGIN = 1000
OPTIONS = TranscribeOptions(engine="ctranslate2", model="demo")


def at(seconds: float) -> int:
    return BEGIN + round(seconds / 0.02)


def said(*tokens, avg_logprob=-0.2, no_speech_prob=0.0, text="plain"):
    return lambda temperature: Attempt(
        tokens=tokens,
        text=text,
        avg_logprob=avg_logprob,
        no_speech_prob=no_speech_prob,
        temperature=temperature,
    )


class Script:
    """A backend: a window's first sample names its script, an answer for every decoding.

    Args:
        heard: the probabilities of languages, for each window.
        scripts: the answers.
    """

    timestamp_begin = BEGIN

    def __init__(self, heard=None, **scripts):
        self.scripts = {key: list(answers) for key, answers in scripts.items()}
        self.heard = heard or {}
        self.detected = []
        self.calls = []

    def mel(self, window):
        return np.full((1, 3000), round(float(window[0]) * 10), dtype=np.float32)

    def rest(self, mel, _frames):
        return mel

    def encode(self, mels):
        return [f"w{mel[0, 0]:.0f}" for mel in mels]

    def detect(self, encoded):
        self.detected.append(list(encoded))
        return [self.heard[name] for name in encoded]

    def generate(self, encoded, languages, _options, temperature):
        self.calls.append((temperature, list(encoded), list(languages)))
        return [self.scripts[name].pop(0)(temperature) for name in encoded]

    def text(self, tokens):
        return " ".join(str(token) for token in tokens)

    def words(self, _encoded, parts, _language, _task, _frames):
        return [
            tuple(
                Word(start_s=p.start_s, end_s=p.end_s, text=str(t), probability=1.0)
                for t in p.tokens
            )
            for p in parts
        ]


def window(number: int, seconds: float = 10.0) -> np.ndarray:
    return np.full(int(seconds * 16_000), number / 10, dtype=np.float32)


def run(script, *windows, language="en", presumed=None, **changes):
    options = replace(OPTIONS, language=language, **changes)
    return transcribe_windows(script, windows, options, [presumed] * len(windows))


def shape(result):
    return [(s.start_s, s.end_s, s.text) for s in result.segments]


def test_failing_window_is_decoded_again_alone_and_the_others_are_not():
    script = Script(
        w1=[said(at(0), 1, at(1))],
        w2=[said(at(0), 7, at(1), avg_logprob=-2.0), said(at(0), 2, at(1))],
    )
    results = run(script, window(1), window(2))
    assert [shape(r) for r in results] == [[(0.0, 1.0, "1")], [(0.0, 1.0, "2")]]
    assert [call[:2] for call in script.calls] == [(0.0, ["w1", "w2"]), (0.2, ["w2"])]
    assert [r.segments[0].temperature for r in results] == [0.0, 0.2]


def test_silence_by_the_models_own_word_gives_no_segments_and_no_second_try():
    script = Script(w1=[said(at(0), 1, at(1), avg_logprob=-1.2, no_speech_prob=0.9)])
    (result,) = run(script, window(1))
    assert result.segments == ()
    assert result.warnings == ()
    assert len(script.calls) == 1


def test_text_with_belief_survives_the_no_speech_token():
    script = Script(w1=[said(at(0), 1, at(1), avg_logprob=-0.9, no_speech_prob=0.9)])
    (result,) = run(script, window(1))
    assert shape(result) == [(0.0, 1.0, "1")]


def test_repetition_that_no_temperature_mends_stays_and_its_segments_say_so():
    script = Script(w1=[said(at(0), 1, at(1), text="five " * 60)] * 6)
    (result,) = run(script, window(1))
    assert shape(result) == [(0.0, 1.0, "1")]
    assert result.segments[0].compression_ratio > 2.4
    assert [call[0] for call in script.calls] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def test_window_that_ends_early_is_taken_up_again_from_there():
    script = Script(
        w1=[
            said(at(0), 1, at(4), at(4), 9),
            said(at(0.5), 2, at(2), at(2)),
            said(at(1), 3, at(2.5)),
        ],
        w2=[said(at(0), 5, at(9.8))],
    )
    first, second = run(script, window(1), window(2))
    assert shape(first) == [(0.0, 4.0, "1"), (4.5, 6.0, "2"), (7.0, 8.5, "3")]
    assert shape(second) == [(0.0, 9.8, "5")]
    assert [call[1] for call in script.calls] == [["w1", "w2"], ["w1"], ["w1"]]


def test_words_of_a_later_part_move_with_it():
    script = Script(w1=[said(at(0), 1, at(4), at(4)), said(at(1), 2, at(2))])
    (result,) = run(script, window(1), word_timestamps=True)
    assert [(w.start_s, w.end_s) for s in result.segments for w in s.words] == [(0, 4), (5, 6)]


ANSWER = said(at(0), 1, at(1))


def test_a_language_that_is_given_is_not_looked_for():
    script = Script(w1=[ANSWER])
    (result,) = run(script, window(1), language="fr", presumed="de")
    assert (result.language, result.language_probability) == ("fr", 1.0)
    assert (script.calls[0][2], script.detected) == (["fr"], [])


def test_a_window_by_itself_is_in_the_language_that_it_is_likeliest_in():
    script = Script(w1=[ANSWER], heard={"w1": {"en": 0.3, "de": 0.4, "fr": 0.3}})
    (result,) = run(script, window(1), language=None)
    assert (result.language, result.language_probability) == ("de", 0.4)
    assert script.calls[0][2] == ["de"]


def test_a_window_is_in_another_language_than_its_recording_only_where_that_is_clear():
    heard = {
        "w1": {"en": 0.9, "de": 0.1},
        "w2": {"en": 0.25, "de": 0.75},
        "w3": {"en": 0.15, "de": 0.85},
    }
    script = Script(w1=[ANSWER], w2=[ANSWER], w3=[ANSWER], heard=heard)
    results = run(script, window(1), window(2), window(3), language=None, presumed="en")
    found = [(r.language, r.language_probability) for r in results]
    assert found == [("en", 0.9), ("en", 0.25), ("de", 0.85)]
    assert script.calls[0][2] == ["en", "en", "de"]


def test_only_allowed_languages_are_taken_and_probabilities_stay_what_they_are():
    heard = {"w1": {"en": 0.9, "de": 0.06, "fr": 0.04}, "w2": {"en": 0.05, "de": 0.1, "fr": 0.85}}
    for presumed in (None, "de"):
        script = Script(w1=[ANSWER], w2=[ANSWER], heard=heard)
        windows, allowed = (window(1), window(2)), ("fr", "de")
        results = run(script, *windows, language=None, presumed=presumed, languages=allowed)
        found = [(r.language, r.language_probability) for r in results]
        assert found == [("de", 0.06), ("fr", 0.85)]


def test_the_rest_of_a_window_is_in_the_language_of_its_start():
    answers = [said(at(0), 1, at(4), at(4), 9), said(at(0.5), 2, at(2))]
    script = Script(w1=answers, heard={"w1": {"de": 0.6, "en": 0.4}})
    run(script, window(1), language=None)
    assert [call[2] for call in script.calls] == [["de"], ["de"]]
    assert script.detected == [["w1"]]


def test_segment_without_length_or_text_is_left_out():
    script = Script(w1=[said(at(0), 1, at(2), at(2), at(3), at(3), 2, at(3))])
    (result,) = run(script, window(1))
    assert shape(result) == [(0.0, 2.0, "1")]


def test_silent_window_is_never_decoded():
    script = Script()
    (result,) = run(script, np.zeros(16_000, dtype=np.float32), language=None)
    assert result.segments == ()
    assert result.language_probability == 0.0
    assert script.calls == []
