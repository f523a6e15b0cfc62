"""The catalog's own tables in its database; those of PyIceberg lie beside them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

if TYPE_CHECKING:
    from sqlalchemy import Dialect

VERSION: Final = 2
"""Raised with every change of these tables, together with the step that migrates to it.

2 brought the leases, a table that 1 does not miss.
"""


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC, also where the database keeps no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Write it in UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Read it as UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

version = Table("stenopool_version", metadata, Column("version", Integer, primary_key=True))

databases = Table(
    "stenopool_databases",
    metadata,
    Column("name", String(127), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
)

schemas = Table(
    "stenopool_schemas",
    metadata,
    Column("database", String(127), ForeignKey(databases.c.name), primary_key=True),
    Column("name", String(127), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
)

stages = Table(
    "stenopool_stages",
    metadata,
    Column("database", String(127), primary_key=True),
    Column("schema", String(127), primary_key=True),
    Column("name", String(127), primary_key=True),
    Column("url", Text),
    Column("root", Text, nullable=False),
    Column("comment", Text),
    Column("created_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(["database", "schema"], [schemas.c.database, schemas.c.name]),
)

runs = Table(
    "stenopool_runs",
    metadata,
    Column("run_id", String(127), primary_key=True),
    Column("source", Text, nullable=False),
    Column("target", Text, nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("options", Text, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("listed", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("audio_s", Double, nullable=False),
    Column("wall_s", Double, nullable=False),
    Column("error", Text),
    Column("details", JSON, nullable=False),
)

leases = Table(
    "stenopool_leases",
    metadata,
    Column("name", String(127), primary_key=True),
    Column("owner", String(32), nullable=False),
    Column("run_id", String(127), nullable=False),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process_started", Double, nullable=False),
    Column("beat", BigInteger, nullable=False),
)
