"""How far a transcript can be trusted: figures of a whole recording, and warnings in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.resources import files
from itertools import compress, groupby
from typing import TYPE_CHECKING, Final

import numpy as np

from stenopool.asr.quality import (
    MAX_COMPRESSION_RATIO,
    MAX_NO_SPEECH_PROB,
    MIN_AVG_LOGPROB,
    compression_ratio,
)
from stenopool.model import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from stenopool.model import Segment, Span

MIN_COVERAGE: Final = 0.5
"""Where less of the speech has text, too much is missing."""

MISSING_S: Final = 0.1
"""Less speech than this without text (s) is no word."""

HARDLY_ANY: Final = 0.1
"""A segment of which less is speech has text that nobody said."""

MIN_SPEECH_SHARE, MIN_SPEECH_S, SURE_SPEECH_S = 0.01, 0.15, 2.0
"""Where less of a recording is speech (share, s), and none of it as long as the last of these (s),
it may be none: a VAD errs now and then in a long noise, and at the start of a tone. Seven of
2,000 spoken digits are under 0.15 s."""

LONGEST_MISSING_S: Final = 10.0
"""So much speech (s) between two texts, or around them, is more than a model passes over."""

LEAST_SEGMENT_S: Final = 0.02
"""A segment is judged as if it were this long, Whisper's smallest step (s), if it is shorter."""

LONGEST_ROUND: Final = 4
"""Up to so many segments that come again and again in the same order are found."""

UNCHECKED: Final = (
    "speech was not looked for (no VAD): text may be invented in silence, noise and music"
)
"""Warning on any text that was made without VAD."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flags:
    """What the segments of a recording say about its transcript.

    Attributes:
        coverage: share of the speech that has text, 0 to 1; None without VAD, or where it found
            no speech.
        avg_logprob: mean log-probability of a token, at most 0; segments count by their
            characters, since tokens are not kept. None where the engine has none.
        low_confidence_share: share of the characters in segments whose `avg_logprob` is under
            Whisper's -1.0, 0 to 1; None likewise.
        compression_ratio: the highest of any window's text, and of texts that come again and
            again in consecutive segments; None without text.
        silence_phrases: segments that are nothing but what models say in silence, with hardly any
            speech under them, or with a `no_speech_prob` over Whisper's 0.6.
        warnings: why the transcript should not be trusted.
    """

    coverage: float | None
    avg_logprob: float | None
    low_confidence_share: float | None
    compression_ratio: float | None
    silence_phrases: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Round:
    """Consecutive segments of which the first `length` come `times` times."""

    start_s: float
    length: int
    times: int
    ratio: float


def flags_of(
    segments: Sequence[Segment], speech: Sequence[Span] | None, duration_s: float
) -> Flags:
    """Judge the transcript of a recording.

    Args:
        segments: all of them, in order, times from the start of the recording.
        speech: where the VAD heard speech in it: ordered, disjoint; None without VAD.
        duration_s: the length of the recording.
    """
    spans = speech or ()
    speech_s = sum(span.samples for span in spans) / SAMPLE_RATE
    times = _times(segments)
    spoken_s = _spoken_s(times, spans)
    coverage = min(float(spoken_s.sum()) / speech_s, 1.0) if speech_s else None
    unspoken = [] if speech is None else _unspoken(segments, times, spoken_s)
    phrases = [s for s in segments if _is_phrase(s) and (s in unspoken or _is_doubted(s))]
    guesses = [s for s in segments if (s.avg_logprob or 0.0) < MIN_AVG_LOGPROB]
    rounds = list(_rounds(segments))
    return Flags(
        coverage=coverage,
        avg_logprob=_avg_logprob(segments),
        low_confidence_share=_share(guesses, [s for s in segments if s.avg_logprob is not None]),
        compression_ratio=max((one.ratio for one in rounds), default=None),
        silence_phrases=len(phrases),
        warnings=(
            *([UNCHECKED] if segments and speech is None else []),
            *(_scarce(spans, speech_s, duration_s) if segments and speech is not None else []),
            *(_missing(coverage, speech_s) or _skipped(segments, spans)),
            *_guessed(guesses, segments),
            *_repeated(rounds),
            *_silent(phrases),
            *_invented(unspoken),
        ),
    )


def _times(segments: Sequence[Segment]) -> NDArray[np.float64]:
    """Start and end of each segment (s), which is no shorter than Whisper's step."""
    times = [(s.start_s, max(s.end_s, s.start_s + LEAST_SEGMENT_S)) for s in segments]
    return np.array(times).reshape(-1, 2)


def _spoken_s(times: NDArray[np.float64], speech: Sequence[Span]) -> NDArray[np.float64]:
    """Seconds of speech between the times of each row."""
    if not speech or not len(times):
        return np.zeros(len(times))
    edges = np.array([(span.start, span.end) for span in speech]).ravel() / SAMPLE_RATE
    lengths = np.diff(edges, prepend=edges[0])
    lengths[::2] = 0.0  # what lies between two spans is no speech
    before = np.interp(times, edges, np.cumsum(lengths))
    spoken: NDArray[np.float64] = before[:, 1] - before[:, 0]
    return spoken


def _unspoken(
    segments: Sequence[Segment], times: NDArray[np.float64], spoken_s: NDArray[np.float64]
) -> list[Segment]:
    """The segments with hardly any speech under them."""
    return list(compress(segments, spoken_s < HARDLY_ANY * (times[:, 1] - times[:, 0])))


