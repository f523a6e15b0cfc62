"""Whisper's timestamp tokens become segments, and the rest that a window still owes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP_S: Final = 0.02
"""Seconds from one timestamp token to the next; half the encoder's frame rate of 50 Hz."""

LATEST_START: Final = 50
"""The first timestamp lies at most this many steps in, 1.0 s, where the model says nothing else."""

MIN_PROGRESS_S: Final = 1.0
"""A rest begins at least this far into its window, so that going on comes to an end."""

MIN_REST_S: Final = 0.5
"""A shorter rest is left out: it holds the silence around the last word."""


@dataclass(frozen=True, slots=True)
class TimedTokens:
    """Tokens between two times, in seconds from the start of what was decoded."""

    start_s: float
    end_s: float
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """The segments of a token sequence.

    Attributes:
        segments: ordered by time; their tokens hold no timestamps.
        rest_s: where the model stopped although there is more to hear; None where it is done.
    """

    segments: tuple[TimedTokens, ...]
    rest_s: float | None


def split_at_timestamps(tokens: Sequence[int], timestamp_begin: int, duration_s: float) -> Split:
    """Cut tokens at pairs of timestamps, as openai/whisper does.

    A pair (end of one segment, start of the next) at or before the end of the tokens says that
    speech goes on: what lies behind the end of the last whole segment is decoded again, with all
    the room of a new window. A single timestamp at the end says that nothing follows.

    Args:
        tokens: what the model gave, without prompt and end token.
        timestamp_begin: id of the token for 0.00 s; higher ids are later.
        duration_s: length of the audio that was decoded.
    """
    pairs = [
        i
        for i in range(1, len(tokens))
        if tokens[i] >= timestamp_begin and tokens[i - 1] >= timestamp_begin
    ]
    bounds = [0, *pairs, len(tokens)]
    pieces = [tokens[a:b] for a, b in pairwise(bounds)]
    timed = [_timed(piece, timestamp_begin, duration_s) for piece in pieces]
    closed = len(tokens) >= 2 and tokens[-2] < timestamp_begin <= tokens[-1]
    rest_s = None if closed or not pairs else (tokens[pairs[-1] - 1] - timestamp_begin) * STEP_S
    if rest_s is not None and MIN_PROGRESS_S <= rest_s <= duration_s - MIN_REST_S:
        timed.pop()
    else:
        rest_s = None
    return Split(tuple(part for part in timed if part.tokens), rest_s)


def _timed(tokens: Sequence[int], timestamp_begin: int, duration_s: float) -> TimedTokens:
    text = tuple(token for token in tokens if token < timestamp_begin)
    start_s, end_s = 0.0, duration_s
    if tokens and tokens[0] >= timestamp_begin:
        start_s = (tokens[0] - timestamp_begin) * STEP_S
    if len(tokens) > 1 and tokens[-1] >= timestamp_begin:
        end_s = (tokens[-1] - timestamp_begin) * STEP_S
    elif start_s >= end_s:  # a time behind the sound says nothing; the text is in it nevertheless
        start_s = 0.0
    return TimedTokens(start_s, end_s, text)
