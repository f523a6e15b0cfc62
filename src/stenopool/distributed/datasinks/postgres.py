"""Rows into a table of PostgreSQL, in one transaction."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4

import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.conninfo import make_conninfo

from stenopool.distributed.datasinks.columns import fit, table_schema
from stenopool.distributed.datasinks.database import DatabaseDatasink
from stenopool.distributed.datasinks.json_values import json_text, rows_of
from stenopool.distributed.datasinks.parts import Part, kept
from stenopool.distributed.datasinks.postgres_types import (
    PostgresColumn,
    accepted_type,
    is_json,
    made_type,
)
from stenopool.errors import (
    AccessDeniedError,
    InvalidNameError,
    InvalidOptionError,
    NotFoundError,
    StenopoolError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MAX_NAME_BYTES: Final = 63
"""PostgreSQL cuts longer names without a word."""

SWEEP_WAIT: Final = "5s"
"""How long the removal of a staging table waits for a task of its write that still runs."""

_STAGING: Final = "stenopool_write_"
_ATTEMPT: Final = "stenopool_attempt"
_KEEPALIVE: Final = {"keepalives_idle": "60", "connect_timeout": "30"}

_COLUMNS: Final = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod),
           a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> ''
    FROM pg_attribute a
    WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
"""
_DEAD: Final = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname ~ '^stenopool_write_[0-9a-f]{16}$'
      AND c.relpersistence = 'u' AND pg_has_role(c.relowner, 'USAGE')
