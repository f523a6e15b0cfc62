"""Whisper's rules on what counts as a usable text: when to try again, when to call it silence.

The thresholds are those of openai/whisper `transcribe()`; they hold for each window by itself,
whatever else is in its batch.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TEMPERATURES: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Sampling temperatures, tried in this order until a text passes; 0 is greedy."""

SAMPLES_PER_RETRY: Final = 5
"""Texts sampled at a temperature above 0, the likeliest of which counts."""

MAX_COMPRESSION_RATIO: Final = 2.4
"""A text that compresses better than this repeats itself."""

MIN_AVG_LOGPROB: Final = -1.0
"""Below this mean log-probability a token, the model was guessing."""

MAX_NO_SPEECH_PROB: Final = 0.6
"""Above this, with a guessed text, the window holds no speech."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """What one decoding of one window gave.

    Attributes:
        tokens: token ids, timestamps included, without prompt and end.
        text: the tokens as text, stripped.
        avg_logprob: mean log-probability of the tokens and the end token, at most 0.
        no_speech_prob: probability of the no-speech token, 0 to 1.
        temperature: the sampling temperature.
        hit_limit: whether decoding ended because no more tokens fit.
    """

    tokens: tuple[int, ...]
    text: str
    avg_logprob: float
    no_speech_prob: float
    temperature: float
    hit_limit: bool = False

    @property
    def compression_ratio(self) -> float:
        """Of its text, see `compression_ratio`."""
        return compression_ratio(self.text)


def compression_ratio(text: str) -> float:
    """Length of the text in UTF-8 over its length after zlib; high where text repeats.

    Short texts lie under 1, speech around 1.5; 0 for no text.
    """
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data))


def repeats(attempt: Attempt) -> bool:
    """Whether the text says the same over and over."""
    return attempt.compression_ratio > MAX_COMPRESSION_RATIO


def is_guess(attempt: Attempt) -> bool:
    """Whether the model had little belief in its own text."""
    return attempt.avg_logprob < MIN_AVG_LOGPROB


def is_silence(attempt: Attempt) -> bool:
    """Whether the window holds no speech: the model says so, and only guessed at a text."""
    return attempt.no_speech_prob > MAX_NO_SPEECH_PROB and is_guess(attempt)


def needs_retry(attempt: Attempt) -> bool:
    """Whether a higher temperature should be tried."""
    return not is_silence(attempt) and (repeats(attempt) or is_guess(attempt))


def best_attempt(attempts: Sequence[Attempt]) -> Attempt:
    """Choose among attempts that all failed: the likeliest of those that do not repeat."""
    usable = [attempt for attempt in attempts if not repeats(attempt)]
    return max(usable or attempts, key=lambda attempt: attempt.avg_logprob)


def decode_with_fallback(
    count: int, decode: Callable[[Sequence[int], float], Sequence[Attempt]]
) -> list[Attempt]:
    """Decode a batch; what fails is decoded again, alone, at the next temperature.

    Args:
        count: how many windows the batch has.
        decode: takes window numbers and a temperature, gives one attempt for each number.

    Returns:
        One attempt a window, in order.
    """
    tried: list[list[Attempt]] = [[] for _ in range(count)]
    failing: Sequence[int] = range(count)
    for temperature in TEMPERATURES:
        if not failing:
            break
        for number, attempt in zip(failing, decode(failing, temperature), strict=True):
            tried[number].append(attempt)
        failing = [number for number in failing if needs_retry(tried[number][-1])]
    lost = set(failing)
    return [best_attempt(tried[n]) if n in lost else tried[n][-1] for n in range(count)]


def attempt_warnings(attempt: Attempt) -> tuple[str, ...]:
    """What a reader of the text should know about it, and no segment tells."""
    if attempt.hit_limit:
        return ("text may be cut off: decoding ended at the token limit",)
    return ()
