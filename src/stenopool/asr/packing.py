"""Short clips that share a window: joined with silence between, and the text cut back by its times.

An encoder's window is 30 s long whatever is in it, so three quarters of its work on clips of seven
seconds is on silence that fills up. Four of them in one window cost a quarter. What cannot be cut
back without doubt is transcribed again, alone.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import numpy as np

from stenopool.asr.segments import retimed
from stenopool.asr.windows import is_silent
from stenopool.model import SAMPLE_RATE, WINDOW_SAMPLES, Segment, Span, WindowResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

GAP: Final = SAMPLE_RATE
"""Digital silence (samples) between two clips; see docs/decisions/2026-11-26-short-clips.md."""

REACH_S: Final = 0.2
"""So far into another clip a segment may reach and is still in one clip (s); ends are late."""


def transcribe_packed(
    transcribe: Callable[[Sequence[NDArray[np.float32]]], Sequence[WindowResult]],
    windows: Sequence[NDArray[np.float32]],
) -> list[WindowResult]:
    """Transcribe windows of one language, several at a time in one window of the encoder.

    A clip is transcribed alone, and not with others, where it is silent, holds what are no
    numbers, or has no room beside another; and it is once more, alone, where the shared window
    gave it no text, a text that reaches into another clip, a warning, or a text that took more
    than one attempt.

    Args:
        transcribe: gives one result a window, in order.
        windows: float32, shape (n,), range [-1, 1], mono, 16 kHz, at most 30 s each.

    Returns:
        One result a window, in order; times count from the window's own start. What a segment
        says of its window (`avg_logprob`, …) it says of the shared one.
    """
    fit = [i for i, one in enumerate(windows) if np.isfinite(one).all() and not is_silent(one)]
    packs = [pack for pack in packs_of([len(windows[i]) for i in fit]) if len(pack) > 1]
    shared = [[fit[number] for number in pack] for pack in packs]
    joint = transcribe([joined([windows[i] for i in pack]) for pack in shared]) if shared else ()
    found: dict[int, WindowResult] = {}
    for pack, result in zip(shared, joint, strict=True):
        spans = places([len(windows[i]) for i in pack])
        cut = cut_back(result, spans)
        found |= {i: one for i, one in zip(pack, cut, strict=True) if one is not None}
    alone = [i for i in range(len(windows)) if i not in found]
    results = transcribe([windows[i] for i in alone]) if alone else ()
    found |= dict(zip(alone, results, strict=True))
    return [found[i] for i in range(len(windows))]


def packs_of(lengths: Sequence[int]) -> list[list[int]]:
    """Which clips share a window: the longest first, each into the first that has room.

    Args:
        lengths: of the clips, in samples; each at most a window's.

    Returns:
        Numbers of clips; with the gaps between them no pack is longer than a window.
    """
    packs: list[list[int]] = []
    free: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        needed = lengths[number] + GAP
        chosen = next((i for i, room in enumerate(free) if room >= needed), None)
        if chosen is None:
            packs.append([number])
            free.append(WINDOW_SAMPLES - lengths[number])
        else:
            packs[chosen].append(number)
            free[chosen] -= needed
    return packs


def places(lengths: Sequence[int]) -> list[Span]:
    """Where clips of these lengths lie in their shared window."""
    starts = accumulate((length + GAP for length in lengths), initial=0)
    return [Span(start, start + length) for start, length in zip(starts, lengths, strict=False)]


def joined(clips: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The shared window of clips: float32, shape (n,), with digital silence between them."""
    spans = places([len(clip) for clip in clips])
    window = np.zeros(spans[-1].end, np.float32)
    for clip, span in zip(clips, spans, strict=True):
        window[span.start : span.end] = clip
    return window


def cut_back(result: WindowResult, spans: Sequence[Span]) -> list[WindowResult | None]:
    """What the result of a shared window says of each clip; None where that is in doubt."""
    if result.warnings or any(segment.temperature for segment in result.segments):
        return [None] * len(spans)
    texts: list[list[Segment]] = [[] for _ in spans]
    doubtful: set[int] = set()
    for segment in result.segments:
        touched = [i for i, span in enumerate(spans) if _shared_s(segment, span) > REACH_S]
        if len(touched) == 1:
            texts[touched[0]].append(_from_start_of(segment, spans[touched[0]]))
        else:  # in several clips, or in a gap, as is text that nobody said
            doubtful.update(touched or range(len(spans)))
    return [
        replace(result, segments=tuple(texts[number]))
        if texts[number] and number not in doubtful
        else None
        for number in range(len(spans))
    ]


def _shared_s(segment: Segment, span: Span) -> float:
    """How much of a clip a segment covers (s); a clip that is all covered counts as long."""
    start_s, end_s = span.start / SAMPLE_RATE, span.end / SAMPLE_RATE
    shared_s = min(segment.end_s, end_s) - max(segment.start_s, start_s)
    return max(shared_s, 1.0) if segment.start_s <= start_s and end_s <= segment.end_s else shared_s


def _from_start_of(segment: Segment, span: Span) -> Segment:
    def placed(seconds: float) -> float:
        return min(max(seconds - span.start / SAMPLE_RATE, 0.0), span.samples / SAMPLE_RATE)

    return retimed(segment, placed)
