"""Whisper's rules on attempts, as pure functions and in the batched fallback."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenopool.asr.quality import (
    TEMPERATURES,
    Attempt,
    attempt_warnings,
    best_attempt,
    compression_ratio,
    decode_with_fallback,
    is_silence,
    needs_retry,
)

LOOP = "five " * 60
PLAIN = "Printing, in the only sense with which we are at present concerned"


def attempt(text=PLAIN, avg_logprob=-0.2, no_speech_prob=0.0, temperature=0.0, *, hit_limit=False):
    return Attempt(
        tokens=(1, 2, 3),
        text=text,
        avg_logprob=avg_logprob,
        no_speech_prob=no_speech_prob,
        temperature=temperature,
        hit_limit=hit_limit,
    )


def test_repeated_text_compresses_beyond_the_threshold_and_speech_does_not():
    assert compression_ratio(LOOP) > 2.4 > compression_ratio(PLAIN)
    assert compression_ratio("") == 0.0


@given(st.text())
def test_compression_ratio_never_fails_on_real_text(text):
    assert compression_ratio(text) >= 0.0


@pytest.mark.parametrize(
    ("case", "retry"),
    [
        (attempt(), False),
        (attempt(avg_logprob=-1.0), False),
        (attempt(avg_logprob=-1.01), True),
        (attempt(text=LOOP), True),
        (attempt(avg_logprob=-1.01, no_speech_prob=0.61), False),
        (attempt(avg_logprob=-1.01, no_speech_prob=0.6), True),
        (attempt(text=LOOP, no_speech_prob=0.9), True),
    ],
)
def test_only_guesses_and_loops_are_tried_again_and_silence_is_not(case, retry):
    assert needs_retry(case) is retry


def test_silence_needs_both_a_guess_and_the_no_speech_token():
    assert is_silence(attempt(avg_logprob=-1.5, no_speech_prob=0.7))
    assert not is_silence(attempt(avg_logprob=-0.5, no_speech_prob=0.99))
    assert not is_silence(attempt(avg_logprob=-1.5, no_speech_prob=0.5))


def test_best_of_failures_is_the_likeliest_that_does_not_repeat():
    loop = attempt(text=LOOP, avg_logprob=-0.1)
    guess, worse = attempt(avg_logprob=-1.2), attempt(avg_logprob=-2.0)
    assert best_attempt([loop, worse, guess]) is guess
    assert best_attempt([loop]) is loop


def test_failing_window_alone_is_tried_again_until_it_passes():
    calls = []

    def decode(numbers, temperature):
        calls.append((temperature, list(numbers)))
        return [
            attempt(
                avg_logprob=-2.0 if n == 1 and temperature < 0.4 else -0.3, temperature=temperature
            )
            for n in numbers
        ]

    found = decode_with_fallback(3, decode)
    assert calls == [(0.0, [0, 1, 2]), (0.2, [1]), (0.4, [1])]
    assert [a.temperature for a in found] == [0.0, 0.4, 0.0]


def test_text_that_fails_at_every_temperature_is_kept_as_its_likeliest():
    def decode(numbers, temperature):
        return [attempt(text=LOOP, avg_logprob=-0.5 - temperature) for _ in numbers]

    (found,) = decode_with_fallback(1, decode)
    assert found.avg_logprob == -0.5


@given(st.lists(st.integers(0, len(TEMPERATURES)), max_size=6))
def test_each_window_gets_the_attempts_it_needs_and_no_more(needed):
    seen = [0] * len(needed)

    def decode(numbers, temperature):
        for n in numbers:
            seen[n] += 1
        return [attempt(avg_logprob=-0.5 if seen[n] > needed[n] else -3.0) for n in numbers]

    found = decode_with_fallback(len(needed), decode)
    assert seen == [min(n + 1, len(TEMPERATURES)) for n in needed]
    assert len(found) == len(needed)


def test_a_warning_names_the_token_limit():
    assert attempt_warnings(attempt()) == ()
    assert "token limit" in attempt_warnings(attempt(hit_limit=True))[0]