"""


@dataclass(frozen=True)
class PostgresTable:
    """A table of PostgreSQL, and how it is reached; its text shows no password.

    Attributes:
        conninfo: libpq's own text for the connection.
        shown: `postgresql://host:port/database/[schema/]table`.
        schema: None takes the first that the server finds on its search path.
        table: its name as PostgreSQL keeps it.
    """

    conninfo: str = field(repr=False)
    shown: str
    schema: str | None
    table: str

    def __str__(self) -> str:
        return self.shown


def read_url(url: str) -> PostgresTable:
    """Read `postgresql://[user[:password]@]host[:port]/database/[schema/]table[?option=value]`.

    Names fold to lower case, as PostgreSQL's own do, unless they stand in double quotes. What the
    URL leaves out comes from libpq's usual places: `PGPASSWORD`, `~/.pgpass`, `PGSSLMODE`, ….

    Raises:
        InvalidNameError: it is no such URL.
    """
    parts = urlsplit(url)
    names = [unquote(part) for part in parts.path.split("/")[1:]]
    if len(names) not in (2, 3) or not all(names):
        raise InvalidNameError(
            "a table of PostgreSQL is named postgresql://host/database/table or "
            f"postgresql://host/database/schema/table; this URL's path is {parts.path!r}"
        )
    *schemas, table = [lowered(name) for name in names[1:]]
    options = _KEEPALIVE | dict(parse_qsl(parts.query)) | {"dbname": names[0]}
    try:
        given = [("host", parts.hostname), ("port", parts.port)]
        given += [("user", parts.username), ("password", parts.password)]
        options |= {key: unquote(str(value)) for key, value in given if value}
        conninfo = make_conninfo("", **options)
    except (ValueError, psycopg.Error) as error:
        raise InvalidNameError(f"the URL of the PostgreSQL table cannot be read: {error}") from None
    host = parts.netloc.rpartition("@")[2]
    return PostgresTable(
        conninfo=conninfo,
        shown="/".join([f"postgresql://{host}", names[0], *schemas, table]),
        schema=schemas[0] if schemas else None,
        table=table,
    )


def lowered(name: str) -> str:
    """A name as PostgreSQL keeps it: lower case, unless it stands in double quotes.

    Raises:
        InvalidNameError: it is longer than PostgreSQL keeps.
    """
    if len(name) > 2 and name[0] == name[-1] == '"':
        name = name[1:-1].replace('""', '"')
    else:
        name = name.lower()
    if len(name.encode()) > MAX_NAME_BYTES:
        raise InvalidNameError(
            f"the name {name[:20]!r}… is longer than the {MAX_NAME_BYTES} bytes of PostgreSQL"
        )
    return name


class PostgresDatasink(DatabaseDatasink):
    """Writes a dataset into a table of PostgreSQL; all of its rows, or none.

    The tasks copy rows into a staging table of the write (`stenopool_write_…`, unlogged, in the
    target's schema). The driver then makes the target if it is missing, empties it for
    `overwrite`, and takes over the rows of the attempts that were reported, in one transaction:
    readers see the old rows or the new, also where the driver is killed. Writers of one table
    wait for each other. The staging table goes at the end; that of a dead write goes with the
    next write into the same schema.

    Names fold to lower case, as PostgreSQL's own do, unless they stand in double quotes. A column
    that the dataset lacks is an error, unless it has a default in PostgreSQL. A table that is
    made gets `bigint`, `numeric(20,0)` for unsigned integers of 64 bits, `real`, `double
    precision`, `text`, `bytea`, `boolean`, `date`, `time`, `timestamp` and `timestamptz` (to the
    microsecond), `numeric(p,s)`, arrays for lists (embeddings are `real[]` or `double
    precision[]`), and `jsonb` for structs, maps and what is nested deeper; see `json_text`.

    See `DatabaseDatasink` for the arguments, and `read_url` for the table.
    """

    def __init__(
        self,
        table: PostgresTable,
        *,
        overwrite: bool = False,
        create_missing: bool = True,
        key: str | None = None,
        add_columns: bool = False,
    ) -> None:
        super().__init__(
            overwrite=overwrite, create_missing=create_missing, key=key, add_columns=add_columns
        )
        self._table = table
        self._staging = f"{_STAGING}{uuid4().hex[:16]}"
        self._schema: str | None = table.schema
        self._made: list[PostgresColumn] = []
        self._added: list[PostgresColumn] = []
        self._is_owner = False

    def __str__(self) -> str:
        return str(self._table)

    def _named(self, name: str) -> str:
        return kept(lowered(name))

    def _all_keys(self, connection: psycopg.Connection, key: str) -> Iterable[tuple[str]]:
        chosen = sql.SQL("SELECT {} FROM {}").format(sql.Identifier(key), self._target)
        return connection.execute(chosen)

    def _begin(self, schema: pa.Schema | None) -> pa.Schema | None:
        with self._reaching():
            connection = self._connection = psycopg.connect(self._table.conninfo, autocommit=True)
            columns = self._find(connection)
            if schema is None:
                return None
            made = table_schema(schema, str(self))
            self._made = [PostgresColumn(f.name, made_type(f.type)) for f in made]
            if columns is not None:
                made = self._accepted(schema, made, columns)
            # Held for as long as this process lives: it tells other writes that this one does.
            connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [self._staging])
            _sweep(connection, self._known_schema)
            connection.execute(
                sql.SQL("CREATE UNLOGGED TABLE {} ({}, {} text)").format(
                    self._staged, _definitions(self._made), sql.Identifier(_ATTEMPT)
                )
            )
            return made

    def _accepted(
        self, schema: pa.Schema, made: pa.Schema, columns: Sequence[PostgresColumn]
    ) -> pa.Schema:
        wanted = [one for one in columns if one.name in made.names or not one.has_default]
        if self._add_columns:
            self._added = self._lacking(made, columns)
            wanted += self._added
        by_name = {one.name: one for one in wanted}
        fields = []
        for field_, own in zip(made, schema, strict=True):
            column = by_name.get(field_.name)
            if column is None:
                continue  # `fit` names it below
            taken = accepted_type(column.type, own.type, field_.type)
            if taken is None:
                raise InvalidOptionError(
                    f"table {self}: column {column.name!r} is of type {column.type}, and the "
                    f"dataset's is of type {own.type}, which does not fit"
                )
            fields.append(field_.with_type(taken))
        known = {one.name for one in fields}
        # A column that the dataset lacks has any type: `fit` says that it is missing.
        fields += [made.field(0).with_name(name) for name in by_name if name not in known]
        taken_schema = pa.schema(fields)
        fit(schema.empty_table(), taken_schema, str(self))
        self._made = [by_name[one.name] for one in fields]
        return taken_schema

    def _lacking(self, made: pa.Schema, columns: Sequence[PostgresColumn]) -> list[PostgresColumn]:
        known = {one.name for one in columns}
        lacking = [PostgresColumn(f.name, made_type(f.type)) for f in made if f.name not in known]
        if lacking and not self._is_owner:
            words = ", ".join(f"ADD COLUMN {kept(one.name)} {one.type}" for one in lacking)
            raise AccessDeniedError(
                f"table {self} lacks columns that only its owner may add; let them run: "
                f"ALTER TABLE {kept(self._known_schema)}.{kept(self._table.table)} {words}"
            )
        return lacking

    def _write_part(self, name: str, tables: Iterable[pa.Table]) -> int:
        rows = 0
        columns = [sql.Identifier(one.name) for one in self._made]
        copy = sql.SQL("COPY {} ({}) FROM STDIN").format(
            self._staged, sql.SQL(", ").join([sql.Identifier(_ATTEMPT), *columns])
        )
        with self._connected() as connection, connection.cursor() as cursor:
            with cursor.copy(copy) as target:
                for table in tables:
                    for values in self._values(table):
                        target.write_row((name, *values))
                    rows += table.num_rows
            connection.commit()
        return rows

    def _values(self, table: pa.Table) -> Iterator[list[Any]]:
        """Rows in the order of the columns; JSON as text, as its columns read it."""
        kinds = {column.name: column.type for column in self._made}
        as_json = [
            is_json(kinds[one.name]) and made_type(one.type) != "text" for one in table.schema
        ]
        for row in rows_of(table):
            yield [
                json_text(value) if json and value is not None else value
                for value, json in zip(row.values(), as_json, strict=True)
            ]

    def _show(self, parts: Sequence[Part]) -> int:
        connection = self._connection
        assert connection is not None  # noqa: S101 - `_begin` has made it
        with self._reaching(), connection.transaction():
            # Of two that make the table at once, the second finds it.
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", [str(self)])
            if self._find(connection) is None:
                if not self._made:
                    raise InvalidOptionError(
                        f"the dataset has no rows, so nothing says which columns {self} would "
                        "have; create the table first"
                    )
                connection.execute(
                    sql.SQL("CREATE TABLE {} ({})").format(self._target, _definitions(self._made))
                )
            for column in self._added:
                connection.execute(
                    sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {}").format(
                        self._target, _definitions([column])
                    )
                )
            # Readers go on; a statement after the lock sees what other writers have committed.
            connection.execute(
                sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(self._target)
            )
            return self._take_over(connection, [part.name for part in parts])

    def _take_over(self, connection: psycopg.Connection, attempts: list[str]) -> int:
        """Put the rows of these attempts into the target; gives how many."""
        names: dict[str, sql.Composable] = {
            "target": self._target,
            "staged": self._staged,
            "columns": sql.SQL(", ").join(sql.Identifier(one.name) for one in self._made),
            "key": sql.Identifier(self._key or ""),
            # A parameter would make a placeholder of each % in a column's name.
            "reported": sql.SQL("s.{} = ANY({})").format(
                sql.Identifier(_ATTEMPT), sql.Literal(attempts)
            ),
        }
        if self._overwrite and self._key is None:
            # Not TRUNCATE: a reader whose transaction began before would see an empty table.
            connection.execute(sql.SQL("DELETE FROM {target}").format(**names))
        if not attempts:
            return 0
        if self._overwrite and self._key is not None:
            same = "DELETE FROM {target} t USING {staged} s WHERE t.{key} = s.{key} AND {reported}"
            connection.execute(sql.SQL(same).format(**names))
        insert = (
            "INSERT INTO {target} ({columns}) SELECT {columns} FROM {staged} s WHERE {reported}"
        )
        if self._key is not None:
            insert += " AND NOT EXISTS (SELECT 1 FROM {target} t WHERE t.{key} = s.{key})"
        return connection.execute(sql.SQL(insert).format(**names)).rowcount

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        # Also where the connection is broken: then the next write removes what is left.
        with suppress(psycopg.Error), connection:
            _drop(connection, self._known_schema, self._staging)

    def _find(self, connection: psycopg.Connection) -> list[PostgresColumn] | None:
        if self._schema is None:
            self._schema = self._schema_on_path(connection)
        name = self._known_schema
        schema = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [name])
        if schema.fetchone() is None:
            raise NotFoundError(f"{self}: schema {name!r} does not exist; create it first")
        found = connection.execute(
            "SELECT c.oid, c.relkind, pg_has_role(c.relowner, 'USAGE') FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relname = %s",
            [name, self._table.table],
        ).fetchone()
        if found is None:
            if not self._create_missing:
                raise NotFoundError(f"table {self} does not exist; create it first")
            return None
        if found[1] not in ("r", "p"):
            raise InvalidNameError(f"{self} is no table; name a table, or a new one")
        self._is_owner = bool(found[2])
        rows = connection.execute(_COLUMNS, [found[0]])
        return [PostgresColumn(name, kind, bool(default)) for name, kind, default in rows]

    def _schema_on_path(self, connection: psycopg.Connection) -> str:
        [found] = connection.execute(
            "SELECT coalesce((SELECT n.nspname FROM pg_class c JOIN pg_namespace n "
            "ON n.oid = c.relnamespace WHERE c.oid = to_regclass(quote_ident(%s))), "
            "current_schema())",
            [self._table.table],
        ).fetchone() or [None]
        if found is None:
            raise NotFoundError(f"{self}: the user's search path has no schema; name one in it")
        return str(found)

    @property
    def _known_schema(self) -> str:
        return self._schema or ""

    @property
    def _target(self) -> sql.Identifier:
        return sql.Identifier(self._known_schema, self._table.table)

    @property
    def _staged(self) -> sql.Identifier:
        return sql.Identifier(self._known_schema, self._staging)

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        with self._reaching(), psycopg.connect(self._table.conninfo) as connection:
            yield connection

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Translate PostgreSQL's errors; none of them shows a password."""
        try:
            yield
        except psycopg.Error as error:
            raise _translated(str(self), error) from error


def _definitions(columns: Sequence[PostgresColumn]) -> sql.Composable:
    """Columns and types as `CREATE TABLE` takes them; the types come from us or the server."""
    return sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(one.name), sql.SQL(one.type)) for one in columns
    )


