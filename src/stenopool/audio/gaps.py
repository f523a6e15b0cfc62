"""Finds where a container has no sound for a while, so that silence keeps the times right.

Calls are often recorded that way: nobody speaks, or a packet is lost, and nothing is stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stenopool.audio.declared import MICROSECONDS, declared_s
from stenopool.model import SAMPLE_RATE

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

    from stenopool.audio.source import OpenAudio

TIMED: Final = ("asf", "flac", "flv", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "mpegts", "ogg")
"""Containers that note when a packet was; in the others FFmpeg counts, and damage misleads it."""

LEAST_S: Final = 0.015
"""A lag of less (s) is a container's rounding; most of them count milliseconds."""

MOST_S: Final = 600.0
"""A longer gap (s) is a time stamp that is wrong."""

BEYOND_S: Final = 1.0
"""How far past the declared end (s) a time stamp is still believed."""

BACK_S: Final = 1.0
"""A time stamp that is further back than this (s) begins a new count."""


class GapFinder:
    """Compares each frame's time stamp with the end of all sound before it.

    Not with the frame before alone: a hundred lost packets of 20 ms are two seconds, and a time
    stamp that is late for once is followed by sound that is early by as much.

    Where there are other tracks, the first frame is compared with the start of the container, so
    that the sound of a film that begins late keeps its place.
    """

    def __init__(self, audio: OpenAudio) -> None:
        time_base, start = audio.stream.time_base, audio.container.start_time
        alone = len(audio.container.streams) == 1
        timed = audio.container.format.name in TIMED and time_base is not None
        self._tick_s = float(time_base or 0) if timed else 0.0
        self._next_s = None if alone or start is None else start / MICROSECONDS
        self._declared_s = declared_s(audio) or float("inf")
        self._end_s: float | None = None

    def before(self, frame: AudioFrame) -> int:
        """How many samples at 16 kHz are missing before this frame."""
        if not self._tick_s:
            return 0
        missing = 0 if frame.pts is None else self._missing(frame.pts * self._tick_s)
        if self._next_s is not None:
            # Two million of these sums, ten hours, are wrong by less than a sample.
            self._next_s += missing / SAMPLE_RATE + frame.samples / frame.sample_rate
        return missing

    def _missing(self, at_s: float) -> int:
        """The same for sound with this time stamp; after one that cannot be the count is new."""
        if self._next_s is None:
            self._next_s = at_s
        if self._end_s is None:
            self._end_s = self._next_s + self._declared_s + BEYOND_S
        lag_s = at_s - self._next_s
        if not -BACK_S <= lag_s <= MOST_S:
            self._next_s = at_s
        elif lag_s >= LEAST_S and at_s <= self._end_s:
            return round(lag_s * SAMPLE_RATE)
        return 0
