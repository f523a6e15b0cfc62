"""The datasource of a run: it yields references to recordings; their bytes do not travel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from ray.data import Datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stenopool.distributed.planning import Recording

REFERENCE_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("size_bytes", pa.int64()),
        ("etag", pa.string()),
        ("transcript_id", pa.string()),
    ]
)

BLOCK_FILES = 64
BLOCK_BYTES = 4 << 20
"""One task reads at most so many recordings, or so many bytes of them, one after another."""

LEAST_BLOCK_FILES = 16
LEAST_BLOCK_BYTES = 256 << 10
"""Less than this is not worth a task of its own, even when cores are idle."""


class RecordingReferences(Datasource):
    """A Ray Data datasource over planned recordings, in the plan's order.

    Blocks are cut by bytes, so that an hour-long recording is one task's work and a hundred
    clips are too.

    Args:
        recordings: what the plan holds.
        tasks: so many should find work, where there is enough of it.
    """

    def __init__(self, recordings: Sequence[Recording], *, tasks: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._blocks = [reference_table(block) for block in cut_blocks(recordings, tasks)]

    @property
    def blocks(self) -> int:
        """How many reading tasks there will be."""
        return len(self._blocks)

    def get_name(self) -> str:
        """The name that Ray Data shows."""
        return "Recordings"

    def estimate_inmemory_data_size(self) -> int:
        """Bytes of the references themselves."""
        return sum(block.nbytes for block in self._blocks)

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: object = None
    ) -> list[ReadTask]:
        """One task a block; `parallelism` is not taken up, since bytes set the blocks."""
        return [_read_task(block, per_task_row_limit) for block in self._blocks]


def cut_blocks(recordings: Sequence[Recording], tasks: int = 1) -> Iterator[list[Recording]]:
    """The recordings in their order, in blocks of about equal work, for so many tasks or more."""
    total = sum(recording.file.size_bytes for recording in recordings)
    most = min(BLOCK_BYTES, max(LEAST_BLOCK_BYTES, total // tasks))
    most_files = min(BLOCK_FILES, max(LEAST_BLOCK_FILES, len(recordings) // tasks))
    block: list[Recording] = []
    size = 0
    for recording in recordings:
        if block and (len(block) == most_files or size + recording.file.size_bytes > most):
            yield block
            block, size = [], 0
        block.append(recording)
        size += recording.file.size_bytes
    if block:
        yield block


def reference_table(recordings: Sequence[Recording]) -> pa.Table:
    """The references as Arrow, one row a recording, columns as in `REFERENCE_SCHEMA`."""
    files = [recording.file for recording in recordings]
    columns = [
        [writable(file.path) for file in files],
        [file.size_bytes for file in files],
        [file.etag for file in files],
        [recording.transcript_id for recording in recordings],
    ]
    return pa.table(columns, schema=REFERENCE_SCHEMA)


def writable(path: str) -> str:
    r"""A path as Arrow and Iceberg can hold it: bytes that are not UTF-8 become `\xNN`.

    Such a file is not found under its new name, and so becomes a row that says so.
    """
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _read_task(block: pa.Table, row_limit: int | None) -> ReadTask:
    def read() -> Iterable[pa.Table]:
        return [block]

    metadata = BlockMetadata(num_rows=block.num_rows, size_bytes=block.nbytes, exec_stats=None)
    return ReadTask(read, metadata, schema=REFERENCE_SCHEMA, per_task_row_limit=row_limit)