def _sweep(connection: psycopg.Connection, schema: str) -> None:
    """Drop the staging tables of writes whose driver is gone, and with it its lock."""
    for (name,) in connection.execute(_DEAD, [schema]).fetchall():
        taken = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name])
        if taken.fetchone() == (True,):
            with suppress(psycopg.errors.LockNotAvailable):
                _drop(connection, schema, name)
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])


def _drop(connection: psycopg.Connection, schema: str, staging: str) -> None:
    with connection.transaction():
        connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(SWEEP_WAIT))
        connection.execute(
            sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(schema, staging))
        )


def _translated(target: str, error: psycopg.Error) -> StenopoolError:
    diagnosis = error.diag.message_primary or str(error)
    reason = " ".join(diagnosis.split())
    if error.diag.column_name:
        reason += f" (column {error.diag.column_name!r})"
    elif column := re.search(r"column (\S+?)(?::|$)", error.diag.context or ""):
        reason += f" (column {column[1]!r})"
    state = error.sqlstate or ""
    if state == "42501" or state.startswith("28") or "password" in reason:
        return AccessDeniedError(f"{target}: access denied ({reason})")
    if state[:2] in ("22", "23"):
        return InvalidOptionError(f"table {target}: a value does not fit: {reason}")
    return StorageError(f"{target} failed: {reason}")
