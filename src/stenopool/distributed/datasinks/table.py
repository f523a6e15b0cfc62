"""The datasink of a table in the catalog: workers write Parquet, the driver commits once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa
import ray
from ray.data import Datasink

from stenopool.catalog import open_catalog, parse_name
from stenopool.catalog.ledger import write_files
from stenopool.catalog.names import quoted
from stenopool.catalog.writing import TableWrite
from stenopool.distributed.datasinks.columns import (
    as_table,
    common_schema,
    fit,
    plain_schema,
    table_schema,
)
from stenopool.distributed.datasinks.parts import TASK_BYTES
from stenopool.errors import InvalidOptionError, NotFoundError
from stenopool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table.metadata import TableMetadata
    from ray.data._internal.execution.interfaces import TaskContext
    from ray.data.block import Block
    from ray.data.datasource import WriteResult

    from stenopool.catalog import Catalog, ObjectName

FILE_BYTES = 64 << 20
"""A worker writes a file when it holds so many bytes of rows, and what is left at its end."""


@dataclass(frozen=True, slots=True)
class Written:
    """What one task wrote, as it tells the driver; only this is committed.

    Attributes:
        files: of a table that exists.
        pieces: Arrow files for a table that comes to be when the columns of all rows are known,
            each with its columns.
    """

    files: list[DataFile] = field(default_factory=list)
    pieces: list[tuple[str, pa.Schema]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """What a task needs to write.

    Attributes:
        name: the table.
        io: its storage.
        data: the folder of this write's files.
        metadata: of the table; None where it comes to be with this write.
        schema: likewise.
    """

    name: str
    io: FileIO
    data: str
    metadata: TableMetadata | None
    schema: pa.Schema | None


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
    bits wide; a column that is null in every row becomes text. The columns of a table that is
    made are those of all rows together, so its rows are written twice.

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
        self._place: Place | None = None
        self._first: pa.Schema | None = None
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
        if self._place is None:
            return self._write_nothing(blocks)
        return write_blocks(blocks, self._place)

    def on_write_complete(self, write_result: WriteResult[Written]) -> None:
        """Commit what the tasks wrote, once."""
        write = self._write or self._open()
        returns = write_result.write_returns
        files = [file for written in returns for file in written.files]
        if not write.exists:
            pieces = [piece for written in returns for piece in written.pieces]
            files = self._make(write, pieces)
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
        self._first = plain_schema(schema)
        write = self._open()
        if write.exists:
            fit(self._first.empty_table(), write.schema, name)
        else:
            table_schema(self._first, name)
        self._place = Place(
            name=name,
            io=write.io,
            data=write.data,
            metadata=write.metadata if write.exists else None,
            schema=write.schema if write.exists else None,
        )

    def _make(self, write: TableWrite, pieces: list[tuple[str, pa.Schema]]) -> list[DataFile]:
        """Settle the columns of a table that comes to be, and turn its pieces into its files."""
        name = str(self._name)
        first = [] if self._first is None else [self._first]
        schemas = [schema for _, schema in pieces] or first
        if not schemas:
            raise InvalidOptionError(
                f"the dataset has no rows, so nothing says which columns table {name} would "
                "have; create the table first"
            )
        write.make(common_schema(schemas, name))
        place = Place(
            name=name, io=write.io, data=write.data, metadata=write.metadata, schema=write.schema
        )
        # In this process where no Ray is connected: a sink may be driven without it.
        convert = _convert_on_ray if ray.is_initialized() else _convert_here
        return convert([path for path, _ in pieces], place)

    def _open(self) -> TableWrite:
        self._end()
        self._catalog = open_catalog(self._settings)
        self._require(self._catalog)
        self._write = TableWrite(self._catalog, self._name, creates=self._creates)
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


def write_blocks(blocks: Iterable[Block], place: Place) -> Written:
    """Write blocks as files of a table, or as pieces for one whose columns are not settled."""
    written = Written()
    for rows in gathered(blocks, place.schema, place.name):
        if place.metadata is not None:
            written.files.extend(write_files(place.metadata, place.io, rows))
        else:
            path = f"{place.data}/{uuid4().hex}.arrow"
            with (
                place.io.new_output(path).create() as file,
                pa.ipc.new_file(file, rows.schema) as piece,
            ):
                piece.write_table(rows)
            written.pieces.append((path, rows.schema))
    return written


def gathered(blocks: Iterable[Block], schema: pa.Schema | None, target: str) -> Iterator[pa.Table]:
    """The rows of blocks in pieces of about `FILE_BYTES`.

    Args:
        blocks: of a dataset.
        schema: of the table that they must fit; None where it has none yet.
        target: the table, for messages.
    """
    waiting: list[pa.Table] = []
    size = 0
    for block in blocks:
        rows = as_table(block)
        if not rows.num_rows:
            continue
        waiting.append(rows if schema is None else fit(rows, schema, target))
        size += rows.nbytes
        if size >= FILE_BYTES:
            yield joined(waiting, target)
            waiting, size = [], 0
    if waiting:
        yield joined(waiting, target)


def joined(tables: list[pa.Table], target: str) -> pa.Table:
    """Tables as one; their columns may differ as those of `common_schema` may."""
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        common_schema([table.schema for table in tables], target)  # says it in our words
        raise


def convert_piece(path: str, place: Place) -> list[DataFile]:
    """Turn a piece into files of the table, whose columns are settled now."""
    assert place.metadata is not None  # noqa: S101 - the table is made by now
    assert place.schema is not None  # noqa: S101
    with place.io.new_input(path).open() as file, pa.ipc.open_file(file) as piece:
        rows = piece.read_all()
    return write_files(place.metadata, place.io, fit(rows, place.schema, place.name))


def _convert_here(paths: list[str], place: Place) -> list[DataFile]:
    return [file for path in paths for file in convert_piece(path, place)]


def _convert_on_ray(paths: list[str], place: Place) -> list[DataFile]:
    convert = ray.remote(convert_piece)
    shared = ray.put(place)
    return [file for files in ray.get([convert.remote(p, shared) for p in paths]) for file in files]


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
