"""Reads a recording as units of about ten minutes, cut in silence, with their windows inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from stenopool.audio.decode import Decoder
from stenopool.audio.speech import BATCH_FRAMES, FRAME, SpeechFinder, speech_spans
from stenopool.audio.windows import PAD_BEFORE, cut_windows, quietest, tile
from stenopool.errors import InvalidOptionError
from stenopool.model import SAMPLE_RATE, Span, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from stenopool.audio.source import Source

UNIT_S: Final = 600.0
"""The length of a unit (s): long enough to fill batches, short enough to hold and to try again."""

SEARCH_SHARE: Final = 0.2
"""A unit ends in the longest silence of this last part of it, if it has one of 0.4 s."""

SEARCH_SPEECH: Final = 30 * SAMPLE_RATE
"""Where it has none, it ends in the quietest place of its last 30 s (samples), or half."""

LOOK_AHEAD: Final = BATCH_FRAMES * FRAME
"""What is held beyond a unit (samples) before it is cut, so that all of it is judged."""

FAINT: Final = "nothing in it is clearly speech, only faintly like it"
"""Warning on a recording that is judged by `FAINT_SPEECH` alone."""

HISTORY_FRAMES: Final = 100
"""Judged frames that are kept before a unit, so that speech that goes on is known (3.2 s)."""


def read_units(
    source: Source, name: str = "", *, vad: bool = True, unit_s: float = UNIT_S
) -> Iterator[Unit]:
    """Decode a recording as a stream and cut it into units and windows.

    No more than about one unit is held, however long the recording is. No sample is in two units
    and no window spans two. A recording without speech gives units without windows.

    Args:
        source: a readable binary file object, read from its start, or a path on this machine.
        name: how messages call the recording.
        vad: whether silence is found and left out; if not, the windows tile the recording.
        unit_s: how long a unit is at most (s), at least 1.

    Yields:
        Units in order; the last one has `last` set and carries the warnings.

    Raises:
        InvalidOptionError: `unit_s` is under 1.
        RecordingError: as `stenopool.audio.stream_audio`; units may have come before.
        OSError: the file object's own errors, unchanged.
    """
    if unit_s < 1:
        raise InvalidOptionError(f"a unit of {unit_s} s is too short; give at least 1")
    limit = round(unit_s * SAMPLE_RATE)
    decoder = Decoder(source, name)
    cutter = _SpeechCutter() if vad else _Cutter()
    index = 0
    for block in decoder:
        cutter.feed(block)
        while cutter.held > limit + LOOK_AHEAD:
            yield cutter.unit(index, cutter.cut(limit))
            index += 1
    cutter.finish()
    while cutter.held > limit:
        yield cutter.unit(index, cutter.cut(limit))
        index += 1
    yield cutter.unit(index, cutter.held, last=True, warnings=decoder.warnings)


class _Cutter:
    """Holds what is decoded but not yet handed on, and takes units off its front.

    Without VAD: all of it is kept.
    """

    def __init__(self) -> None:
        self._start = 0
        self._blocks: list[NDArray[np.int16]] = []
        self.held = 0

    def feed(self, block: NDArray[np.int16]) -> None:
        """Take the recording's next samples."""
        self._blocks.append(block)
        self.held += len(block)

    def finish(self) -> None:
        """Take note that the recording has ended."""

    def cut(self, limit: int) -> int:
        """Return where the next unit ends, from its start, at most at `limit` (samples)."""
        samples = self._samples()[:limit]
        windows = tile(samples)
        if len(windows) > 1:
            return windows[-1].start
        return quietest(samples, _last(limit, min(SEARCH_SPEECH, limit // 2)))

    def unit(
        self, index: int, length: int, *, last: bool = False, warnings: tuple[str, ...] = ()
    ) -> Unit:
        """Take `length` samples off the front and make a unit of them."""
        held = self._samples()
        samples, rest = held[:length], held[length:]
        windows, speech = self._windows(samples)
        start = self._start
        self._blocks, self._start, self.held = [rest.copy()], start + length, len(rest)
        return Unit(
            index=index,
            last=last,
            windows=_moved(windows, start),
            samples=_joined(samples, windows),
            decoded_samples=length,
            speech=None if speech is None else _moved(speech, start),
            warnings=warnings,
        )

    def _windows(self, samples: NDArray[np.int16]) -> tuple[list[Span], list[Span] | None]:
        """Return the unit's windows, from its start, and where speech is, if that was judged."""
        return tile(samples), None

    def _samples(self) -> NDArray[np.int16]:
        if len(self._blocks) != 1:
            self._blocks = [np.concatenate(self._blocks)]
        return self._blocks[0]


class _SpeechCutter(_Cutter):
    """The same with VAD: windows hold speech, and units end in silence."""

    def __init__(self) -> None:
        super().__init__()
        self._finder = SpeechFinder()
        self._first_frame = 0
        self._alone = False
        self._probabilities = np.zeros(0, np.float32)

    def feed(self, block: NDArray[np.int16]) -> None:
        super().feed(block)
        self._judged(self._finder.feed(block))

    def finish(self) -> None:
        self._judged(self._finder.finish())

    def cut(self, limit: int) -> int:
        zone = _last(limit, round(limit * SEARCH_SHARE))
        silences = _silences(self._speech(limit), zone)
        longest = max(silences, key=lambda silence: silence.samples, default=zone)
        if silences and longest.samples >= PAD_BEFORE:  # in less of it a word may have begun
            return (longest.start + longest.end) // 2
        return quietest(self._samples(), _last(limit, min(SEARCH_SPEECH, limit // 2)))

    def unit(
        self, index: int, length: int, *, last: bool = False, warnings: tuple[str, ...] = ()
    ) -> Unit:
        self._alone = last and index == 0
        if self._alone and self._speech(length, alone=True) and not self._speech(length):
            warnings = (*warnings, FAINT)
        made = super().unit(index, length, last=last, warnings=warnings)
        passed = max(0, self._start // FRAME - HISTORY_FRAMES) - self._first_frame
        self._first_frame += max(0, passed)
        self._probabilities = self._probabilities[max(0, passed) :].copy()
        return made

    def _windows(self, samples: NDArray[np.int16]) -> tuple[list[Span], list[Span] | None]:
        speech = self._speech(len(samples), alone=self._alone)
        return cut_windows(samples, speech), speech

    def _judged(self, probabilities: NDArray[np.float32]) -> None:
        self._probabilities = np.concatenate((self._probabilities, probabilities))

    def _speech(self, length: int, *, alone: bool = False) -> list[Span]:
        """Speech in the first `length` samples that are held, from their start."""
        within = Span(self._start, self._start + length)
        spans = speech_spans(self._probabilities, self._first_frame, within, alone=alone)
        return list(_moved(spans, -self._start))


def _moved(spans: Sequence[Span], by: int) -> tuple[Span, ...]:
    return tuple(Span(span.start + by, span.end + by) for span in spans)


def _last(limit: int, length: int) -> Span:
    return Span(max(0, limit - length), limit)


def _silences(speech: Sequence[Span], zone: Span) -> list[Span]:
    """What lies between spans of speech, inside a zone."""
    starts = [0, *(span.end for span in speech)]
    ends = [*(span.start for span in speech), zone.end]
    between = (Span(max(start, zone.start), end) for start, end in zip(starts, ends, strict=True))
    return [silence for silence in between if silence.samples > 0]


def _joined(samples: NDArray[np.int16], windows: Sequence[Span]) -> NDArray[np.int16]:
    if not windows:
        return np.zeros(0, np.int16)
    return np.concatenate([samples[span.start : span.end] for span in windows])
