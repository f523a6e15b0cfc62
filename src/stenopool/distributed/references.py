"""The datasource of a run: it yields references to recordings; their bytes do not travel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ray.data import Datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask

from stenopool.distributed.planning import BLOCK_FILES, REFERENCE_SCHEMA, cut_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa


class RecordingReferences(Datasource):
    """A Ray Data datasource over planned recordings, in the plan's order.

    Blocks are cut by bytes, so that an hour-long recording is one task's work and a hundred
    clips are too.

    Args:
        references: of `REFERENCE_SCHEMA`.
        tasks: so many should find work, where there is enough of it.
        files: recordings of one block at most.
        alone: whether each recording is a block of its own.
    """

    def __init__(
        self,
        references: pa.Table,
        *,
        tasks: int = 1,
        files: int = BLOCK_FILES,
        alone: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        sizes = references["size_bytes"].to_numpy()
        cuts = [1] * len(sizes) if alone else cut_blocks(sizes, tasks, files=files)
        self._references, self._cuts = references, cuts

    @property
    def blocks(self) -> int:
        """How many reading tasks there will be."""
        return len(self._cuts)

    def get_name(self) -> str:
        """The name that Ray Data shows."""
        return "Recordings"

    def estimate_inmemory_data_size(self) -> int:
        """Bytes of the references themselves."""
        return int(self._references.nbytes)

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: object = None
    ) -> list[ReadTask]:
        """One task a block; `parallelism` is not taken up, since bytes set the blocks."""
        tasks, start = [], 0
        for length in self._cuts:
            # Taken out, because a slice alone would carry the whole table to each task.
            block = self._references.slice(start, length).take(list(range(length)))
            tasks.append(_read_task(block, per_task_row_limit))
            start += length
        return tasks


def _read_task(block: pa.Table, row_limit: int | None) -> ReadTask:
    def read() -> Iterable[pa.Table]:
        return [block]

    metadata = BlockMetadata(num_rows=block.num_rows, size_bytes=block.nbytes, exec_stats=None)
    return ReadTask(read, metadata, schema=REFERENCE_SCHEMA, per_task_row_limit=row_limit)
