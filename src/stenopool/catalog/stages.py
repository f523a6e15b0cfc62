"""Stages: named places of files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, insert, select

from stenopool.catalog.names import ObjectName
from stenopool.catalog.schema import stages

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A named place of files.

    Attributes:
        name: its full name; `@` in front of it makes a source.
        url: the folder or bucket that it was made over; None where Stenopool keeps its files.
        root: where its files lie, for `open_storage`.
        comment: what its maker wrote about it.
        created_at: UTC.
    """

    name: ObjectName
    url: str | None
    root: str
    comment: str | None
    created_at: datetime

    def __str__(self) -> str:
        return f"@{self.name}"


def find_stage(connection: Connection, name: ObjectName) -> Stage | None:
    """A stage; None where none has this name."""
    row = connection.execute(select(stages).where(_is(name))).one_or_none()
    return None if row is None else _stage(row)


def all_stages(connection: Connection) -> list[Stage]:
    """Every stage, sorted by name."""
    return sorted(map(_stage, connection.execute(select(stages))), key=lambda stage: stage.name)


def add_stage(connection: Connection, stage: Stage) -> None:
    """Add a stage whose name is free and whose schema exists."""
    values = {
        "database": stage.name.database,
        "schema": stage.name.schema,
        "name": stage.name.name,
        "url": stage.url,
        "root": stage.root,
        "comment": stage.comment,
        "created_at": stage.created_at,
    }
    connection.execute(insert(stages).values(values))


def remove_stage(connection: Connection, name: ObjectName) -> None:
    """Forget a stage; its files stay."""
    connection.execute(delete(stages).where(_is(name)))


def new_stage(name: ObjectName, url: str | None, root: str, comment: str | None) -> Stage:
    """A stage that is made now."""
    return Stage(name=name, url=url, root=root, comment=comment, created_at=datetime.now(UTC))


def _is(name: ObjectName) -> ColumnElement[bool]:
    return and_(
        stages.c.database == name.database,
        stages.c.schema == name.schema,
        stages.c.name == name.name,
    )


def _stage(row: Row[tuple[object, ...]]) -> Stage:
    return Stage(
        name=ObjectName(row.database, row.schema, row.name),
        url=row.url,
        root=row.root,
        comment=row.comment,
        created_at=row.created_at,
    )
