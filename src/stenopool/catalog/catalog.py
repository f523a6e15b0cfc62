"""The catalog: one object that knows every database, schema, stage, table and run."""

from __future__ import annotations

import weakref
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from stenopool.catalog import leases, namespaces, runs, stages, tables
from stenopool.catalog.engine import open_engine, reading, writing
from stenopool.catalog.names import ObjectName, parse_name, quoted
from stenopool.catalog.places import absolute, place_of
from stenopool.errors import (
    AlreadyExistsError,
    CatalogError,
    InvalidOptionError,
    NotFoundError,
    StenopoolError,
)
from stenopool.storage import open_storage
from stenopool.storage.translate import translated

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pyarrow as pa
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table import Table, Transaction
    from sqlalchemy import Connection, Engine

    from stenopool.catalog.leases import Lease
    from stenopool.catalog.stages import Stage
    from stenopool.catalog.tables import TableInfo
    from stenopool.model import RunRecord
    from stenopool.settings import Settings


def open_catalog(settings: Settings) -> Catalog:
    """Open the catalog of an installation, and make it on first use.

    Several processes may use one catalog at the same time, the first moment included.

    Raises:
        InvalidOptionError: the catalog's URL cannot be read.
        CatalogError: its database cannot be reached or written, or a newer Stenopool made it.
    """
    catalog = Catalog(settings, open_engine(settings))
    try:
        catalog.make_defaults()
    except StenopoolError:
        catalog.close()
        raise
    return catalog


