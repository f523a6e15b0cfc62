"""The connection to the catalog's database, and its tables, made by whoever comes first."""

from __future__ import annotations

import fcntl
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import tenacity
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    event,
    func,
    insert,
    inspect,
    make_url,
    select,
)
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool, StaticPool

from stenopool.catalog import schema
from stenopool.errors import (
    CatalogBusyError,
    CatalogError,
    InvalidOptionError,
    MissingExtraError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stenopool.settings import Settings

BUSY_S: Final = 30
"""How long a writer waits for another one (s)."""

PATIENCE_S: Final = 120.0
"""How long a run waits for a catalog that is locked or away (s)."""

T = TypeVar("T")

_DRIVERS: Final = frozenset({"postgresql", "postgresql+psycopg", "sqlite", "sqlite+pysqlite"})

_WRITER_LOCK: Final = 0x5354454E4F  # "STENO": the number of PostgreSQL's advisory lock


def open_engine(settings: Settings) -> Engine:
    """Connect to the catalog's database and make its tables where they are missing.

    Raises:
        InvalidOptionError: the catalog's URL cannot be read, or names another kind of database.
        MissingExtraError: PostgreSQL's driver is not installed.
        CatalogError: the database cannot be reached, or a newer Stenopool made it.
    """
    url = _url(settings)
    with reaching(url):
        engine = _sqlite(url) if url.get_backend_name() == "sqlite" else _postgres(url)
        try:
            _prepare(engine)
        except (SQLAlchemyError, OSError, CatalogError):
            engine.dispose()
            raise
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that reads.

    Raises:
        CatalogError: the database failed.
    """
    with reaching(engine.url), engine.begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes; there is one at a time, as SQLite has it, also in PostgreSQL.

    Raises:
        CatalogError: the database failed.
    """
    with reaching(engine.url), engine.connect() as connection:
        connection = connection.execution_options(stenopool_writes=True)
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_WRITER_LOCK)))
            yield connection


def is_busy(error: BaseException) -> bool:
    """Whether an error says that the catalog is locked or away."""
    return isinstance(error, CatalogBusyError)


def patiently(
    call: Callable[[], T],
    *,
    passes: Callable[[BaseException], bool] = is_busy,
    deadline_s: float = PATIENCE_S,
) -> T:
    """What `call` returns, called again while the catalog is locked or away.

    Args:
        call: may run several times.
        passes: whether an error may be gone a moment later.
        deadline_s: no new attempt starts later than this (s).

    Raises:
        CatalogBusyError: it stayed so; or another error of `passes`, or the first other one.
    """
    tries = tenacity.Retrying(
        retry=tenacity.retry_if_exception(passes),
        wait=tenacity.wait_random_exponential(0.1, max=5),
        stop=tenacity.stop_after_delay(deadline_s),
        reraise=True,
    )
    return tries(call)


@contextmanager
def reaching(url: URL) -> Iterator[None]:
    """Translate what goes wrong in the database.

    Raises:
        CatalogBusyError: it is locked or away, which may pass.
        CatalogError: anything else; with the database's own words, and no password.
    """
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        place = url.render_as_string(hide_password=True)
        cause = getattr(error, "orig", None) or error
        reason = " ".join(str(cause).split())
        kind = CatalogBusyError if _passes(error) else CatalogError
        raise kind(f"the catalog at {place} cannot be used: {reason}") from error


_LASTING: Final = ("readonly", "read-only", "disk is full", "disk I/O error")
"""SQLite says these with the same class of error as `database is locked`."""


def _passes(error: Exception) -> bool:
    """Whether a database that said this may answer a moment later."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    text = str(error)
    return isinstance(error, OperationalError | InterfaceError) and not any(
        words in text for words in _LASTING
    )


def _url(settings: Settings) -> URL:
    try:
        url = make_url(settings.catalog_url)
    except ArgumentError as error:
        raise InvalidOptionError(
            "STENOPOOL_CATALOG is no database URL; write postgresql+psycopg://user@host/name"
        ) from error
    if url.drivername not in _DRIVERS:
        raise InvalidOptionError(
            f"STENOPOOL_CATALOG: '{url.drivername}' is not supported; use sqlite or postgresql"
        )
    return url


def _postgres(url: URL) -> Engine:
    try:
        return create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    except ImportError as error:
        raise MissingExtraError(
            "PostgreSQL needs a part that is not installed; run: pip install 'stenopool[postgres]'"
        ) from error


def _sqlite(url: URL) -> Engine:
    place = url.database
    options: dict[str, Any] = {"timeout": BUSY_S}
    if place in (None, "", ":memory:"):
        options["check_same_thread"] = False
        engine = create_engine(url, poolclass=StaticPool, connect_args=options)
    else:
        Path(str(place)).parent.mkdir(parents=True, exist_ok=True)
        # Without a pool no connection outlives its use, also in a process that never closes.
        engine = create_engine(url, poolclass=NullPool, connect_args=options)
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: Any, _: Any) -> None:  # noqa: ANN401  SQLAlchemy's own types are wider
    # Python's sqlite3 would begin late and by itself; `_begin` does it instead.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON").close()


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes then would fail where another wrote in between.
    writes = connection.get_execution_options().get("stenopool_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare(engine: Engine) -> None:
    """Make the tables, or check that this Stenopool can read them."""
    with reading(engine) as connection:
        found = _version(connection)
    if found is None or found < schema.VERSION:
        found = _create(engine)
    if found > schema.VERSION:
        raise CatalogError(
            f"the catalog is of version {found}, this Stenopool knows {schema.VERSION}; "
            "run: pip install --upgrade stenopool"
        )


def _version(connection: Connection) -> int | None:
    if not inspect(connection).has_table(schema.version.name):
        return None
    found: int = connection.execute(select(func.max(schema.version.c.version))).scalar_one()
    return found


def _create(engine: Engine) -> int:
    from pyiceberg.catalog.sql import SqlCatalogBaseTable

    with _first_in_line(engine), writing(engine) as connection:
        found = _version(connection)
        if found is None or found < schema.VERSION:
            schema.metadata.create_all(connection)  # those that are missing
            SqlCatalogBaseTable.metadata.create_all(connection)
            connection.execute(insert(schema.version).values(version=schema.VERSION))
            found = schema.VERSION
    return found


@contextmanager
def _first_in_line(engine: Engine) -> Iterator[None]:
    """Switch a new SQLite file to WAL with no other process about: it would not wait for it."""
    place = engine.url.database
    if engine.dialect.name != "sqlite" or place in (None, "", ":memory:"):
        yield
        return
    with Path(f"{place}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with closing(engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA journal_mode = WAL").close()
        yield
