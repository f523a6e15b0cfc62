"""CSV and Parquet files of a stage, with the columns that they have."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from stenopool.distributed.datasources.base import StageDatasource
from stenopool.distributed.datasources.reading import rows_alone
from stenopool.distributed.datasources.text import unpacked
from stenopool.distributed.visibility import sampled
from stenopool.errors import InvalidOptionError
from stenopool.storage import open_storage
from stenopool.storage.retrying import PersistentReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from stenopool.distributed.datasources.reading import OpenedFile

SAMPLED_FILES: Final = 3
"""So many Parquet files are asked on the driver how large their columns are when unpacked."""


class SFStageCSVDataSource(StageDatasource):
    """CSV files of a stage, with a line of names at the top.

    Columns: those of the files, and `path` with `include_paths=True`. Types are found from the
    first megabyte of each file, by pyarrow; give them in `arrow_csv_args` where that is too
    little. Files whose name ends with `.gz`, `.bz2`, `.zst`, `.lz4` or `.br` are unpacked.

    Args:
        *arguments: those of `StageDatasource`.
        arrow_csv_args: keyword arguments of `pyarrow.csv.open_csv`: `read_options`,
            `parse_options`, `convert_options`.
        **options: those of `StageDatasource`.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401  those of the base class
        arrow_csv_args: Mapping[str, Any] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*arguments, **options)
        self._read = functools.partial(csv_tables, arrow_csv_args=dict(arrow_csv_args or {}))

    def _tables(self, block_bytes: int) -> Callable[[OpenedFile], Iterator[pa.Table]]:
        return self._read


class SFStageParquetDataSource(StageDatasource):
    """Parquet files of a stage.

    Columns: those of the files, and `path` with `include_paths=True`. A column that a later step
    drops is not read; `Dataset.count` reads the files' footers only.

    Args:
        *arguments: those of `StageDatasource`.
        columns: names of the columns to read; None reads all.
        **options: those of `StageDatasource`.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401  those of the base class
        columns: Sequence[str] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*arguments, **options)
        # Ray Data's name for the columns that are wanted; it narrows them in `apply_projection`.
        names = [*columns, *["path"] * self._include_paths] if columns is not None else None
        self._projection_map = None if names is None else {name: name for name in names}

    def supports_projection_pushdown(self) -> bool:
        """Columns that a later step drops need not be read."""
        return True

    def _tables(self, block_bytes: int) -> Callable[[OpenedFile], Iterator[pa.Table]]:
        return functools.partial(
            parquet_tables, columns=self._get_data_columns(), block_bytes=block_bytes
        )

    @functools.cached_property
    def _unpacked_share(self) -> float:
        storage = open_storage(self._source.root)
        packed = unpacked_bytes = 0
        for path, size in sampled(self._files, SAMPLED_FILES):
            with PersistentReader(storage, path) as stream:
                try:
                    unpacked_bytes += _table_bytes(pa.parquet.read_metadata(stream))
                except pa.ArrowInvalid:
                    continue  # the reading task says which file it is
            packed += size
        return unpacked_bytes / packed if packed and unpacked_bytes else 1.0

    def _growth(self) -> float:
        return self._unpacked_share


def csv_tables(file: OpenedFile, *, arrow_csv_args: dict[str, Any]) -> Iterator[pa.Table]:
    """The rows of a CSV file, about a megabyte of it a table.

    Raises:
        StorageError: it is no CSV file, or a value does not fit the type of its column.
    """
    chosen = {"read_options": pa.csv.ReadOptions(use_threads=False)} | arrow_csv_args
    try:
        for batch in pa.csv.open_csv(unpacked(file), **chosen):
            yield pa.Table.from_batches([batch])
    except pa.ArrowException as error:
        raise file.unreadable("CSV", error) from error


def parquet_tables(
    file: OpenedFile, *, columns: list[str] | None, block_bytes: int
) -> Iterator[pa.Table]:
    """The rows of a Parquet file, at most about a block of them a table.

    Raises:
        StorageError: it is no Parquet file.
        InvalidOptionError: a column that was asked for is not in it.
    """
    try:
        source = pa.parquet.ParquetFile(file.stream)
    except pa.ArrowException as error:
        raise file.unreadable("Parquet", error) from error
    wanted = _present(columns, source.schema_arrow.names, file)
    rows = source.metadata.num_rows
    a_row = max(1, _table_bytes(source.metadata) // max(1, rows))
    if wanted == []:
        yield rows_alone(rows)
        return
    batch_rows = max(1, min(rows, block_bytes // a_row))
    try:
        for batch in source.iter_batches(batch_rows, columns=wanted, use_threads=False):
            yield pa.Table.from_batches([batch])
    except pa.ArrowException as error:
        raise file.unreadable("Parquet", error) from error


def _present(columns: list[str] | None, there: list[str], file: OpenedFile) -> list[str] | None:
    if columns is None:
        return None
    missing = [name for name in columns if name not in there and name != "path"]
    if missing:
        raise InvalidOptionError(
            f"'{file.path}' of {file.stage} has no column {missing[0]!r}; "
            f"its columns are {', '.join(there)}"
        )
    return [name for name in columns if name in there]


def _table_bytes(metadata: pa.parquet.FileMetaData) -> int:
    """Bytes of a file's columns, unpacked."""
    groups = range(metadata.num_row_groups)
    return sum(metadata.row_group(number).total_byte_size for number in groups)
