"""The datasink of a table in the catalog: workers write Parquet, the driver commits once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from ray.data import Datasink

from stenopool.catalog import open_catalog, parse_name
from stenopool.catalog.ledger import write_files
from stenopool.catalog.names import quoted
from stenopool.catalog.writing import TableWrite
from stenopool.distributed.datasinks.columns import as_table, fit, plain_type, table_schema
from stenopool.errors import InvalidOptionError, NotFoundError
from stenopool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyiceberg.manifest import DataFile
    from ray.data._internal.execution.interfaces import TaskContext
    from ray.data.block import Block
    from ray.data.datasource import WriteResult

    from stenopool.catalog import Catalog, ObjectName

FILE_BYTES = 64 << 20
"""A worker writes a file when it holds so many bytes of rows, and what is left at its end."""

TASK_BYTES = 32 << 20
"""Blocks are gathered to at least so many bytes a task, or a table would be made of crumbs.

Ray joins a write with the step before it unless a size is set, and then tells the datasink the
columns from before that step, which are not those of the table.
"""


@dataclass(frozen=True, slots=True)
class Written:
    """What one task wrote, as it tells the driver; only this is committed."""

    files: list[DataFile]


class TableDatasink(Datasink[Written]):
    """Writes a dataset into a table of the catalog: all of its rows, or none.

    The container runtime calls it `SnowflakeTableDatasink`, and does not say what happens when a
    write fails, is tried again, or meets another one. Here: a write that fails leaves the table
    as it was, a task that runs twice counts once, an overriding write takes the old rows away
    and brings the new ones in one commit, and of two writers at once each succeeds as a whole or
    gets an error. A table that is made comes to be with its rows.

    The names of the columns of a table that is made fold to upper case, but for one in double
    quotes (the runtime's rule is not known; this is the dialect's). In a table that exists a
    column is found without regard to case. Columns must be the table's, all of them and no other.
    Timestamps are timestamps, to the microsecond; tensors and arrays are lists; integers are 64
    bits wide; a column that is all null in the first block becomes text.

    Args:
        table_name: one to three parts; parts that it has itself come before `database`, `schema`.
        database: where a shorter name belongs; the settings' by default.
        schema: likewise.
        auto_create_table: make the table where it is missing; its schema must exist.
        override: replace the rows that are there; otherwise they stay.

    Attributes:
        rows: written, after a write; None before.
        files: likewise.
        snapshot_id: of the table after the write.

    Raises:
        InvalidNameError: the name is none.
    """

    def __init__(
        self,
        table_name: str,
        database: str | None = None,
        schema: str | None = None,
        auto_create_table: bool = False,  # noqa: FBT001, FBT002 - the runtime's signature
        override: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        self._settings = Settings.from_env()
        self._name = _full_name(table_name, database, schema, self._settings)
        self._creates = auto_create_table
        self._overrides = override
        self._write: TableWrite | None = None
        self._catalog: Catalog | None = None
        self._for_tasks: tuple[Any, Any, pa.Schema] | None = None
        self.rows: int | None = None
        self.files: int | None = None
        self.snapshot_id: int | None = None
        with open_catalog(self._settings) as catalog:
            self._require(catalog)

    def __getstate__(self) -> dict[str, Any]:
        # The catalog stays on the driver; a worker needs the columns and the place alone.
        return {**self.__dict__, "_write": None, "_catalog": None}

    @property
    def min_bytes_per_write(self) -> int:
        """How many bytes of blocks Ray gathers for one task."""
        return TASK_BYTES

    def get_name(self) -> str:
        """The name that Ray Data shows."""
        return f"Table {self._name}"

    def on_write_start(self, schema: pa.Schema | None = None) -> None:
        """Begin the write; Ray calls it on the driver when the first rows are there.

        Raises:
            NotFoundError: the table is missing and not to be made.
            InvalidOptionError: the columns do not fit the table, or no table.
        """
        if schema is not None and schema.names:  # an empty first block may have none
            self._begin(schema)

    def write(self, blocks: Iterable[Block], ctx: TaskContext) -> Written:
        """Write one task's blocks as Parquet files; runs on a worker.

        Raises:
            InvalidOptionError: a block does not fit the table.
        """
        if self._for_tasks is None:
            return self._write_nothing(blocks)
        metadata, io, schema = self._for_tasks
        files: list[DataFile] = []
        for rows in gathered(blocks, schema, str(self._name)):
            files += write_files(metadata, io, rows)
        return Written(files)

    def on_write_complete(self, write_result: WriteResult[Written]) -> None:
        """Commit what the tasks wrote, once."""
        write = self._write or self._begin_without_rows()
        files = [file for written in write_result.write_returns for file in written.files]
        self.snapshot_id = write.commit(files, override=self._overrides)
        self.rows = sum(file.record_count for file in files)
        self.files = len(files)
        self._end()

    def on_write_failed(self, error: Exception) -> None:
        """Remove what the tasks wrote; the table is as it was."""
        if self._write is not None:
            self._write.abandon()
        self._end()

    def _write_nothing(self, blocks: Iterable[Block]) -> Written:
        """The task of a dataset whose first block has no columns: none has rows, or all is lost."""
        if any(as_table(block).num_rows for block in blocks):
            raise InvalidOptionError(
                f"table {self._name}: the dataset's first block has no columns, and a later one "
                "has; drop empty blocks first"
            )
        return Written([])

    def _begin(self, schema: pa.Schema) -> None:
        name = str(self._name)
        write = self._open(table_schema(schema, name) if self._creates else None)
        plain = pa.schema([pa.field(field.name, plain_type(field.type)) for field in schema])
        fit(plain.empty_table(), write.schema, name)
        self._for_tasks = (write.metadata, write.io, write.schema)

    def _begin_without_rows(self) -> TableWrite:
        """The write of a dataset without any row, of which Ray says nothing before its end."""
        try:
            return self._open(None)
        except NotFoundError as error:
            raise InvalidOptionError(
                f"the dataset has no rows, so nothing says which columns table {self._name} would "
                "have; create the table first"
            ) from error

    def _open(self, columns: pa.Schema | None) -> TableWrite:
        self._end()
        self._catalog = open_catalog(self._settings)
        self._require(self._catalog)
        self._write = TableWrite(self._catalog, self._name, columns)
        return self._write

    def _require(self, catalog: Catalog) -> None:
        """Check, before any task, that the table is there or may be made."""
        if not self._creates:
            catalog.table(self._name)
        elif self._name.schema not in catalog.schemas(self._name.database):
            raise NotFoundError(
                f"schema {self._name.database}.{self._name.schema} does not exist; create it, or "
                f"give the name of one that does"
            )

    def _end(self) -> None:
        self._write = None
        if self._catalog is not None:
            self._catalog.close()
            self._catalog = None


def gathered(blocks: Iterable[Block], schema: pa.Schema, target: str) -> Iterable[pa.Table]:
    """The rows of blocks as a table has them, in pieces of about `FILE_BYTES`."""
    waiting: list[pa.Table] = []
    size = 0
    for block in blocks:
        rows = as_table(block)
        if not rows.num_rows:
            continue
        rows = fit(rows, schema, target)
        waiting.append(rows)
        size += rows.nbytes
        if size >= FILE_BYTES:
            yield pa.concat_tables(waiting)
            waiting, size = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def _full_name(
    table_name: str, database: str | None, schema: str | None, settings: Settings
) -> ObjectName:
    """The table's full name; `database` and `schema` are names as one types them."""
    place = parse_name(
        f"{database or quoted(settings.database)}.{schema or quoted(settings.schema)}.X",
        database="",
        schema="",
    )
    return parse_name(table_name, database=place.database, schema=place.schema)