def _is_doubted(segment: Segment) -> bool:
    """Whether the model itself heard no speech."""
    return (segment.no_speech_prob or 0.0) > MAX_NO_SPEECH_PROB


def _is_phrase(segment: Segment) -> bool:
    """Whether its whole text is one of those that models say in silence."""
    return _letters(segment.text) in _silence_phrases()


@cache
def _silence_phrases() -> frozenset[str]:
    """The phrases of `data/silence_phrases.txt`, which names its sources."""
    text = (files("stenopool") / "data" / "silence_phrases.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return frozenset(filter(None, map(_letters, lines)))


def _letters(text: str) -> str:
    """Its letters and digits in one case, so that punctuation and spaces do not count."""
    return "".join(filter(str.isalnum, text.casefold()))


def _avg_logprob(segments: Sequence[Segment]) -> float | None:
    known = [(s.avg_logprob, len(s.text)) for s in segments if s.avg_logprob is not None]
    if not known:
        return None
    return float(np.average([value for value, _ in known], weights=[count for _, count in known]))


def _share(some: Sequence[Segment], of: Sequence[Segment]) -> float | None:
    """The characters of some segments over those of others; None where there are no others."""
    return _characters(some) / _characters(of) if of else None


def _characters(segments: Sequence[Segment]) -> int:
    return sum(len(segment.text) for segment in segments)


def _rounds(segments: Sequence[Segment]) -> Iterator[_Round]:
    """Each segment, with how its window repeats itself, and segments that come again and again."""
    for segment in segments:
        ratio = segment.compression_ratio
        own = compression_ratio(segment.text) if ratio is None else ratio
        yield _Round(segment.start_s, 1, 1, own)
    texts = [segment.text for segment in segments]
    for length in range(1, LONGEST_ROUND + 1):
        at = 0
        for again, run in groupby(map(str.__eq__, texts, texts[length:])):
            count = len(list(run))
            if again and count >= 2 * length:  # what is said twice is no loop
                ratio = compression_ratio(" ".join(texts[at : at + count + length]))
                yield _Round(segments[at].start_s, length, 1 + count // length, ratio)
            at += count


def _scarce(speech: Sequence[Span], speech_s: float, duration_s: float) -> Iterator[str]:
    longest_s = max((span.samples for span in speech), default=0) / SAMPLE_RATE
    least_s = max(MIN_SPEECH_SHARE * duration_s, MIN_SPEECH_S)
    if speech_s < least_s and longest_s < SURE_SPEECH_S:
        yield f"only {speech_s:.1f} s of {duration_s:.1f} s sounded like speech, and may be none"


def _missing(coverage: float | None, speech_s: float) -> list[str]:
    if coverage is None or coverage >= MIN_COVERAGE or (1 - coverage) * speech_s < MISSING_S:
        return []
    share = f"only {coverage:.0%}" if coverage else "none"
    return [f"{share} of {speech_s:.1f} s of speech has text; a larger model may hear more"]


def _skipped(segments: Sequence[Segment], speech: Sequence[Span]) -> Iterator[str]:
    """Stretches with much speech, all of them without text."""
    if not segments or not speech:
        return
    ends = [0.0, *np.maximum.accumulate([segment.end_s for segment in segments])]
    starts = [*(segment.start_s for segment in segments), speech[-1].end / SAMPLE_RATE]
    gaps = np.array([(end, max(end, start)) for end, start in zip(ends, starts, strict=True)])
    missing = _spoken_s(gaps, speech)
    if missing.max() >= LONGEST_MISSING_S:
        at = int(missing.argmax())
        yield (
            f"{missing[at]:.1f} s of speech without text from {_clock(gaps[at][0])} on; "
            "a larger model may hear more"
        )


def _guessed(guesses: Sequence[Segment], segments: Sequence[Segment]) -> Iterator[str]:
    if guesses:
        share = _characters(guesses) / _characters(segments)
        least = min(segment.avg_logprob or 0.0 for segment in guesses)
        yield (
            f"low confidence in {100 * share:.3g}% of the text, from "
            f"{_clock(guesses[0].start_s)} on (mean log-probability down to {least:.2f})"
        )


def _repeated(rounds: Sequence[_Round]) -> Iterator[str]:
    worst = max(rounds, key=lambda one: one.ratio, default=None)
    if worst is None or worst.ratio <= MAX_COMPRESSION_RATIO:
        return
    what = "text that repeats itself"
    if worst.times > 1:
        texts = "text" if worst.length == 1 else f"{worst.length} texts"
        what = f"the same {texts} {worst.times} times in a row"
    yield f"{what} from {_clock(worst.start_s)} on (compression ratio {worst.ratio:.1f})"


def _silent(phrases: Sequence[Segment]) -> Iterator[str]:
    if phrases:
        first = phrases[0]
        yield (
            f"'{first.text}' at {_clock(first.start_s)} is what models say in silence, and nobody "
            f"speaks there ({len(phrases)} in all)"
        )


def _invented(unspoken: Sequence[Segment]) -> Iterator[str]:
    if unspoken:
        seconds = sum(segment.end_s - segment.start_s for segment in unspoken)
        yield (
            f"{seconds:.1f} s of text where no speech was found, from "
            f"{_clock(unspoken[0].start_s)} on"
        )


def _clock(seconds: float) -> str:
    """Such as 0:34:10."""
    return str(timedelta(seconds=int(seconds)))
