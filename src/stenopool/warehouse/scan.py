"""A table as DuckDB reads it: PyIceberg says which Parquet files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stenopool.errors import StorageError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table


@dataclass(frozen=True, kw_only=True)
class ParquetFiles:
    """The files that hold a table's rows.

    Attributes:
        schema: the table's columns, which each file has under the same names.
        paths: local paths, or URLs of a bucket; at least one.
    """

    schema: pa.Schema
    paths: list[str]


def readable(table: Table) -> ParquetFiles | pa.Table:
    """The rows of a table's main branch as they are now; later commits do not show.

    They are files for DuckDB to read, except where a row-level delete, or columns that changed
    since a file was written, take PyIceberg to read them right; then they are in memory.

    Raises:
        StorageError: a file that the table is made of cannot be read.
    """
    try:
        return _rows(table)
    except OSError as error:
        name = ".".join(table.name())
        raise StorageError(f"the data of table {name} cannot be read: {error}") from error


def _rows(table: Table) -> ParquetFiles | pa.Table:
    columns = table.schema().as_arrow()
    snapshot = table.current_snapshot()
    if snapshot is None:
        return columns.empty_table()
    scan = table.scan(snapshot_id=snapshot.snapshot_id)
    tasks = list(scan.plan_files())
    if len(table.metadata.schemas) > 1 or any(task.delete_files for task in tasks):
        return scan.to_arrow()
    if not tasks:
        return columns.empty_table()
    paths = [task.file.file_path.removeprefix("file://") for task in tasks]
    return ParquetFiles(schema=columns, paths=paths)
