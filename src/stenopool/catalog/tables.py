"""Iceberg tables, kept by PyIceberg in the same database as all else."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from sqlalchemy.exc import IntegrityError

from stenopool.catalog.engine import is_busy, patiently, reaching
from stenopool.catalog.names import ObjectName
from stenopool.catalog.places import place_of
from stenopool.errors import AlreadyExistsError, CatalogError, NotFoundError
from stenopool.storage import open_storage
from stenopool.storage.translate import translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import DataScan, Table, Transaction
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot
    from sqlalchemy import Engine

_PROPERTIES: Final = {
    # A run commits every few seconds, and each commit writes a metadata file.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    # Each commit lists the manifests of all before it: a hundred at a time are joined.
    "commit.manifest-merge.enabled": "true",
}


_ICEBERG: Final = {
    "uri": "sqlite://",
    "init_catalog_tables": "false",
    # The same file systems as `storage`: Arrow's own knows no AWS_ENDPOINT_URL.
    "py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO",
}


@dataclass(frozen=True, kw_only=True)
class TableInfo:
    """A table as a list shows it.

    Attributes:
        name: its full name.
        rows: in its main branch.
        size_bytes: of its data files.
        modified_at: when its main branch or its columns last changed (UTC).
    """

    name: ObjectName
    rows: int
    size_bytes: int
    modified_at: datetime


def iceberg_catalog(engine: Engine) -> SqlCatalog:
    """PyIceberg's catalog over our connection, which waits for other writers and is in WAL."""
    from pyiceberg.catalog.sql import SqlCatalog

    # It wants a URL of its own: an empty database in memory, left for ours at once. So no
    # password lies in its properties, which travel with every table to every worker.
    catalog = SqlCatalog("stenopool", **_ICEBERG)
    catalog.engine.dispose()
    catalog.engine = engine
    return catalog


def create(
    iceberg: SqlCatalog, name: ObjectName, schema: pa.Schema, *, warehouse: str, if_not_exists: bool
) -> Table:
    """Create a table in a schema that exists.

    Raises:
        AlreadyExistsError: the name is taken, and `if_not_exists` is not set.
    """
    from pyiceberg.exceptions import TableAlreadyExistsError

    _ensure_namespace(iceberg, name)
    location = new_location(warehouse, name)
    try:
        with reaching(iceberg.engine.url), translated(warehouse):
            if if_not_exists and iceberg.table_exists(_identifier(name)):
                return load(iceberg, name)
            return iceberg.create_table(
                _identifier(name), schema, location=location, properties=_PROPERTIES
            )
    except TableAlreadyExistsError as error:
        open_storage(location).clear()
        if if_not_exists:
            return load(iceberg, name)
        raise AlreadyExistsError(f"table {name} exists already") from error


def new_location(warehouse: str, name: ObjectName) -> str:
    """A place that no other table has: one that was dropped may still be on its way out."""
    return f"{place_of(warehouse, name)}-{uuid4().hex[:8]}"


def batches(scan: DataScan, *, files_at_once: int = 1) -> Iterator[pa.RecordBatch]:
    """What a scan finds, from so many files at a time.

    The scan's own readers begin with all files at once, and hold what is not taken yet: the whole
    table, where it is taken more slowly than it is read.
    """
    from pyiceberg.io.pyarrow import ArrowScan, schema_to_pyarrow

    schema = schema_to_pyarrow(scan.projection())
    reader = ArrowScan(scan.table_metadata, scan.io, scan.projection(), scan.row_filter)
    files = iter(scan.plan_files())
    while some := list(islice(files, files_at_once)):
        for batch in reader.to_record_batches(some):
            yield batch.cast(schema)


def storage_of(iceberg: SqlCatalog, location: str) -> FileIO:
    """PyIceberg's way to the files of a table at this place."""
    return iceberg._load_file_io(_PROPERTIES, location)  # noqa: SLF001 - there is no public way


def begin(
    iceberg: SqlCatalog, name: ObjectName, schema: pa.Schema, location: str
) -> tuple[Table, Transaction]:
    """A table that comes to be with the commit of its first rows, and the change that makes it.

    PyIceberg's own way to begin a table knows no names of three parts.
    """
    from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
    from pyiceberg.schema import assign_fresh_schema_ids
    from pyiceberg.table import CreateTableTransaction, StagedTable
    from pyiceberg.table.locations import load_location_provider
    from pyiceberg.table.metadata import new_table_metadata
    from pyiceberg.table.sorting import UNSORTED_SORT_ORDER

    _ensure_namespace(iceberg, name)
    metadata = new_table_metadata(
        location=location,
        schema=assign_fresh_schema_ids(iceberg._convert_schema_if_needed(schema)),  # noqa: SLF001
        partition_spec=UNPARTITIONED_PARTITION_SPEC,
        sort_order=UNSORTED_SORT_ORDER,
        properties=_PROPERTIES,
    )
    place = load_location_provider(location, _PROPERTIES).new_table_metadata_file_location()
    table = StagedTable(
        identifier=_identifier(name),
        metadata=metadata,
        metadata_location=place,
        io=storage_of(iceberg, location),
        catalog=iceberg,
    )
    return table, CreateTableTransaction(table)


