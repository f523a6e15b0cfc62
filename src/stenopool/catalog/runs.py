"""Runs, as the catalog keeps them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from stenopool.catalog.schema import runs
from stenopool.model import RunRecord

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from stenopool.catalog.names import ObjectName


def write_run(connection: Connection, run: RunRecord) -> None:
    """Add a run, or replace what is known of it."""
    values = {
        key: _storable(value) if isinstance(value, str) else value
        for key, value in asdict(run).items()
    }
    changed = connection.execute(update(runs).where(runs.c.run_id == run.run_id).values(values))
    if not changed.rowcount:
        connection.execute(insert(runs).values(values))


def find_run(connection: Connection, run_id: str) -> RunRecord | None:
    """A run; None where none has this id."""
    row = connection.execute(select(runs).where(runs.c.run_id == run_id)).one_or_none()
    return None if row is None else _run(row)


def newest_runs(connection: Connection, target: ObjectName | None) -> list[RunRecord]:
    """The runs into a table, or all, the newest first."""
    chosen = select(runs).order_by(runs.c.started_at.desc(), runs.c.run_id.desc())
    if target is not None:
        chosen = chosen.where(runs.c.target == str(target))
    return [_run(row) for row in connection.execute(chosen)]


def _run(row: Row[tuple[object, ...]]) -> RunRecord:
    return RunRecord(**row._asdict())


def _storable(text: str) -> str:
    """Text that every database takes: an error may quote a file name that is no Unicode."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
