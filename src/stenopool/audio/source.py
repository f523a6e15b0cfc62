"""Opens a recording for FFmpeg: the given file and nothing else, its errors translated once."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, BinaryIO, Final, NoReturn

import av
from av.error import FFmpegError
from av.stream import Discard

from stenopool.audio.wav import uncounted_bytes
from stenopool.errors import NoAudioStreamError, NotAudioError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.stream import AudioStream
    from av.container import InputContainer

Source = BinaryIO | str | Path

FORMATS: Final = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,eac3,flac,flv,gsm,loas,matroska,webm,"
    "mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,mxf,nistsphere,ogg,rm,tta,voc,w64,wav,wv"
)
"""FFmpeg's demuxers that may be used: containers of sound, none that opens another file.

Playlists (HLS, DASH, concat), pictures, subtitles and raw formats guessed from a name are left out.
"""

READ_BYTES: Final = 256 * 1024
"""How much is asked of the file object at once (bytes)."""

OPTIONS: Final = {
    "format_whitelist": FORMATS,
    "protocol_whitelist": "none",
    "max_size": "32768",  # of a WAV packet (bytes); FFmpeg's own choice makes ten times as many
}

RATES: Final = range(1_000, 1_000_000)
"""Sample rates that a recording may have (Hz); others come from damage, and cost hours."""

SNIFF_BYTES: Final = 64

MAGIC: Final = (
    (8, b"WAVE"),
    (8, b"AVI "),
    (8, b"AIFF"),
    (8, b"AIFC"),
    (0, b"fLaC"),
    (0, b"OggS"),
    (0, b"ID3"),
    (0, b"#!AMR"),
    (0, b"\x1aE\xdf\xa3"),
    (0, b"0&\xb2u\x8ef\xcf\x11"),
    (4, b"ftyp"),
    (4, b"moov"),
    (4, b"mdat"),
)
"""How the common containers begin (offset, bytes): tells a damaged recording from no recording."""


class GuardedFile:
    """A file object as FFmpeg may see it: nameless, read-only, never closed by it.

    An error must not pass through FFmpeg, which takes some for the end of the file and goes on
    from others. It is kept, the file ends there, and `raise_failure` raises it unchanged.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._seekable = file.seekable()
        self._failure: Exception | None = None

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end or after a failure."""
        if self._failure is not None:
            return b""
        try:
            return self._file.read(size)
        except Exception as error:  # noqa: BLE001 -- raised by raise_failure
            self._failure = error
            return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move, and return the new position in bytes; -1, as FFmpeg has it, if that failed."""
        try:
            return self._file.seek(offset, whence)
        except Exception as error:  # noqa: BLE001 -- raised by raise_failure
            self._failure = self._failure or error
            return -1

    def tell(self) -> int:
        """The position in bytes."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Whether the file can be read from another place."""
        return self._seekable

    def raise_failure(self) -> None:
        """Raise the file object's own error, as it was, if there was one."""
        if self._failure is not None:
            raise self._failure


@dataclass(frozen=True, kw_only=True)
class OpenAudio:
    """An open recording and the one track of it that is read.

    Attributes:
        label: how messages name the recording, in quotes.
        file: the guard around its bytes.
        container: FFmpeg's view of it.
        stream: the best audio track.
        warnings: what is already known to be worth a note.
        uncounted_bytes: of sound in a WAV file whose header gives too small a size.
    """

    label: str
    file: GuardedFile
    container: InputContainer
    stream: AudioStream
    warnings: tuple[str, ...]
    uncounted_bytes: int | None = None


