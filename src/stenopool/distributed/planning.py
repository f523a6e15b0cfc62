"""What a run has to do: the source's recordings, less those that have a transcript already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stenopool.model import transcript_id

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from stenopool.catalog import Source
    from stenopool.model import FileRef, ModelInfo, TranscribeOptions

LISTED_EVERY = 1000
"""Files between two calls of `on_listed`."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file of the source, and the key that its transcript will have."""

    file: FileRef
    transcript_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is to be transcribed, longest first, and what was found beside it.

    Attributes:
        recordings: to transcribe, by falling size, so that no long one is left for the end.
        listed: files that match, the skipped ones included.
        skipped: files whose transcript exists.
        resumed: files that an interrupted run of the same request has done.
    """

    recordings: tuple[Recording, ...]
    listed: int
    skipped: int
    resumed: int

    @property
    def size_bytes(self) -> int:
        """Bytes of all recordings to transcribe."""
        return sum(recording.file.size_bytes for recording in self.recordings)


def make_plan(
    source: Source,
    key: Callable[[FileRef], str],
    *,
    done: Container[str],
    own: Container[str] = (),
    limit: int | None = None,
    on_listed: Callable[[int], None] = lambda _: None,
) -> Plan:
    """List the source and leave out what is done.

    Args:
        source: where the recordings lie, and which of them.
        key: the transcript id of a file.
        done: transcript ids that need no work.
        own: transcript ids that this run has done before it was interrupted.
        limit: at most so many recordings, the first that are listed; None for all.
        on_listed: is told the number of files now and then, since a listing can be long.
    """
    wanted: list[Recording] = []
    listed = skipped = resumed = 0
    for file in source.list():
        listed += 1
        recording = Recording(file, key(file))
        if recording.transcript_id in own:
            resumed += 1
        elif recording.transcript_id in done:
            skipped += 1
        else:
            wanted.append(recording)
        if listed % LISTED_EVERY == 0:
            on_listed(listed)
        if limit is not None and resumed + len(wanted) >= limit:
            break
    on_listed(listed)
    wanted.sort(key=lambda recording: (-recording.file.size_bytes, recording.file.path))
    return Plan(recordings=tuple(wanted), listed=listed, skipped=skipped, resumed=resumed)


def transcript_key(
    source: Source, model: ModelInfo, options: TranscribeOptions
) -> Callable[[FileRef], str]:
    """The function from a file of the source to its transcript id."""
    return lambda file: transcript_id(source.uri(file.path), file, model, options)
