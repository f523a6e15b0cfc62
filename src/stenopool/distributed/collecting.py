"""The driver's end of a run: parts become rows, rows become commits every few seconds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import ray

from stenopool.catalog.ledger import write_files
from stenopool.catalog.transcripts import is_complete, join_parts, transcript_schema

if TYPE_CHECKING:
    from stenopool.catalog.ledger import Ledger

COMMIT_EVERY_S = 5.0
COMMIT_ROWS = 4096
"""Rows wait at most so long, or until so many wait with them."""


class Collector:
    """Takes the engines' parts, joins those of long recordings and commits rows to the ledger.

    Workers write the Parquet files; the driver names them in commits.

    Args:
        ledger: the run's branch.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._ready: list[pa.Table] = []
        self._parts: dict[str, list[dict[str, Any]]] = {}
        self._closed: set[str] = set()
        self._committed_at = time.monotonic()

    @property
    def unfinished(self) -> int:
        """Long recordings of which some parts are here and some are not."""
        return len(self._parts)

    def add(self, parts: pa.Table) -> pa.Table:
        """Take a table of `part_schema`; gives the rows that it completes."""
        whole = pc.and_(pc.equal(parts["unit"], 0), parts["last"])
        rows = parts.filter(whole).drop_columns(["unit", "last"])
        joined = [
            row for part in parts.filter(pc.invert(whole)).to_pylist() if (row := self._join(part))
        ]
        if joined:
            rows = pa.concat_tables([rows, pa.Table.from_pylist(joined, transcript_schema())])
        if rows.num_rows:
            self._ready.append(rows)
        return rows

    def _join(self, part: dict[str, Any]) -> dict[str, Any] | None:
        key = part["transcript_id"]
        if key in self._closed:
            return None
        parts = self._parts.setdefault(key, [])
        parts.append(part)
        if not is_complete(parts):
            return None
        if part["error_class"] or any(other["error_class"] for other in parts):
            # Its other units may still be under way.
            self._closed.add(key)
        return join_parts(self._parts.pop(key))

    def commit_if_due(self) -> bool:
        """Commit what waits, if it has waited long enough; says whether it did."""
        waiting = sum(table.num_rows for table in self._ready)
        due = time.monotonic() - self._committed_at >= COMMIT_EVERY_S
        if waiting >= COMMIT_ROWS or (due and waiting):
            self.commit()
            return True
        return False

    def commit(self, *, here: bool = False) -> None:
        """Commit all rows that wait.

        Args:
            here: whether this process writes the files, as when Ray may be gone.
        """
        if self._ready:
            rows = pa.concat_tables(self._ready)
            table = self._ledger.table
            if here:
                files = write_files(table.metadata, table.io, rows)
            else:
                files = ray.get(_write_files.remote(table.metadata, table.io, rows))
            self._ledger.commit(files)
            self._ready = []
        self._committed_at = time.monotonic()


@ray.remote(num_cpus=0)
def _write_files(metadata: Any, io: Any, rows: pa.Table) -> Any:  # noqa: ANN401 - Ray's border
    return write_files(metadata, io, rows)
