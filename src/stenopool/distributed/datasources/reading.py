"""What a reading task does, on any node: open its files one after another, and hand out tables."""

from __future__ import annotations

import io
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import pyarrow as pa
from ray.data._internal.arrow_block import _BATCH_SIZE_PRESERVING_STUB_COL_NAME as ROWS_ALONE

from stenopool.distributed.planning import writable
from stenopool.distributed.visibility import require_visible
from stenopool.errors import InvalidOptionError, NotFoundError, StorageError
from stenopool.storage import open_storage
from stenopool.storage.paths import check_path
from stenopool.storage.retrying import PersistentReader, persistently, read_persistently

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from stenopool.distributed.datasources.listing import Files
    from stenopool.distributed.visibility import Place
    from stenopool.storage import Storage

WHOLE_BYTES: Final = 32 << 20
"""Files up to this size are read in one request; longer ones are streamed."""

THREADS: Final = 8
"""Files that one task opens at the same time: small ones cost waiting and little else."""

AHEAD_BYTES: Final = 64 << 20
"""A task holds at most so many bytes of files that are not handed out yet, or one file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedFile:
    """A file of a stage while it is read.

    Attributes:
        path: below the stage's root.
        stage: the stage's name in full, for error texts.
        size_bytes: as it was listed.
        stream: its bytes; it can seek.
    """

    path: str
    stage: str
    size_bytes: int
    stream: BinaryIO

    def unreadable(self, what: str, error: Exception) -> StorageError:
        """The error for content that is not `what` it should be."""
        reason = " ".join(str(error).split()) or type(error).__name__
        return StorageError(
            f"'{self.path}' of {self.stage} cannot be read as {what}: {reason}; "
            "mend it, or leave it out with file_pattern"
        )


@dataclass(frozen=True, kw_only=True)
class ReadJob:
    """All that one reading task needs; it travels to the node that runs it.

    Attributes:
        place: the stage, and how to tell whether a node sees it.
        files: what to read.
        tables: makes Arrow tables of one opened file.
        include_paths: whether a column `path` is added.
        local_path: a folder of the reading node that gets a copy of each file.
    """

    place: Place
    files: Files
    tables: Callable[[OpenedFile], Iterator[pa.Table]]
    include_paths: bool = False
    local_path: str | None = None


def read_tables(job: ReadJob) -> Iterator[pa.Table]:
    """The tables of a job's files in their order; few files are held at a time.

    Raises:
        StorageError: this node does not see the stage, or a file could not be read.
        NotFoundError: a file was listed, but is gone.
    """
    require_visible(job.place)
    for file in opened(job.place, job.files, local_path=job.local_path):
        with file.stream:
            for table in job.tables(file):
                yield with_path(table, file) if job.include_paths else table


def opened(place: Place, files: Files, *, local_path: str | None = None) -> Iterator[OpenedFile]:
    """Open files ahead in threads, and give them in order.

    Raises:
        NotFoundError: a file was listed, but is gone.
        StorageError: a file could not be read.
    """
    storage = open_storage(place.root)
    waiting: deque[tuple[str, int, Future[BinaryIO]]] = deque()
    ahead = 0
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="stenopool-read")
    try:
        for path, size in files:
            while waiting and (len(waiting) >= 2 * THREADS or ahead + size > AHEAD_BYTES):
                ahead -= waiting[0][1]
                yield _ready(place.name, *waiting.popleft())
            waiting.append((path, size, pool.submit(_open, storage, path, size, local_path)))
            ahead += size
        while waiting:
            yield _ready(place.name, *waiting.popleft())
    finally:
        # Ray closes this generator early when it has the rows that it wants.
        pool.shutdown(wait=False, cancel_futures=True)


def with_path(table: pa.Table, file: OpenedFile) -> pa.Table:
    """The table with the file's path in a column `path`.

    Raises:
        InvalidOptionError: it has such a column of its own.
    """
    if "path" in table.column_names:
        raise InvalidOptionError(
            f"'{file.path}' of {file.stage} has a column 'path' of its own; leave include_paths out"
        )
    paths = pa.repeat(pa.scalar(writable(file.path), pa.string()), table.num_rows)
    return table.append_column("path", paths)


def rows_alone(rows: int) -> pa.Table:
    """A table of so many rows for a step that wants no column, as `Dataset.count` does.

    Without any column Ray Data would take it for empty; this name is its own for the stand-in.
    """
    return pa.table({ROWS_ALONE: pa.nulls(rows)})


def _ready(stage: str, path: str, size: int, future: Future[BinaryIO]) -> OpenedFile:
    try:
        stream = future.result()
    except NotFoundError as error:
        raise NotFoundError(
            f"'{path}' of {stage} was listed, but is gone now; make the datasource anew"
        ) from error
    return OpenedFile(path=path, stage=stage, size_bytes=size, stream=stream)


def _open(storage: Storage, path: str, size: int, local_path: str | None) -> BinaryIO:
    """Open one file of the stage, or its copy on this node where one is asked for."""
    if local_path is not None:
        copy = Path(local_path, check_path(path))
        persistently(lambda: storage.get(path, copy))
        return copy.open("rb")
    if size <= WHOLE_BYTES:
        return io.BytesIO(read_persistently(storage, path))
    return cast("BinaryIO", PersistentReader(storage, path))
