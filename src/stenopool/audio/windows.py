"""Cuts a stretch of a recording into windows of at most 30 s, in silence where there is some."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from stenopool.model import SAMPLE_RATE, WINDOW_SAMPLES, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PAD_BEFORE: Final = SAMPLE_RATE * 2 // 5
"""Silence (samples) that a window keeps before its speech, where there is some.

The VAD notices a word after silence up to 0.35 s late (99 of 100 spoken digits).
"""

PAD_AFTER: Final = SAMPLE_RATE // 5
"""The same after its speech, whose end the VAD notices late."""

SPEECH_SAMPLES: Final = WINDOW_SAMPLES - PAD_BEFORE - PAD_AFTER
"""The longest speech of one window, from first to last."""

LONGEST_SILENCE: Final = 2 * SAMPLE_RATE
"""No window goes on over a longer silence (samples) between two words.

Models stop there: of two spoken digits with 2 s between them the demo model gives both in 40 of 40
windows, with 3 s in 11, with 4 s in none; docs/decisions/2026-11-26-silence-inside-windows.md.
"""

SHORT_SAMPLES: Final = 5 * SAMPLE_RATE
"""In a recording up to this length nothing behind the first word is left out as silence."""

LATEST_WORD: Final = SAMPLE_RATE
"""Where it begins no later than this (samples), nothing before the first word is either.

Whisper's first timestamp is at most 1.0 s in: what begins later gets a wrong time, or none.
"""

SEARCH: Final = 5 * SAMPLE_RATE
"""How far before its limit (samples) a quiet place is looked for, where speech must be cut."""

QUIET: Final = SAMPLE_RATE // 50
"""The length of a quiet place: 20 ms."""

CUT_COST: Final = 0.5
"""What a cut in no silence at all costs, in windows."""

EASY_CUT: Final = SAMPLE_RATE
"""A cut in a silence of this length (samples) costs half of that; in a longer one less."""


def cut_windows(
    samples: NDArray[np.int16] | NDArray[np.float32], speech: Sequence[Span]
) -> list[Span]:
    """Merge consecutive speech to windows of at most 30 s, cut in the longest silences.

    Few windows and long silences at the cuts are weighed against each other over all of them. A
    span of speech that does not fit in a window is cut in the quietest 20 ms of the last 5 s.

    Args:
        samples: the recording, shape (n,), mono, 16 kHz.
        speech: where somebody speaks: ordered, disjoint, inside the recording.

    Returns:
        Windows with up to 0.4 s of silence before and 0.2 s after their speech: ordered,
        disjoint, none over 30 s or with a silence of over 2 s, each sample of speech in one of
        them. A recording of at most 5 s has one to its end, from its start where a word begins
        in the first second, and is cut only by such a silence.
    """
    total = len(samples)
    if not speech:
        return []
    if total <= SHORT_SAMPLES:
        starts = [group[0].start for group in _by_silence(speech)]
        starts = [start - PAD_BEFORE if start > LATEST_WORD else 0 for start in starts]
        return [Span(start, end) for start, end in pairwise([*starts, total])]
    windows: list[Span] = []
    for group in _by_silence(speech):
        if total <= WINDOW_SAMPLES:
            windows.append(Span(group[0].start, group[-1].end))
        else:
            windows += _merged(
                [piece for span in group for piece in _cut_long(samples, span, SPEECH_SAMPLES)]
            )
    return _padded(windows, total)


def _by_silence(speech: Sequence[Span]) -> list[list[Span]]:
    """Speech in groups with a silence between them that no window goes over."""
    groups = [[speech[0]]]
    for before, span in pairwise(speech):
        if span.start - before.end > LONGEST_SILENCE:
            groups.append([])
        groups[-1].append(span)
    return groups


def tile(samples: NDArray[np.int16] | NDArray[np.float32]) -> list[Span]:
    """Cut everything into windows of at most 30 s, each in the quietest place of its last 5 s."""
    return _cut_long(samples, Span(0, len(samples)), WINDOW_SAMPLES)


def quietest(samples: NDArray[np.int16] | NDArray[np.float32], within: Span) -> int:
    """Return the middle of the quietest 20 ms of a stretch (samples); the last one if several."""
    energy = samples[within.start : within.end].astype(np.float64) ** 2
    if len(energy) <= QUIET:
        return (within.start + within.end) // 2
    sums = np.concatenate(([0.0], np.cumsum(energy)))
    places = sums[QUIET:] - sums[:-QUIET]
    last = len(places) - 1 - int(np.argmin(places[::-1]))
    return within.start + last + QUIET // 2


def _cut_long(
    samples: NDArray[np.int16] | NDArray[np.float32], span: Span, limit: int
) -> list[Span]:
    pieces = []
    start = span.start
    while span.end - start > limit:
        cut = quietest(samples, Span(start + limit - SEARCH, start + limit))
        pieces.append(Span(start, cut))
        start = cut
    if span.end > start:
        pieces.append(Span(start, span.end))
    return pieces


def _merged(pieces: Sequence[Span]) -> list[Span]:
    """Join neighbours so that windows and the cost of the cuts between them are least in all.

    From the last piece to the first: `best[i]` is the cost of pieces i and after, and where the
    window that begins with piece i ends.
    """
    best: list[tuple[float, int]] = [(0.0, 0)] * (len(pieces) + 1)
    for first in reversed(range(len(pieces))):
        choices = []
        for after in range(first + 1, len(pieces) + 1):
            if pieces[after - 1].end - pieces[first].start > SPEECH_SAMPLES and after > first + 1:
                break
            choices.append((1 + best[after][0] + _cut_cost(pieces, after), after))
        best[first] = min(choices)
    windows = []
    first = 0
    while first < len(pieces):
        after = best[first][1]
        windows.append(Span(pieces[first].start, pieces[after - 1].end))
        first = after
    return windows


def _cut_cost(pieces: Sequence[Span], after: int) -> float:
    """What it costs to cut before piece `after`: nothing at the end, little in silence."""
    if after == len(pieces):
        return 0.0
    silence = pieces[after].start - pieces[after - 1].end
    return CUT_COST / (1 + silence / EASY_CUT)


def _padded(windows: Sequence[Span], total: int) -> list[Span]:
    """Give every window silence on both sides; two windows share what lies between them."""
    shares = [
        left.end + (right.start - left.end) * PAD_AFTER // (PAD_BEFORE + PAD_AFTER)
        for left, right in pairwise(windows)
    ]
    return [
        Span(max(window.start - PAD_BEFORE, low), min(window.end + PAD_AFTER, high))
        for window, (low, high) in zip(windows, pairwise([0, *shares, total]), strict=True)
    ]
