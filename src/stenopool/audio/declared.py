"""What a container says about its length, and whether it can be held to it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from av.stream import Disposition

from stenopool.audio.wav import declared_bytes
from stenopool.model import SAMPLE_RATE

if TYPE_CHECKING:
    from stenopool.audio.source import OpenAudio

MICROSECONDS: Final = 1_000_000
"""FFmpeg's unit of a container's duration, in a second."""

ESTIMATED: Final = frozenset(
    ("aac", "ac3", "amr", "amrnb", "amrwb", "dts", "eac3", "gsm", "loas", "mpeg", "mpegts")
)
"""Containers with no length of their own: FFmpeg's is an estimate that proves nothing."""


def declared_s(audio: OpenAudio) -> float | None:
    """The declared or estimated length (s) of the track, else of the container, else None."""
    stream, container = audio.stream, audio.container
    if audio.uncounted_bytes and stream.bit_rate:
        return audio.uncounted_bytes * 8 / stream.bit_rate
    if stream.duration is not None and stream.duration > 0 and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and container.duration > 0:
        return container.duration / MICROSECONDS
    return None


def declared_samples(audio: OpenAudio, *, gapless: bool) -> int:
    """The length at 16 kHz that decoding can be held to; 0 where none is declared.

    Args:
        audio: the recording, all of it read, because a WAV file's header is read again.
        gapless: whether the first packet said how much of it to skip; an MP3's only does where
            a Xing header, which also gives the length, stands before it.
    """
    kind = audio.container.format.name
    if kind in ESTIMATED or (kind == "mp3" and not gapless):
        return 0
    if kind == "wav":
        seconds = _wav_s(audio) or declared_s(audio)
    elif kind == "matroska,webm":
        seconds = _tagged_s(audio) or _only_track_s(audio)
    elif kind.startswith("mov,"):
        seconds = declared_s(audio)
    else:
        seconds = _only_track_s(audio)
    return round(seconds * SAMPLE_RATE) if seconds and math.isfinite(seconds) else 0


def _only_track_s(audio: OpenAudio) -> float | None:
    """The container's length, unless another track may be the one that is that long."""
    pictures = [
        stream
        for stream in audio.container.streams
        if stream.disposition & Disposition.attached_pic
    ]
    alone = len(audio.container.streams) - len(pictures) == 1
    return declared_s(audio) if alone else None


def _tagged_s(audio: OpenAudio) -> float | None:
    """Matroska's length of a track, which its writers note as a tag: `00:00:20.008000000`."""
    parts = audio.stream.metadata.get("DURATION", "").split(":")
    try:
        hours, minutes, seconds = (float(part) for part in parts)
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds


def _wav_s(audio: OpenAudio) -> float | None:
    """The length that a WAV header gives; FFmpeg's follows the size of the file instead."""
    if not audio.stream.codec_context.name.startswith("pcm_") or not audio.file.seekable():
        return None
    size, bit_rate = declared_bytes(audio.file), audio.stream.bit_rate
    return size * 8 / bit_rate if size and bit_rate else None
