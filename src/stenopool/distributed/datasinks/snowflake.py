"""Rows into a table of a Snowflake account, in one transaction, through the vendor's connector."""

from __future__ import annotations

import tempfile
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import snowflake.connector
from snowflake.connector.errors import Error

from stenopool.distributed.datasinks.columns import fit, folded, table_schema
from stenopool.distributed.datasinks.database import DatabaseDatasink
from stenopool.distributed.datasinks.parts import kept
from stenopool.distributed.datasinks.snowflake_types import accepted_type, made_type
from stenopool.errors import (
    AccessDeniedError,
    InvalidNameError,
    InvalidOptionError,
    NotFoundError,
    StenopoolError,
    StorageError,
)
from stenopool.settings import snowflake_login

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from stenopool.distributed.datasinks.parts import Part

COPY_FILES: Final = 1000
"""The most files that one COPY INTO names."""

FORGOTTEN_AFTER: Final = timedelta(days=7)
"""An account does not say whether a write still goes on; one is dead by then."""

_STAGE: Final = "STENOPOOL_WRITE_"
_MISSING: Final = 2003
_BAD_VALUES: Final = frozenset({100038, 100072, 100078, 100132})
_NO_ENTRY: Final = frozenset({390100, 390101, 390144, 390189, 3001, 250001, 251005, 251006})


@dataclass(frozen=True)
class AccountTable:
    """A table of an account, and how it is reached; its text shows no secret.

    Attributes:
        login: the connector's own parameters.
        account: as the vendor writes it, such as `myorg-myaccount`.
        database: as it is kept: upper case, unless it was quoted.
        schema: likewise.
        table: likewise.
    """

    login: Mapping[str, Any] = field(repr=False)
    account: str
    database: str
    schema: str
    table: str

    def __str__(self) -> str:
        return f"snowflake://{self.account}/{self.database}/{self.schema}/{self.table}"

    @property
    def place(self) -> str:
        """The table's schema, as SQL takes it."""
        return f"{kept(self.database)}.{kept(self.schema)}"

    def beside(self, name: str) -> str:
        """The full name of something in the table's schema, as SQL takes it."""
        return f"{self.place}.{kept(name)}"


def read_url(url: str) -> AccountTable:
    """Read `snowflake://[user[:password]@]account/database/schema/table[?connection=NAME]`.

    Who logs in, and how, comes from the first of: the URL (`?role=…&warehouse=…` too); variables
    such as `SNOWFLAKE_USER`, `SNOWFLAKE_PRIVATE_KEY_FILE`, `SNOWFLAKE_WAREHOUSE`; the connection of
    that name in the connector's own `connections.toml`. Files that they name must be on every
    node. Names fold to upper case unless they stand in double quotes.

    Raises:
        InvalidNameError: it is no such URL.
    """
    parts = urlsplit(url)
    names = [unquote(part) for part in parts.path.split("/")[1:]]
    account = parts.netloc.rpartition("@")[2]
    if len(names) != 3 or not all(names) or not account:
        raise InvalidNameError(
            "a table of a Snowflake account is named snowflake://account/database/schema/table; "
            f"this URL's path is {parts.path!r}"
        )
    options = dict(parse_qsl(parts.query))
    named = {"connection_name": name} if (name := options.pop("connection", None)) else {}
    user = {"user": unquote(parts.username)} if parts.username else {}
    password = {"password": unquote(parts.password)} if parts.password else {}
    login = named | snowflake_login() | options | user | password | {"account": account}
    return AccountTable(login, account, *map(folded, names))


