"""Reads what a recording's container declares, without decoding it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stenopool.audio.declared import declared_s
from stenopool.audio.source import open_audio
from stenopool.model import AudioInfo

if TYPE_CHECKING:
    from stenopool.audio.source import Source


def probe(source: Source, name: str = "") -> AudioInfo:
    """What the container declares about its sound; nothing is decoded.

    Where a container declares no length (raw AAC, AMR, an MP3 without a Xing header), `duration_s`
    is FFmpeg's estimate from the bit rate and the size of the file; it is None where FFmpeg has
    neither, as for a stream that cannot seek. A declared length may be wrong; only
    decoding tells.

    Args:
        source: a readable binary file object, read from its start, or a path on this machine.
        name: how messages call the recording.

    Raises:
        NotAudioError: the file is empty, or no container of sound.
        NoAudioStreamError: a container without a sound track, or with one that has no channel.
        UnreadableError: a container of sound whose header is damaged, or an unknown codec.
        OSError: the file object's own errors, unchanged.
    """
    with open_audio(source, name) as audio:
        return AudioInfo(
            duration_s=declared_s(audio),
            sample_rate_hz=audio.stream.sample_rate,
            channels=audio.stream.channels,
            codec=audio.stream.codec_context.codec.canonical_name,
            container=audio.container.format.name,
        )
