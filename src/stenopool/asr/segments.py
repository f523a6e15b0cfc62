"""Segments are brought into their window: inside it, in order, never overlapping."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stenopool.model import Segment, Word


def in_window(segments: Iterable[Segment], duration_s: float) -> tuple[Segment, ...]:
    """Clamp times to [0, duration] and make them monotone; no text is dropped.

    Models name times that lie in the padding behind a short window, and words that begin before
    the one in front has ended. Words stay inside their segment where they overlap it at all;
    where they do not, the segment grows to hold them.

    Args:
        segments: in the order they were spoken.
        duration_s: length of the window.
    """
    placed = []
    earliest_s = 0.0
    for segment in segments:
        start_s = _clamp(segment.start_s, earliest_s, duration_s)
        end_s = _clamp(segment.end_s, start_s, duration_s)
        words = _in_order(_trimmed(segment.words, start_s, end_s), earliest_s, duration_s)
        if words:
            start_s, end_s = min(start_s, words[0].start_s), max(end_s, words[-1].end_s)
        placed.append(replace(segment, start_s=start_s, end_s=end_s, words=words))
        earliest_s = end_s
    return tuple(placed)


def retimed(segment: Segment, placed: Callable[[float], float]) -> Segment:
    """A segment with its times, and those of its words, as `placed` gives them (s)."""
    words = tuple(
        replace(word, start_s=placed(word.start_s), end_s=placed(word.end_s))
        for word in segment.words
    )
    return replace(
        segment, start_s=placed(segment.start_s), end_s=placed(segment.end_s), words=words
    )


def _trimmed(words: Sequence[Word], start_s: float, end_s: float) -> list[Word]:
    # Alignment stretches the first and last word over the silence around them; the segment's
    # own times are better there.
    return [
        replace(word, start_s=max(word.start_s, start_s), end_s=min(word.end_s, end_s))
        if word.end_s > start_s and word.start_s < end_s
        else word
        for word in words
    ]


def _in_order(words: Iterable[Word], earliest_s: float, duration_s: float) -> tuple[Word, ...]:
    placed = []
    for word in words:
        start_s = _clamp(word.start_s, earliest_s, duration_s)
        end_s = _clamp(word.end_s, start_s, duration_s)
        placed.append(replace(word, start_s=start_s, end_s=end_s))
        earliest_s = end_s
    return tuple(placed)


def _clamp(value: float, low: float, high: float) -> float:
    # Six digits keep microseconds and drop what 0.02 leaves behind in binary.
    return min(max(round(value, 6), low), high)
