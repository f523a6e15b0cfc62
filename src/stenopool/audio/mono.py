"""Turns decoded frames of any rate, format and channel count into mono int16 at 16 kHz."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from stenopool.model import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FULL_SCALE: Final = 32_768
"""The int16 value that float -1.0 stands for."""

GROUP_VALUES: Final = 262_144
"""Frames are joined to about this many values before resampling: one call a frame costs more."""

WEIGHED: Final = frozenset(
    ("mono", "1 channels", "stereo", "2 channels", "5.1", "5.1(side)", "7.1")
)
"""Layouts that FFmpeg mixes by its own weights; it refuses some others, which get the mean."""

MISCOUNTED: Final = 8
"""From this many channels on, PyAV reads planes of a frame that are not there, and crashes."""

AS_IT_IS: Final = frozenset(
    (sample_format, layout, SAMPLE_RATE)
    for sample_format in ("s16", "s16p")
    for layout in ("mono", "1 channels")
)
"""Kinds of frame that need no conversion; a filter graph costs a millisecond a recording."""


STEREO: Final = frozenset(("stereo", "2 channels"))

TURNED_OVER: Final = 0.01
"""Channels of whose power less is left in their mean (-20 dB) are one and the same, turned over."""


class MonoResampler:
    """FFmpeg's resampler and down-mix over groups of frames.

    A stream may change its format on the way (chained Ogg, AAC whose real rate shows late): what
    came before is flushed, and a new resampler goes on.
    """

    def __init__(self) -> None:
        self._kind: tuple[str, str, int] | None = None
        self._fifo = AudioFifo()
        self._resampler = AudioResampler()
        self._group_samples = 0

    def push(self, frame: AudioFrame) -> Iterator[NDArray[np.int16]]:
        """Take one frame; yield int16 pieces, shape (n,), as groups become full."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            yield from self.flush()
            self._kind = kind
            self._fifo = AudioFifo()
            self._resampler = AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            self._group_samples = GROUP_VALUES // frame.layout.nb_channels
        frame.pts = None  # the pieces follow one another; FFmpeg would check the times
        self._fifo.write(frame)
        if self._fifo.samples >= self._group_samples:
            yield from self._resample(self._fifo.read())

    def silence(self, samples: int) -> Iterator[NDArray[np.int16]]:
        """Yield what frames still hold, then so many zeros (samples at 16 kHz)."""
        rest = self._fifo.read()
        if rest is not None:
            yield from self._resample(rest)
        for start in range(0, samples, GROUP_VALUES):
            yield np.zeros(min(GROUP_VALUES, samples - start), np.int16)

    def flush(self) -> Iterator[NDArray[np.int16]]:
        """Yield what frames and filters still hold."""
        if self._kind is None:
            return
        rest = self._fifo.read()
        if rest is not None:
            yield from self._resample(rest)
        yield from self._resample(None)
        self._kind = None

    def _resample(self, group: AudioFrame | None) -> Iterator[NDArray[np.int16]]:
        if self._kind in AS_IT_IS:
            if group is not None:
                yield group.to_ndarray().astype(np.int16, copy=False).reshape(-1)
            return
        ready = None if group is None else _mixable(_in_phase(_finite(_packed(group))))
        for frame in self._resampler.resample(ready):
            yield frame.to_ndarray().astype(np.int16, copy=False).reshape(-1)


def _packed(frame: AudioFrame) -> AudioFrame:
    """The frame, its channels interleaved where they are so many that PyAV miscounts planes."""
    if not frame.format.is_planar or frame.layout.nb_channels < MISCOUNTED:
        return frame
    packed, layout = frame.format.packed.name, frame.layout.name
    (made,) = AudioResampler(packed, layout, frame.sample_rate).resample(frame)
    return made


def _finite(frame: AudioFrame) -> AudioFrame:
    """The frame with 0 in place of NaN, infinity and what no sound can be.

    One of these would spread through the filters.
    """
    if not frame.format.name.startswith(("flt", "dbl")):
        return frame
    samples = frame.to_ndarray()
    possible = np.abs(samples) <= FULL_SCALE  # some writers scale floats as integers
    if possible.all():
        return frame
    return _like(frame, np.where(possible, samples, 0).astype(samples.dtype), frame.layout.name)


def _in_phase(frame: AudioFrame) -> AudioFrame:
    """The frame, its left channel on both sides where the right one is the same turned over.

    A cable with crossed wires does that, and the mean of both would be silence.
    """
    if frame.layout.name not in STEREO or frame.format.name.startswith("u8"):
        return frame
    channels = _channels(frame)
    left, right = channels.astype(np.float32)
    both, mean = np.vdot(left, left) + np.vdot(right, right), (left + right) / 2
    if np.vdot(mean, mean) >= TURNED_OVER * both / 2:
        return frame
    planar = frame.format.is_planar
    made = np.stack([channels[0]] * 2) if planar else np.repeat(channels[0], 2)[np.newaxis]
    return _like(frame, made, frame.layout.name)


def _mixable(frame: AudioFrame) -> AudioFrame:
    """The frame, or the mean of its channels where FFmpeg may have no weights for them."""
    if frame.layout.name in WEIGHED:
        return frame
    channels = _channels(frame)
    mean = channels.mean(axis=0).astype(channels.dtype)
    return _like(frame, mean[np.newaxis], "mono")


def _channels(frame: AudioFrame) -> NDArray[Any]:
    """Its samples, shape (channels, n), interleaved or not."""
    samples = frame.to_ndarray()
    return samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T


def _like(frame: AudioFrame, samples: NDArray[np.generic], layout: str) -> AudioFrame:
    made = AudioFrame.from_ndarray(samples, format=frame.format.name, layout=layout)  # type: ignore[arg-type]
    made.sample_rate = frame.sample_rate
    made.time_base = frame.time_base
    return made
