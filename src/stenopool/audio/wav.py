"""Reads a WAV file's own header, which counts bytes in 32 bits: ten hours of stereo are more."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stenopool.audio.source import GuardedFile

UNKNOWN_SIZE: Final = 0x7FFF_0000
"""A WAV file that declares this many bytes or more was written as a stream, its end unknown."""

COUNTABLE: Final = 1 << 32
"""Bytes from which on the header cannot say how many there are; many recorders begin again at 0."""


def declared_bytes(file: GuardedFile) -> int | None:
    """The size of the sound (bytes) that the header of a WAV file gives, if it gives one."""
    _, size = _data_chunk(file)
    return size if size < UNKNOWN_SIZE else None


def uncounted_bytes(file: GuardedFile) -> int | None:
    """The size of the sound (bytes) in a WAV file whose header gives too small a one.

    FFmpeg would stop there. None for any other file, and for one that cannot seek.
    """
    if not file.seekable() or (length := file.seek(0, 2)) < UNKNOWN_SIZE:
        return None
    file.seek(0)
    head = file.read(12)
    if (head[:4], head[8:]) != (b"RIFF", b"WAVE"):
        return None
    start, size = _data_chunk(file)
    there = length - start
    return there if there >= COUNTABLE or UNKNOWN_SIZE <= size < there else None


def _data_chunk(file: GuardedFile) -> tuple[int, int]:
    """Walk a RIFF file's chunks to the sound; give where it lies and its declared size (bytes)."""
    file.seek(12)
    while len(head := file.read(8)) == 8:
        chunk, size = struct.unpack("<4sI", head)
        if chunk == b"data":
            return file.tell(), size
        file.seek(size + size % 2, 1)
    return file.tell(), COUNTABLE
