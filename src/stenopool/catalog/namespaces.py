"""Databases and their schemas."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from stenopool.catalog.names import check_part, quoted
from stenopool.catalog.schema import databases, schemas
from stenopool.errors import AlreadyExistsError, NotFoundError

if TYPE_CHECKING:
    from sqlalchemy import Connection

DEFAULT_SCHEMA = "PUBLIC"
"""The schema that every new database has."""


def database_names(connection: Connection) -> list[str]:
    """All databases, sorted."""
    return sorted(connection.scalars(select(databases.c.name)))


def schema_names(connection: Connection, database: str) -> list[str]:
    """The schemas of a database, sorted.

    Raises:
        NotFoundError: the database does not exist.
    """
    require_database(connection, database)
    return sorted(connection.scalars(select(schemas.c.name).where(schemas.c.database == database)))


def all_schemas(connection: Connection) -> list[tuple[str, str]]:
    """Every pair of database and schema, sorted."""
    rows = connection.execute(select(schemas.c.database, schemas.c.name))
    return sorted((row.database, row.name) for row in rows)


def has_schema(connection: Connection, database: str, schema: str) -> bool:
    """Whether a schema exists."""
    found = select(schemas.c.name).where(schemas.c.database == database, schemas.c.name == schema)
    return connection.execute(found).first() is not None


def require_database(connection: Connection, database: str) -> None:
    """Check that a database exists.

    Raises:
        NotFoundError: it does not.
    """
    known = database_names(connection)
    if database not in known:
        raise NotFoundError(
            f"database {quoted(database)} does not exist; there are {', '.join(map(quoted, known))}"
        )


def require_schema(connection: Connection, database: str, schema: str) -> None:
    """Check that a schema exists.

    Raises:
        NotFoundError: it does not, or its database does not.
    """
    known = schema_names(connection, database)
    if schema not in known:
        there = ", ".join(map(quoted, known)) or "no schema"
        raise NotFoundError(
            f"schema {quoted(database)}.{quoted(schema)} does not exist; "
            f"{quoted(database)} has {there}"
        )


def add_database(connection: Connection, database: str, *, if_not_exists: bool) -> None:
    """Add a database with the schema PUBLIC.

    Raises:
        AlreadyExistsError: it exists, and `if_not_exists` is not set.
    """
    check_part(database)
    if database in database_names(connection):
        if not if_not_exists:
            raise AlreadyExistsError(f"database {quoted(database)} exists already")
        return
    connection.execute(insert(databases).values(name=database, created_at=datetime.now(UTC)))
    add_schema(connection, database, DEFAULT_SCHEMA, if_not_exists=True)


def add_schema(connection: Connection, database: str, schema: str, *, if_not_exists: bool) -> None:
    """Add a schema to a database.

    Raises:
        AlreadyExistsError: it exists, and `if_not_exists` is not set.
        NotFoundError: the database does not exist.
    """
    check_part(schema)
    if schema in schema_names(connection, database):
        if not if_not_exists:
            raise AlreadyExistsError(f"schema {quoted(database)}.{quoted(schema)} exists already")
        return
    row = {"database": database, "name": schema, "created_at": datetime.now(UTC)}
    connection.execute(insert(schemas).values(row))


def remove_database(connection: Connection, database: str) -> None:
    """Remove a database that has no schema left."""
    connection.execute(delete(databases).where(databases.c.name == database))


def remove_schema(connection: Connection, database: str, schema: str) -> None:
    """Remove a schema that has nothing left in it."""
    connection.execute(
        delete(schemas).where(schemas.c.database == database, schemas.c.name == schema)
    )
