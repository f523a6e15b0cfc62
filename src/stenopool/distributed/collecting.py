"""The driver's end of a run: parts become rows, rows become commits every few seconds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import ray

from stenopool.catalog.ledger import write_files
from stenopool.catalog.transcripts import (
    PART_COLUMNS,
    is_complete,
    join_parts,
    part_schema,
    transcript_schema,
)
from stenopool.distributed.reading import RUN_FAILED
from stenopool.errors import RunFailedError
from stenopool.storage.retrying import persistently

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table.metadata import TableMetadata

    from stenopool.catalog.ledger import Ledger
    from stenopool.catalog.parts import PartStore
    from stenopool.distributed.reporting import Tally

COMMIT_EVERY_S = 5.0
COMMIT_ROWS = 4096
"""Rows wait at most so long, or until so many wait with them."""

WRITE_HERE_ROWS = 512
"""Fewer rows than these are written sooner than a worker is found that writes them."""


class Collector:
    """Takes the engines' parts, joins those of long recordings and commits rows to the ledger.

    Workers write the larger Parquet files; the driver names all of them in commits. Parts of
    recordings that are not complete are kept too, so that a run that is interrupted does not begin
    an hour again.

    Args:
        ledger: the run's branch.
        store: keeps the parts of recordings that are not complete.
        tally: counts the bytes that are written.
    """

    def __init__(self, ledger: Ledger, store: PartStore, tally: Tally) -> None:
        self._ledger = ledger
        self._store = store
        self._tally = tally
        self._ready: list[pa.Table] = []
        self._parts: dict[str, dict[int, dict[str, Any]]] = {}
        self._unkept: list[dict[str, Any]] = []
        self._closed: set[str] = set()
        self._committed_at = time.monotonic()

    def resume(self) -> None:
        """Take up the parts that an interrupted run has kept."""
        for part in self._store.kept():
            self._parts.setdefault(part["transcript_id"], {})[part["unit"]] = part

    def units_done(self) -> dict[str, list[int]]:
        """The units that are here of recordings that are not complete, by transcript id."""
        return {key: sorted(parts) for key, parts in self._parts.items()}

    def add(self, parts: pa.Table) -> pa.Table:
        """Take a table of `part_schema`; gives the rows that it completes.

        Raises:
            RunFailedError: a worker says that the run cannot go on.
        """
        stop = parts.filter(pc.equal(parts["error_class"], RUN_FAILED))
        if stop.num_rows:
            raise RunFailedError(stop["error"][0].as_py())
        whole = pc.and_(pc.equal(parts["unit"], 0), parts["last"])
        rows = parts.filter(whole).drop_columns(list(PART_COLUMNS))
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
        parts = self._parts.setdefault(key, {})
        parts[part["unit"]] = part  # the same unit again, if it was tried again
        if not is_complete(list(parts.values())):
            self._unkept.append(part)
            return None
        if any(other["error_class"] for other in parts.values()):
            # Its other units may still be under way.
            self._closed.add(key)
        return join_parts(list(self._parts.pop(key).values()))

    def commit_if_due(self) -> bool:
        """Commit what waits, if it has waited long enough; says whether it did."""
        waiting = sum(table.num_rows for table in self._ready)
        due = time.monotonic() - self._committed_at >= COMMIT_EVERY_S
        if waiting >= COMMIT_ROWS or (due and (waiting or self._unkept)):
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
            write = write_files if here or rows.num_rows < WRITE_HERE_ROWS else _written
            self._tally.written_bytes += self._ledger.commit(rows, write)
            self._ready = []
        if self._unkept:
            # Not those of recordings that came to their end meanwhile.
            left = [part for part in self._unkept if part["transcript_id"] in self._parts]
            if left:
                self._store.keep(pa.Table.from_pylist(left, part_schema()))
            self._unkept = []
        self._committed_at = time.monotonic()


def _written(metadata: TableMetadata, io: FileIO, rows: pa.Table) -> Sequence[DataFile]:
    """Files that a worker wrote; see `write_files`."""
    files: list[DataFile] = persistently(
        lambda: ray.get(_write_files.remote(metadata, io, rows)), deadline_s=60
    )
    return files


@ray.remote(num_cpus=0)
def _write_files(metadata: Any, io: Any, rows: pa.Table) -> Any:  # noqa: ANN401 - Ray's border
    return write_files(metadata, io, rows)
