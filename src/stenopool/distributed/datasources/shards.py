"""Shards of a stage: files of other files' bytes, packed by `generate_shards`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.ipc

from stenopool.distributed.datasources.base import StageDatasource
from stenopool.distributed.datasources.reading import rows_alone
from stenopool.errors import InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from stenopool.distributed.datasources.reading import OpenedFile

_FILE_MAGIC = b"ARROW1"


class SFStageShardDataSource(StageDatasource):
    """Shards in Arrow's IPC format: one row a packed file, in the order that it was packed.

    Columns: those of the shards: `bytes` (large_binary, verbatim), and `path` (string) where
    `generate_shards` packed it, below the root of the stage that the file came from.

    Args:
        stage_location: as in `StageDatasource`; the folder of the shards.
        database: as there.
        schema: as there.
        file_pattern: as there.
        local_path: as there; the shards are saved, not the files in them.
        columns: names of the columns to read; None reads all.
        use_file_cache: taken, so that scripts run, and of no effect: nothing is cached, each
            reading sees what the stage holds.
        file_cache_config: likewise.
        include_paths: True makes a shard without `path` an error; False asks for nothing.
        **options: those of `StageDatasource`.
    """

    def __init__(  # noqa: PLR0913  the signature that scripts call
        self,
        stage_location: str,
        database: str | None = None,
        schema: str | None = None,
        file_pattern: str | Sequence[str] | None = "*.arrow",
        local_path: str | None = None,
        *,
        columns: Sequence[str] | None = None,
        use_file_cache: bool | None = None,
        file_cache_config: Mapping[str, Any] | None = None,
        include_paths: bool = False,
        **options: Any,  # noqa: ANN401  those of the base class
    ) -> None:
        super().__init__(stage_location, database, schema, file_pattern, local_path, **options)
        self._projection_map = None if columns is None else {name: name for name in columns}
        self._needs_path = include_paths

    def supports_projection_pushdown(self) -> bool:
        """Columns that a later step drops need not be read."""
        return True

    def _tables(self, block_bytes: int) -> Callable[[OpenedFile], Iterator[pa.Table]]:
        return functools.partial(
            shard_tables, columns=self._get_data_columns(), needs_path=self._needs_path
        )


def shard_tables(
    file: OpenedFile, *, columns: list[str] | None, needs_path: bool
) -> Iterator[pa.Table]:
    """The rows of a shard, a batch of it a table; IPC files and streams are both read.

    Raises:
        StorageError: it is no Arrow IPC file.
        InvalidOptionError: a column that was asked for is not in it.
    """
    try:
        for batch in _batches(file):
            there = batch.schema.names
            _require([*(columns or ()), *["path"] * needs_path], there, file)
            if columns == []:
                yield rows_alone(batch.num_rows)
                continue
            table = pa.Table.from_batches([batch])
            yield table if columns is None else table.select(columns)
    except pa.ArrowException as error:
        raise file.unreadable("a shard", error) from error


def _batches(file: OpenedFile) -> Iterator[pa.RecordBatch]:
    is_file = file.stream.read(len(_FILE_MAGIC)) == _FILE_MAGIC
    file.stream.seek(0)
    if not is_file:
        yield from pa.ipc.open_stream(file.stream)
        return
    reader = pa.ipc.open_file(file.stream)
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)


def _require(columns: list[str], there: list[str], file: OpenedFile) -> None:
    for name in columns:
        if name not in there:
            raise InvalidOptionError(
                f"the shard '{file.path}' of {file.stage} has no column {name!r}; "
                f"its columns are {', '.join(there)}"
            )
