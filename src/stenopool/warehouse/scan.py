"""A table as DuckDB reads it: PyIceberg says which Parquet files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stenopool.errors import StorageError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table
    from pyiceberg.types import IcebergType


@dataclass(frozen=True, kw_only=True)
class ParquetFiles:
    """The files that hold a table's rows.

    Attributes:
        schema: the table's columns, which files have under the same names.
        paths: local paths, or URLs of a bucket; at least one.
        grown: whether a file may lack columns, or fields of structs; they are NULL in its rows.
    """

    schema: pa.Schema
    paths: list[str]
    grown: bool = False


def readable(table: Table) -> ParquetFiles | pa.Table:
    """The rows of a table's main branch as they are now; later commits do not show.

    They are files for DuckDB to read, except where a row-level delete, or columns that were
    renamed, dropped or given another type since a file was written, take PyIceberg to read them
    right; then they are in memory.

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
    scan = table.scan()
    tasks = list(scan.plan_files())
    if not tasks:
        return columns.empty_table()
    if not _only_grew(table) or any(task.delete_files for task in tasks):
        return scan.to_arrow()
    paths = [task.file.file_path.removeprefix("file://") for task in tasks]
    return ParquetFiles(schema=columns, paths=paths, grown=len(table.metadata.schemas) > 1)


def _only_grew(table: Table) -> bool:
    """Whether columns were added and nothing else: each has the name and type that it ever had."""
    now = table.schema()
    former = [
        (name, schema.find_field(name))
        for schema in table.metadata.schemas
        for name in schema.column_names
    ]
    return all(
        now.find_column_name(field.field_id) == name
        and _alike(now.find_type(name), field.field_type)
        for name, field in former
    )


def _alike(kind: IcebergType, former: IcebergType) -> bool:
    """Whether two types are one; what is in a nested one is looked at by itself."""
    return type(kind) is type(former) and (not kind.is_primitive or kind == former)