class Catalog:
    """What exists in one installation. Use it as a context manager, or call `close`.

    Attributes:
        settings: of the installation.
    """

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.settings = settings
        self._engine = engine
        self._close = weakref.finalize(self, engine.dispose)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, tuple[Settings]]:
        return open_catalog, (self.settings,)

    def close(self) -> None:
        """Close the connections to its database."""
        self._close()

    def make_defaults(self) -> None:
        """Make the database and schema of the settings where they are missing; opening does it."""
        database, schema = self.settings.database, self.settings.schema
        with reading(self._engine) as connection:
            if namespaces.has_schema(connection, database, schema):
                return
        with writing(self._engine) as connection:
            namespaces.add_database(connection, database, if_not_exists=True)
            namespaces.add_schema(connection, database, schema, if_not_exists=True)

    @cached_property
    def iceberg(self) -> SqlCatalog:
        """PyIceberg's own catalog, for what this class does not offer."""
        return tables.iceberg_catalog(self._engine)

    def name(self, text: str) -> ObjectName:
        """Read a name of one, two or three parts in this installation's database and schema.

        Raises:
            InvalidNameError: the text is no name.
        """
        return parse_name(text, database=self.settings.database, schema=self.settings.schema)

    def databases(self) -> list[str]:
        """All databases, sorted."""
        with reading(self._engine) as connection:
            return namespaces.database_names(connection)

    def create_database(self, database: str, *, if_not_exists: bool = False) -> None:
        """Create a database with the schema PUBLIC.

        Args:
            database: its name as it is kept: upper case, unless it was quoted.
            if_not_exists: do nothing where it exists.

        Raises:
            AlreadyExistsError: it exists, and `if_not_exists` is not set.
        """
        with writing(self._engine) as connection:
            namespaces.add_database(connection, database, if_not_exists=if_not_exists)

    def drop_database(self, database: str, *, if_exists: bool = False) -> None:
        """Drop a database whose schemas are empty.

        Raises:
            NotFoundError: it does not exist, and `if_exists` is not set.
            CatalogError: stages or tables are in it.
        """
        if if_exists and database not in self.databases():
            return
        held = self._tables_in(database, *self.schemas(database))
        with writing(self._engine) as connection:
            _require_empty(f"database {quoted(database)}", held, connection, database)
            for schema in namespaces.schema_names(connection, database):
                namespaces.remove_schema(connection, database, schema)
            namespaces.remove_database(connection, database)

    def schemas(self, database: str) -> list[str]:
        """The schemas of a database, sorted.

        Raises:
            NotFoundError: the database does not exist.
        """
        with reading(self._engine) as connection:
            return namespaces.schema_names(connection, database)

    def create_schema(self, database: str, schema: str, *, if_not_exists: bool = False) -> None:
        """Create a schema.

        Raises:
            AlreadyExistsError: it exists, and `if_not_exists` is not set.
            NotFoundError: the database does not exist.
        """
        with writing(self._engine) as connection:
            namespaces.add_schema(connection, database, schema, if_not_exists=if_not_exists)

    def drop_schema(self, database: str, schema: str, *, if_exists: bool = False) -> None:
        """Drop an empty schema.

        Raises:
            NotFoundError: it does not exist, and `if_exists` is not set.
            CatalogError: stages or tables are in it.
        """
        held = self._tables_in(database, schema)
        with writing(self._engine) as connection:
            if if_exists and not namespaces.has_schema(connection, database, schema):
                return
            namespaces.require_schema(connection, database, schema)
            what = f"schema {quoted(database)}.{quoted(schema)}"
            _require_empty(what, held, connection, database, schema)
            namespaces.remove_schema(connection, database, schema)

    def create_stage(
        self,
        name: ObjectName,
        *,
        url: str | None = None,
        if_not_exists: bool = False,
        or_replace: bool = False,
        comment: str | None = None,
        create_missing: bool = False,
    ) -> Stage:
        """Create a stage.

        Args:
            name: its full name.
            url: the folder or bucket that holds its files; None gives it a place of its own.
            if_not_exists: give the stage that is there, where one is.
            or_replace: drop the stage that is there first, where one is.
            comment: kept with it.
            create_missing: create its database and schema where they are missing.

        Raises:
            AlreadyExistsError: it exists, and neither option is set.
            NotFoundError: its database or schema does not exist.
            InvalidOptionError: both options are set.
            InvalidNameError: the URL is none.
        """
        if if_not_exists and or_replace:
            raise InvalidOptionError("if_not_exists and or_replace do not go together")
        place = place_of(self.settings.stages, name) if url is None else absolute(url)
        made = stages.new_stage(name, url and place, open_storage(place).root, comment)
        if or_replace:
            self.drop_stage(name, if_exists=True)
        with writing(self._engine) as connection:
            self._require_place(connection, name, create_missing=create_missing)
            if (found := stages.find_stage(connection, name)) is not None:
                if if_not_exists:
                    return found
                raise AlreadyExistsError(f"stage '@{name}' exists already")
            if url is None:
                _make_folder(made.root)
            stages.add_stage(connection, made)
        return made

    def stage(self, name: ObjectName) -> Stage:
        """A stage.

        Raises:
            NotFoundError: it does not exist.
        """
        with reading(self._engine) as connection:
            found = stages.find_stage(connection, name)
        if found is None:
            raise NotFoundError(
                f"stage '@{name}' does not exist; "
                f"create it with `stenopool stage create {self._short(name)}`"
            )
        return found

    def stages(self) -> list[Stage]:
        """Every stage, sorted by name."""
        with reading(self._engine) as connection:
            return stages.all_stages(connection)

    def drop_stage(self, name: ObjectName, *, if_exists: bool = False) -> None:
        """Drop a stage; its files go too where it keeps them, and stay where it has a URL.

        Raises:
            NotFoundError: it does not exist, and `if_exists` is not set.
        """
        try:
            found = self.stage(name)
        except NotFoundError:
            if if_exists:
                return
            raise
        # The files go first: a stage that is made anew must not find those of the old one.
        if found.url is None:
            open_storage(found.root).clear()
        with writing(self._engine) as connection:
            stages.remove_stage(connection, name)

    def create_table(
        self,
        name: ObjectName,
        schema: pa.Schema,
        *,
        if_not_exists: bool = False,
        create_missing: bool = False,
    ) -> Table:
        """Create an Iceberg table.

        Args:
            name: its full name.
            schema: its columns.
            if_not_exists: give the table that is there, where one is.
            create_missing: create its database and schema where they are missing.

        Raises:
            AlreadyExistsError: it exists, and `if_not_exists` is not set.
            NotFoundError: its database or schema does not exist.
            StorageError: the warehouse cannot be written.
        """
        there = writing if create_missing else reading
        with there(self._engine) as connection:
            self._require_place(connection, name, create_missing=create_missing)
        warehouse = self.settings.warehouse
        return tables.create(
            self.iceberg, name, schema, warehouse=warehouse, if_not_exists=if_not_exists
        )

    def new_location(self, name: ObjectName) -> str:
        """A place for the data of a table that is to be made; its schema must exist.

        Raises:
            NotFoundError: the database or schema does not exist.
        """
        with reading(self._engine) as connection:
            self._require_place(connection, name, create_missing=False)
        return tables.new_location(self.settings.warehouse, name)

    def begin_table(
        self, name: ObjectName, schema: pa.Schema, location: str
    ) -> tuple[Table, Transaction]:
        """Begin a table that comes to be when the change that is given with it is committed."""
        return tables.begin(self.iceberg, name, schema, location)

    def table(self, name: ObjectName) -> Table:
        """A table as it is now.

        Raises:
            NotFoundError: it does not exist.
            CatalogError: its metadata is gone.
        """
        return tables.load(self.iceberg, name)

    def tables(self) -> list[TableInfo]:
        """Every table, sorted by name."""
        return [tables.describe(self.iceberg, name) for name in self.table_names()]

    def table_names(self) -> list[ObjectName]:
        """The names of all tables, sorted; unlike `tables` it reads no table's metadata."""
        with reading(self._engine) as connection:
            places = namespaces.all_schemas(connection)
        return [name for place in places for name in tables.names_in(self.iceberg, *place)]

    def drop_table(self, name: ObjectName, *, if_exists: bool = False) -> None:
        """Drop a table with its data.

        Raises:
            NotFoundError: it does not exist, and `if_exists` is not set.
        """
        try:
            tables.drop(self.iceberg, name)
        except NotFoundError:
            if not if_exists:
                raise

    def save_run(self, run: RunRecord) -> None:
        """Keep a run; one of the same id is replaced."""
        with writing(self._engine) as connection:
            runs.write_run(connection, run)

    def holding(self, name: str, run_id: str) -> AbstractContextManager[Lease]:
        """Hold a lease for as long as the block lasts; see `stenopool.catalog.leases`.

        Raises:
            RunBusyError: another process holds it.
        """
        return leases.holding(self._engine, name, run_id)

    def run(self, run_id: str) -> RunRecord:
        """A run.

        Raises:
            NotFoundError: none has this id.
        """
        with reading(self._engine) as connection:
            found = runs.find_run(connection, run_id)
        if found is None:
            raise NotFoundError(
                f"run {run_id!r} does not exist; `stenopool runs` shows those that do"
            )
        return found

    def runs(self, target: ObjectName | None = None) -> list[RunRecord]:
        """The runs into a table, or all, the newest first."""
        with reading(self._engine) as connection:
            return runs.newest_runs(connection, target)

    def _tables_in(self, database: str, *schemas: str) -> list[str]:
        return [str(n) for s in schemas for n in tables.names_in(self.iceberg, database, s)]

    def _require_place(
        self, connection: Connection, name: ObjectName, *, create_missing: bool
    ) -> None:
        """Check that a name's schema exists, or create it."""
        if create_missing:
            namespaces.add_database(connection, name.database, if_not_exists=True)
            namespaces.add_schema(connection, name.database, name.schema, if_not_exists=True)
        else:
            namespaces.require_schema(connection, name.database, name.schema)

    def _short(self, name: ObjectName) -> str:
        """The name as one would type it here."""
        if (name.database, name.schema) == (self.settings.database, self.settings.schema):
            return quoted(name.name)
        return str(name)


def _require_empty(what: str, held: list[str], connection: Connection, *place: str) -> None:
    """Check that neither tables (`held`) nor stages lie in a database or schema."""
    held = held + [
        str(stage)
        for stage in stages.all_stages(connection)
        if (stage.name.database, stage.name.schema)[: len(place)] == place
    ]
    if held:
        raise CatalogError(f"{what} is not empty; drop {', '.join(held)} first")


def _make_folder(root: str) -> None:
    """Make the folder of a stage; a bucket needs none."""
    if "://" not in root:
        with translated(root):
            Path(root).mkdir(parents=True, exist_ok=True)