class SnowflakeDatasink(DatabaseDatasink):
    """Writes a dataset into a table of a Snowflake account; all of its rows, or none.

    The tasks write Parquet files and PUT them into a stage of the write (`STENOPOOL_WRITE_…`, in
    the table's schema). The driver then, in one transaction, empties the table for `overwrite`
    and COPYs in the files of the attempts that were reported. The stage goes at the end; one that
    a dead write has left goes with the first write into the schema a week later. A table that is
    made comes to be before the transaction, since the account commits before each CREATE: a write
    that fails there leaves an empty table. So it is with columns that are added.

    Names fold to upper case unless they stand in double quotes. Columns must be the table's, all
    of them and no other. A table that is made gets `NUMBER(38,0)`, `NUMBER(p,s)`, `FLOAT`,
    `VARCHAR`, `BINARY`, `BOOLEAN`, `DATE`, `TIME(6)`, `TIMESTAMP_NTZ(6)`, `TIMESTAMP_LTZ(6)` for
    instants, `ARRAY` for lists and embeddings, and `OBJECT` for structs and maps.

    What is tested is that these statements are sent, in this order, and that they do what is
    promised in fakesnow. What only a real account can show: that login, PUT to its cloud and
    `USE_LOGICAL_TYPE` work; that DELETE and COPY INTO roll back together; that of two overwriting
    writes at once the second waits for the first; that nested columns load into ARRAY and OBJECT.

    Args:
        table: see `read_url`; the other arguments are those of `DatabaseDatasink`.
        connect: gives a connection for the login's parameters; the vendor's own, or a fake.
    """

    def __init__(
        self,
        table: AccountTable,
        *,
        overwrite: bool = False,
        create_missing: bool = True,
        key: str | None = None,
        add_columns: bool = False,
        connect: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(
            overwrite=overwrite, create_missing=create_missing, key=key, add_columns=add_columns
        )
        self._table = table
        self._connect = connect
        self._write = f"{_STAGE}{uuid4().hex[:16].upper()}"
        self._exists = False
        self._added: list[str] = []

    def __str__(self) -> str:
        return str(self._table)

    def _named(self, name: str) -> str:
        return name  # `columns` folds as the account does

    def _all_keys(self, connection: Any, key: str) -> Iterable[tuple[str]]:  # noqa: ANN401
        return _run(connection, f"SELECT {kept(key)} FROM {self._target}")  # noqa: S608 - quoted

    def _begin(self, schema: pa.Schema | None) -> pa.Schema | None:
        with self._reaching():
            connection = self._connection = self._opened()
            columns = self._find(connection)
            self._exists = columns is not None
            if schema is None:
                return None
            _sweep(connection, self._table)
            _run(connection, f"CREATE STAGE IF NOT EXISTS {self._stage}")
            made = table_schema(schema, str(self))
            return made if columns is None else self._accepted(schema, made, columns)

    def _accepted(
        self, schema: pa.Schema, made: pa.Schema, columns: Mapping[str, str]
    ) -> pa.Schema:
        own = {folded(one.name): one.type for one in schema}
        types = {one.name: one.type for one in made}
        if self._add_columns:
            lacking = {name: made_type(kind) for name, kind in types.items() if name not in columns}
            self._added = [f"{kept(name)} {kind}" for name, kind in lacking.items()]
            columns = {**columns, **lacking}
        fields = []
        for name, kind in columns.items():
            taken = pa.null() if name not in own else accepted_type(kind, own[name], types[name])
            if taken is None:
                raise InvalidOptionError(
                    f"table {self}: column {name!r} is of type {kind}, and the dataset's is of "
                    f"type {own[name]}, which does not fit"
                )
            fields.append(pa.field(name, taken))
        fit(schema.empty_table(), pa.schema(fields), str(self))
        return pa.schema(fields)

    def _write_part(self, name: str, tables: Iterable[pa.Table]) -> int:
        rows = 0
        with tempfile.TemporaryDirectory(prefix="stenopool-put-") as folder:
            path = Path(folder, _file(name))
            with pq.ParquetWriter(path, self._columns or pa.schema([])) as writer:
                for table in tables:
                    writer.write_table(table)
                    rows += table.num_rows
            if rows:
                with self._connected() as connection:
                    put = f"PUT {_text(path.as_uri())} @{self._stage} AUTO_COMPRESS = FALSE"
                    [answer] = _run(connection, put)
                    if "UPLOADED" not in answer:
                        raise StorageError(f"{self} did not take a file: {answer}")
        return rows

    def _show(self, parts: Sequence[Part]) -> int:
        with self._reaching():
            connection = self._connection
            if not self._exists:
                self._create(connection)
            for column in self._added:
                _run(connection, f"ALTER TABLE {self._target} ADD COLUMN IF NOT EXISTS {column}")
            if self._key is not None and parts:
                return self._merge(connection, parts)
            with _transaction(connection):
                if self._overwrite:
                    _run(connection, f"DELETE FROM {self._target}")  # noqa: S608 - quoted names
                return self._copy(connection, self._target, parts)

    def _create(self, connection: Any) -> None:  # noqa: ANN401 - the connector's, or a fake
        if self._columns is None:
            raise InvalidOptionError(
                f"the dataset has no rows, so nothing says which columns {self} would have; "
                "create the table first"
            )
        columns = ", ".join(f"{kept(one.name)} {made_type(one.type)}" for one in self._columns)
        _run(connection, f"CREATE TABLE IF NOT EXISTS {self._target} ({columns})")

    def _copy(self, connection: Any, target: str, parts: Sequence[Part]) -> int:  # noqa: ANN401
        """COPY the files of these parts, and no other, into a table; gives the rows.

        Raises:
            StorageError: the account loaded another number of rows than the tasks wrote.
        """
        loaded = 0
        for first in range(0, len(parts), COPY_FILES):
            files = ", ".join(_text(_file(part.name)) for part in parts[first : first + COPY_FILES])
            answers = _run(
                connection,
                f"COPY INTO {target} FROM @{self._stage} FILES = ({files}) "
                "FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE BINARY_AS_TEXT = FALSE) "
                "MATCH_BY_COLUMN_NAME = CASE_SENSITIVE ON_ERROR = ABORT_STATEMENT",
            )
            loaded += sum(int(answer[3]) for answer in answers)
        if loaded != (wanted := sum(part.rows for part in parts)):
            raise StorageError(
                f"{self} loaded {loaded} of {wanted} rows; nothing was written, write again"
            )
        return loaded

    def _merge(self, connection: Any, parts: Sequence[Part]) -> int:  # noqa: ANN401
        """Take over rows by their key, from a table that this session alone sees."""
        rows, key = f"{self._write}_ROWS", kept(self._key or "")
        columns = ", ".join(kept(name) for name in (self._columns or pa.schema([])).names)
        _run(connection, f"CREATE TEMPORARY TABLE {rows} LIKE {self._target}")
        self._copy(connection, rows, parts)
        with _transaction(connection):
            if self._overwrite:
                _run(
                    connection,
                    f"DELETE FROM {self._target} WHERE {key} IN (SELECT {key} FROM {rows})",  # noqa: S608 - quoted names
                )
            [answer] = _run(
                connection,
                f"INSERT INTO {self._target} ({columns}) SELECT {columns} FROM {rows} AS s "  # noqa: S608
                f"WHERE NOT EXISTS (SELECT 1 FROM {self._target} AS t WHERE t.{key} = s.{key})",
            )
        return int(answer[0])

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(Error), closing(connection):
            _run(connection, f"DROP STAGE IF EXISTS {self._stage}")

    def _find(self, connection: Any) -> dict[str, str] | None:  # noqa: ANN401
        place = self._table.place
        try:
            _run(connection, f"USE SCHEMA {place}")
        except Error as error:
            if _code(error) in (_MISSING, 2043):
                raise NotFoundError(f"{self}: schema {place} does not exist") from error
            raise
        try:
            rows = _run(connection, f"DESCRIBE TABLE {self._target}")
        except Error as error:
            if _code(error) != _MISSING:
                raise
            if not self._create_missing:
                raise NotFoundError(f"table {self} does not exist; create it first") from error
            return None
        return {row[0]: row[1] for row in rows}

    @property
    def _target(self) -> str:
        return self._table.beside(self._table.table)

    @property
    def _stage(self) -> str:
        return self._table.beside(self._write)

    def _opened(self) -> Any:  # noqa: ANN401 - the connector's, or a fake
        return (self._connect or snowflake.connector.connect)(**self._table.login)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        with self._reaching(), closing(self._opened()) as connection:
            yield connection

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Translate the connector's errors; its texts hold no password."""
        try:
            yield
        except Error as error:
            raise _translated(str(self), error) from error


def _run(connection: Any, statement: str) -> list[tuple[Any, ...]]:  # noqa: ANN401
    with closing(connection.cursor()) as cursor:
        return list(cursor.execute(statement).fetchall())


@contextmanager
def _transaction(connection: Any) -> Iterator[None]:  # noqa: ANN401
    _run(connection, "BEGIN")
    try:
        yield
    except BaseException:
        with suppress(Error):
            _run(connection, "ROLLBACK")
        raise
    _run(connection, "COMMIT")


def _sweep(connection: Any, table: AccountTable) -> None:  # noqa: ANN401
    """Drop the stages of writes that are long dead."""
    shown = f"SHOW STAGES LIKE '{_STAGE}%' IN SCHEMA {table.place}"
    for created_at, name, *_ in _run(connection, shown):
        if datetime.now(UTC) - created_at > FORGOTTEN_AFTER:
            _run(connection, f"DROP STAGE IF EXISTS {table.beside(name)}")


def _file(part: str) -> str:
    return f"part-{part}.parquet"


def _text(value: str) -> str:
    """A text as SQL takes it; PUT and COPY INTO take no parameters."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _code(error: Error) -> int:
    return int(getattr(error, "errno", None) or 0)


def _translated(target: str, error: Error) -> StenopoolError:
    reason = " ".join(str(getattr(error, "msg", None) or error).split())
    if _code(error) in _NO_ENTRY:
        return AccessDeniedError(f"{target}: access denied ({reason})")
    if _code(error) in _BAD_VALUES:
        return InvalidOptionError(f"table {target}: a value does not fit: {reason}")
    return StorageError(f"{target} failed: {reason}")
