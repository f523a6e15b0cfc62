"""Files of a stage as their bytes, one row a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from stenopool.distributed.datasources.base import StageDatasource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stenopool.distributed.datasources.reading import OpenedFile

BINARY_SCHEMA = pa.schema([("file_binary", pa.large_binary())])


class SFStageBinaryFileDataSource(StageDatasource):
    """Files of a stage as their bytes: one row a file, verbatim.

    Columns: `file_binary` (the bytes, large_binary), and `path` with `include_paths=True`.
    `Dataset.count` needs the listing alone. Arguments and errors are those of `StageDatasource`.
    """

    row_a_file: ClassVar[bool] = True
    block_schema: ClassVar[pa.Schema | None] = BINARY_SCHEMA

    def _tables(self, block_bytes: int) -> Callable[[OpenedFile], Iterator[pa.Table]]:
        return binary_table


def binary_table(file: OpenedFile) -> Iterator[pa.Table]:
    """One row with all bytes of a file."""
    yield pa.table([[file.stream.read()]], schema=BINARY_SCHEMA)