def add_columns(iceberg: SqlCatalog, name: ObjectName, schema: pa.Schema) -> Table:
    """Give a table the columns of a schema that it lacks, inside of structs and lists too.

    Rows that are there have null in them.

    Raises:
        AlreadyExistsError: a column is there with a type that does not fit.
        CatalogError: others changed the table's columns again and again.
    """
    from pyiceberg.exceptions import CommitFailedException, ResolveError, ValidationError

    def attempt() -> Table:
        table = load(iceberg, name)
        with committing(iceberg, name), table.update_schema() as update:
            update.union_by_name(schema)  # nothing is committed where nothing is missing
        return table

    def passes(error: BaseException) -> bool:
        return isinstance(error, CommitFailedException) or is_busy(error)

    try:
        return patiently(attempt, passes=passes)
    except CommitFailedException as error:
        raise CatalogError(
            f"the columns of table {name} were changed by others: {error}"
        ) from error
    except (ResolveError, ValidationError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise AlreadyExistsError(
            f"table {name} has a column of another type: {reason}; name another table"
        ) from error


def arrow_schema(metadata: TableMetadata) -> pa.Schema:
    """A table's columns as Arrow types, without Iceberg's field numbers."""
    import pyarrow as pa
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    found = schema_to_pyarrow(metadata.schema(), include_field_ids=False)
    return pa.schema([pa.field(field.name, _small(field.type)) for field in found])


def _small(kind: pa.DataType) -> pa.DataType:
    """A type with the usual kinds of text, bytes and lists in place of PyIceberg's large ones."""
    import pyarrow as pa

    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(_small(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(_small(kind.key_type), _small(kind.item_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _small(field.type)) for field in kind])
    return kind


@contextmanager
def committing(iceberg: SqlCatalog, name: ObjectName) -> Iterator[None]:
    """Translate what goes wrong with the database or the storage during a commit."""
    with reaching(iceberg.engine.url), translated(f"table {name}"):
        yield


def try_once(table: Table) -> None:
    """Let the next commit of a table, as it is here, not be tried again by PyIceberg itself."""
    properties = {**table.metadata.properties, "commit.retry.num-retries": "0"}
    table.metadata = table.metadata.model_copy(update={"properties": properties})


def append_files(
    change: Transaction,
    files: Sequence[DataFile],
    properties: dict[str, str],
    *,
    branch: str = "main",
) -> None:
    """Add files that are written to a branch, in a snapshot with these properties."""
    update = change.update_snapshot(snapshot_properties=properties, branch=branch)
    with update.merge_append() as append:
        for file in files:
            append.append_data_file(file)


def expire(change: Transaction, snapshots: Sequence[Snapshot]) -> None:
    """Forget snapshots that no branch begins with; their files stay."""
    from pyiceberg.table.update.snapshot import ExpireSnapshots

    ExpireSnapshots(change).by_ids([one.snapshot_id for one in snapshots]).commit()


def load(iceberg: SqlCatalog, name: ObjectName) -> Table:
    """A table as it is now.

    Raises:
        NotFoundError: it does not exist; the nearest name is given.
        CatalogError: its metadata is gone.
    """
    from pyiceberg.exceptions import NoSuchTableError

    try:
        with _reading(iceberg, name):
            return iceberg.load_table(_identifier(name))
    except NoSuchTableError as error:
        raise NotFoundError(f"table {name} does not exist; {_hint(iceberg, name)}") from error


def drop(iceberg: SqlCatalog, name: ObjectName) -> None:
    """Forget a table, then remove its files.

    Raises:
        NotFoundError: it does not exist.
    """
    try:
        location = load(iceberg, name).location()
    except CatalogError:
        location = None  # a table whose metadata is gone can be dropped all the same
    with reaching(iceberg.engine.url):
        iceberg.drop_table(_identifier(name))
    if location is not None:
        open_storage(location).clear()


def names_in(iceberg: SqlCatalog, database: str, schema: str) -> list[ObjectName]:
    """The tables of a schema, sorted."""
    from pyiceberg.exceptions import NoSuchNamespaceError

    with reaching(iceberg.engine.url):
        try:
            found = iceberg.list_tables((database, schema))
        except NoSuchNamespaceError:
            return []  # the schema never had a table
    return sorted(ObjectName(database, schema, identifier[-1]) for identifier in found)


def describe(iceberg: SqlCatalog, name: ObjectName) -> TableInfo:
    """A table as a list shows it."""
    table = load(iceberg, name)
    snapshot = table.current_snapshot()
    summary = snapshot.summary if snapshot is not None else None
    figures = summary.additional_properties if summary is not None else {}
    return TableInfo(
        name=name,
        rows=int(figures.get("total-records", 0)),
        size_bytes=int(figures.get("total-files-size", 0)),
        modified_at=datetime.fromtimestamp(table.metadata.last_updated_ms / 1000, UTC),
    )


def _ensure_namespace(iceberg: SqlCatalog, name: ObjectName) -> None:
    from pyiceberg.exceptions import NamespaceAlreadyExistsError

    with reaching(iceberg.engine.url):
        try:
            iceberg.create_namespace((name.database, name.schema))
        except (NamespaceAlreadyExistsError, IntegrityError):
            return  # there already, or another process was faster


@contextmanager
def _reading(iceberg: SqlCatalog, name: ObjectName) -> Iterator[None]:
    """Translate what goes wrong in the database, and where a table's metadata lies."""
    with reaching(iceberg.engine.url), translated(f"metadata of table {name}"):
        try:
            yield
        except FileNotFoundError as error:
            raise CatalogError(
                f"table {name} is in the catalog, but its metadata file is gone: {error}"
            ) from error


def _hint(iceberg: SqlCatalog, name: ObjectName) -> str:
    """The nearest table, which may well have this name in another schema."""
    with reaching(iceberg.engine.url):
        places = [
            place
            for database in iceberg.list_namespaces()
            for place in iceberg.list_namespaces(database)
        ]
    known = [one for place in places for one in names_in(iceberg, *place)]
    same = [str(one) for one in known if one.name == name.name]
    close = same or get_close_matches(str(name), map(str, known), n=1)
    return f"did you mean {close[0]}?" if close else "`stenopool tables` shows those that do"


def _identifier(name: ObjectName) -> tuple[str, str, str]:
    return name.database, name.schema, name.name
