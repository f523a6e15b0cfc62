"""Decodes a recording, block by block, to mono 16 kHz, and notes what could not be decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from av.error import FFmpegError

from stenopool.audio.declared import declared_samples
from stenopool.audio.gaps import GapFinder
from stenopool.audio.mono import FULL_SCALE, MonoResampler
from stenopool.audio.source import RATES, open_audio
from stenopool.errors import UnreadableError
from stenopool.model import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.packet import Packet
    from numpy.typing import NDArray

    from stenopool.audio.source import OpenAudio, Source

BLOCK_SAMPLES: Final = 30 * SAMPLE_RATE
"""How much is handed on at once (samples): half a minute, one MB."""

MISSING_SAMPLES: Final = SAMPLE_RATE
"""Less than this missing at the end is no truncation (samples): encoders pad and round."""

MISSING_SHARE: Final = 0.02
"""Likewise, as a share of the declared length."""

NOTED_GAPS: Final = SAMPLE_RATE // 10
"""Less in all (samples) that was filled with silence is not worth a note."""

DEMUX_RETRIES: Final = 100
"""How many damaged places in a row are stepped over before the rest is given up."""


class Decoder:
    """One pass over a recording: iterate for its samples, then read `warnings`.

    Args:
        source: a readable binary file object, read from its start, or a path on this machine.
        name: how messages call the recording.
        block_samples: the length of every block but the last.

    Attributes:
        warnings: complete when the iteration has ended.
    """

    def __init__(self, source: Source, name: str = "", block_samples: int = BLOCK_SAMPLES) -> None:
        if block_samples < 1:
            raise ValueError("block_samples must be at least 1")
        self._source = source
        self._name = name
        self._block_samples = block_samples
        self._damaged = 0
        self._missing = 0
        self._gapless: bool | None = None
        self.warnings: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[NDArray[np.int16]]:
        """Yield int16 blocks, shape (block_samples,), the last one shorter, none empty."""
        with open_audio(self._source, self._name) as audio:
            decoded = 0
            try:
                for block in _reblock(self._pieces(audio), self._block_samples):
                    decoded += len(block)
                    yield block
            except FFmpegError as error:
                raise UnreadableError(f"{audio.label}: FFmpeg cannot convert it") from error
            audio.file.raise_failure()
            if not decoded:
                raise UnreadableError(f"{audio.label}: no sound could be decoded")
            self.warnings = (*audio.warnings, *self._notes(audio, decoded))
            audio.file.raise_failure()

    def _pieces(self, audio: OpenAudio) -> Iterator[NDArray[np.int16]]:
        resampler, gaps = MonoResampler(), GapFinder(audio)
        audio.stream.codec_context.thread_count = 1
        for packet in self._packets(audio):
            for frame in self._frames(packet):
                if missing := gaps.before(frame):
                    self._missing += missing
                    yield from resampler.silence(missing)
                yield from resampler.push(frame)
        yield from resampler.flush()

    def _packets(self, audio: OpenAudio) -> Iterator[Packet[AudioStream]]:
        """The track's packets; a damaged place in the container is stepped over."""
        retries = 0
        while retries < DEMUX_RETRIES:
            try:
                for packet in audio.container.demux(audio.stream):
                    retries = 0
                    if self._gapless is None:
                        self._gapless = packet.has_sidedata("skip_samples")
                    yield packet
            except IndexError:
                # PyAV, at the end of an MPEG stream that gained a track on the way, after ours.
                return
            except FFmpegError:
                retries += 1
                self._damaged += 1
            else:
                return

    def _frames(self, packet: Packet[AudioStream]) -> list[AudioFrame]:
        try:
            frames = packet.decode()
        except FFmpegError:
            self._damaged += 1
            return []
        sane = [frame for frame in frames if frame.sample_rate in RATES]
        self._damaged += len(frames) - len(sane)
        return sane

    def _notes(self, audio: OpenAudio, decoded: int) -> Iterator[str]:
        declared = declared_samples(audio, gapless=bool(self._gapless))
        if self._damaged:
            packets = "packet" if self._damaged == 1 else "packets"
            yield f"damaged: {self._damaged} {packets} could not be decoded"
        if self._missing >= NOTED_GAPS:
            yield f"gaps: {self._missing / SAMPLE_RATE:.1f} s without sound became silence"
        if declared - decoded > max(MISSING_SAMPLES, MISSING_SHARE * declared):
            seconds = decoded / SAMPLE_RATE, declared / SAMPLE_RATE
            yield "truncated: {:.1f} s of {:.1f} s could be decoded".format(*seconds)


def stream_audio(
    source: Source, name: str = "", *, block_samples: int = BLOCK_SAMPLES
) -> Iterator[NDArray[np.int16]]:
    """Decode a recording piece by piece; no more than about a block is held.

    Damaged packets are skipped, gaps are filled with silence, and a truncated file gives what it
    has; `read_units` tells of all three.

    Args:
        source: a readable binary file object, read from its start, or a path on this machine.
        name: how messages call the recording.
        block_samples: the length of every block but the last (samples).

    Yields:
        int16, shape (block_samples,), mono, 16 kHz; the last block is shorter, none is empty.

    Raises:
        NotAudioError: the file is empty, or no container of sound.
        NoAudioStreamError: a container without a sound track, or with one that has no channel.
        UnreadableError: a damaged header, an unknown codec, or nothing that could be decoded.
        OSError: the file object's own errors, unchanged.
    """
    yield from Decoder(source, name, block_samples)


def decode_audio(source: Source, name: str = "") -> NDArray[np.float32]:
    """Decode a whole recording.

    Args:
        source: a readable binary file object, read from its start, or a path on this machine.
        name: how messages call the recording.

    Returns:
        float32, shape (n_samples,), range [-1, 1], mono, 16 kHz: the int16 samples over 32,768.

    Raises:
        RecordingError: as `stream_audio`.
        OSError: the file object's own errors, unchanged.
    """
    samples = np.concatenate(list(stream_audio(source, name)))
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


def _reblock(
    pieces: Iterator[NDArray[np.int16]], block_samples: int
) -> Iterator[NDArray[np.int16]]:
    """Cut pieces of any length into blocks of one length."""
    waiting: list[NDArray[np.int16]] = []
    held = 0
    for piece in pieces:
        waiting.append(piece)
        held += len(piece)
        if held < block_samples:
            continue
        joined = np.concatenate(waiting)
        whole = held - held % block_samples
        for start in range(0, whole, block_samples):
            yield joined[start : start + block_samples]
        waiting, held = [joined[whole:].copy()], held - whole
    if held:
        yield np.concatenate(waiting)
