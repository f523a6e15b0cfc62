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

TIMED: Final = ("asf", "flv", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "mpegts", "ogg")
"""Containers that note when a packet was; in the others FFmpeg counts, and damage misleads it."""

LEAST_S: Final = 0.1
"""A shorter gap (s) is a container's rounding, or a clock that runs a little slow."""

MOST_S: Final = 600.0
"""A longer gap (s) is a time stamp that is wrong."""

BEYOND_S: Final = 1.0
"""How far past the declared end (s) a time stamp is still believed."""


class GapFinder:
    """Compares each frame's time stamp with the end of the frame before it.

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
        if frame.pts is None or not self._tick_s:
            return 0
        at_s = frame.pts * self._tick_s
        next_s = at_s if self._next_s is None else self._next_s
        self._next_s = at_s + frame.samples / frame.sample_rate
        if self._end_s is None:
            self._end_s = next_s + self._declared_s + BEYOND_S
        believed = LEAST_S <= at_s - next_s <= MOST_S and at_s <= self._end_s
        return round((at_s - next_s) * SAMPLE_RATE) if believed else 0
