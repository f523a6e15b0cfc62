"""The way through a batch, on a backend whose answers are written down beforehand."""

from __future__ import annotations

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
    """A backend: a window's first sample names its script, an answer for every decoding."""

    timestamp_begin = BEGIN

    def __init__(self, **scripts):
        self.scripts = {key: list(answers) for key, answers in scripts.items()}
        self.calls = []

    def mel(self, window):
        return np.full((1, 3000), round(float(window[0]) * 10), dtype=np.float32)

    def rest(self, mel, _frames):
        return mel

    def encode(self, mels):
        return [f"w{mel[0, 0]:.0f}" for mel in mels]

    def detect(self, encoded):
        return [("de", 0.75) for _ in encoded]

    def generate(self, encoded, languages, _options, temperature):
        self.calls.append((temperature, list(encoded), list(languages)))
        return [self.scripts[name].pop(0)(temperature) for name in encoded]

    def text(self, tokens):
        return " ".join(str(token) for token in tokens)

    def words(self, _encoded, parts, _language, _frames):
        return [
            tuple(
                Word(start_s=p.start_s, end_s=p.end_s, text=str(t), probability=1.0)
                for t in p.tokens
            )
            for p in parts
        ]


def window(number: int, seconds: float = 10.0) -> np.ndarray:
    return np.full(int(seconds * 16_000), number / 10, dtype=np.float32)


def run(script, *windows, language="en", options=OPTIONS):
    return transcribe_windows(script, windows, options, [language] * len(windows))


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


def test_repetition_that_no_temperature_mends_stays_with_a_warning():
    script = Script(w1=[said(at(0), 1, at(1), text="five " * 60)] * 6)
    (result,) = run(script, window(1))
    assert shape(result) == [(0.0, 1.0, "1")]
    assert "repeats" in result.warnings[0]
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
    options = TranscribeOptions(engine="ctranslate2", model="demo", word_timestamps=True)
    (result,) = run(script, window(1), options=options)
    assert [(w.start_s, w.end_s) for s in result.segments for w in s.words] == [(0, 4), (5, 6)]


def test_language_is_detected_only_where_none_is_given():
    script = Script(w1=[said(at(0), 1, at(1))], w2=[said(at(0), 2, at(1))])
    results = transcribe_windows(script, [window(1), window(2)], OPTIONS, [None, "fr"])
    assert [(r.language, r.language_probability) for r in results] == [("de", 0.75), ("fr", 1.0)]
    assert script.calls[0][2] == ["de", "fr"]


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