@contextmanager
def open_audio(source: Source, name: str = "") -> Iterator[OpenAudio]:
    """Open a recording, whatever its name says, and choose its best audio track.

    Args:
        source: a readable binary file object, read from its start, or a path on this machine.
        name: how messages call the recording; the path, or the file object's name, if left out.

    Raises:
        NotAudioError: the file is empty, or no container of sound.
        NoAudioStreamError: a container without a sound track, or with one that has no channel.
        UnreadableError: a container of sound whose header is damaged, or an unknown codec.
        OSError: the file object's own errors, unchanged.
    """
    label = f"'{name or _name_of(source)}'"
    with _file_of(source) as file:
        guard = GuardedFile(file)
        uncounted = uncounted_bytes(guard)
        with _open_container(guard, label, endless=uncounted is not None) as container:
            guard.raise_failure()
            yield replace(_choose_track(container, guard, label), uncounted_bytes=uncounted)


def _name_of(source: Source) -> str:
    if isinstance(source, (str, Path)):
        return str(source)
    return str(getattr(source, "name", "recording"))


@contextmanager
def _file_of(source: Source) -> Iterator[BinaryIO]:
    if isinstance(source, (str, Path)):
        with Path(source).open("rb") as file:
            yield file
    else:
        yield source


def _open_container(file: GuardedFile, label: str, *, endless: bool) -> InputContainer:
    """Give FFmpeg the file; an endless one as a stream, or it looks for more behind the sound."""
    if file.seekable():
        file.seek(0)
    try:
        return av.open(
            SimpleNamespace(read=file.read) if endless else file,
            mode="r",
            container_options=OPTIONS | ({"ignore_length": "1"} if endless else {}),
            metadata_errors="replace",
            buffer_size=READ_BYTES,
            io_open=_refuse_to_open,
        )
    except FFmpegError as error:
        file.raise_failure()
        start = _first_bytes(file)
        file.raise_failure()
        raise _cause(start, label) from error


def _refuse_to_open(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    """A recording may not make FFmpeg open anything else; what is raised here passes through it."""
    del flags, options
    raise UnreadableError(f"the recording refers to another file, which is never opened: '{url}'")


def _first_bytes(file: GuardedFile) -> bytes | None:
    if not file.seekable():
        return None
    file.seek(0)
    return file.read(SNIFF_BYTES)


def _cause(start: bytes | None, label: str) -> NotAudioError | UnreadableError:
    """Tell why FFmpeg could not open what begins like this; None where it cannot be read again."""
    if start == b"":
        return NotAudioError(f"{label} is empty")
    if start is None or not any(start[at:].startswith(magic) for at, magic in MAGIC):
        return NotAudioError(f"{label} is not a recording that FFmpeg knows")
    return UnreadableError(
        f"{label} begins like a recording, but its header or index is damaged or cut off"
    )


def _choose_track(container: InputContainer, file: GuardedFile, label: str) -> OpenAudio:
    """Take FFmpeg's favourite among the tracks that can be decoded, and let the others be."""
    tracks = container.streams.audio
    usable = [track for track in tracks if _has_decoder(track) and track.channels]
    if not usable:
        raise _without_track(container, label)
    usable = [track for track in usable if track.sample_rate in RATES]
    if not usable:
        raise UnreadableError(f"{label} declares a sample rate that no recording has")
    favourite = container.streams.best("audio")
    chosen = next((track for track in usable if track is favourite), usable[0])
    for other in container.streams:
        if other is not chosen:
            other.discard = Discard.all
    several = f"{len(tracks)} audio tracks: only track {tracks.index(chosen) + 1} was used"
    return OpenAudio(
        label=label,
        file=file,
        container=container,
        stream=chosen,
        warnings=(several,) if len(tracks) > 1 else (),
    )


def _without_track(container: InputContainer, label: str) -> NoAudioStreamError | UnreadableError:
    tracks = container.streams.audio
    if not tracks:
        return NoAudioStreamError(f"{label} has no sound track ({container.format.name})")
    if any(_has_decoder(track) for track in tracks):
        return NoAudioStreamError(f"{label} declares a sound track with no channel")
    return UnreadableError(f"{label} has a sound track in a codec that FFmpeg cannot decode")


def _has_decoder(track: AudioStream) -> bool:
    context: object = track.codec_context  # None without a decoder, whatever PyAV's stubs say
    return context is not None
