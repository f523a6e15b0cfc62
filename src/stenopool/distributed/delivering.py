"""The end of a run whose destination is no table of the catalog: its rows go there, once each.

Such a run keeps its ledger in a table of the catalog made for the destination, in the schema
DELIVERIES. What that table has and the destination does not is delivered whenever a run into the
destination ends, so that a delivery that failed is made up for by the same command. Rows are the
same where `transcript_id` is: PostgreSQL and Snowflake leave out those that they have in the
transaction that adds the rows, and a folder is written only while it still shows what was
compared. What an older version of this program delivered to is given the columns that it lacks.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import In, Reference
from pyiceberg.expressions.literals import literal
from ray.data.datasource.datasink import WriteResult
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from stenopool.catalog.names import ObjectName
from stenopool.catalog.tables import batches
from stenopool.catalog.transcripts import transcript_schema
from stenopool.distributed.addressing import kind_of
from stenopool.distributed.datasinks.destination import (
    open_folder,
    open_postgres,
    open_snowflake,
)
from stenopool.distributed.datasinks.folder import keys_in, writes_in
from stenopool.errors import ChangedError, InvalidOptionError, RunFailedError, StenopoolError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from pyiceberg.table import Table

    from stenopool.distributed.datasinks.database import DatabaseDatasink
    from stenopool.distributed.datasinks.parts import PartsDatasink
    from stenopool.settings import Settings

SCHEMA: Final = "DELIVERIES"
"""Of the tables that keep what was delivered, in the database of the settings."""

KEY: Final = "transcript_id"

PART_ROWS: Final = 50_000
"""Rows that are delivered as one part."""

TRIES: Final = 5
"""So often a folder is compared anew that others write to at the same time."""


class Delivery:
    """Where a run's rows go when that is no table of the catalog.

    Attributes:
        shown: the destination as messages name it: without a password.
        table: the table of the catalog that keeps the run's rows.
    """

    def __init__(self, to: str, settings: Settings) -> None:
        self._to = to
        self._kind = kind_of(to)
        self.shown = str(self._sink(overwrite=False))
        self.table = ObjectName(settings.database, SCHEMA, _table_name(self.shown))

    def check(self, *, overwrite: bool) -> None:
        """Check that the destination can be reached, and takes transcripts.

        Raises:
            UsageError: it is not there, or not as it must be.
            StorageError: it cannot be reached.
        """
        self._sink(overwrite=overwrite).check(transcript_schema())

    def deliver(self, table: Table, run_id: str, *, overwrite: bool) -> int:
        """Bring over what the destination does not have; gives how many rows that were.

        Args:
            table: of the catalog, with all rows that were ever to be delivered.
            run_id: the run that ends.
            overwrite: whether its rows replace those of the destination.

        Raises:
            RunFailedError: the destination did not take the rows, and has none of them.
        """
        runs = _runs_by_id(table)
        try:
            if self._kind == "folder":
                return self._to_folder(table, runs, overwrite=overwrite)
            return self._to_database(table, runs, run_id if overwrite else None)
        except StenopoolError as error:
            raise RunFailedError(
                f"{error} (the transcripts are kept in table {self.table}; when this is mended, "
                "the same command delivers them)"
            ) from error

    def _to_database(self, table: Table, runs: Mapping[str, str], replacing: str | None) -> int:
        """Into PostgreSQL or Snowflake; the rows of the run `replacing` also where they are."""
        missing = runs.keys() - self._keyed(overwrite=False).keys()
        wanted = {key: run for key, run in runs.items() if key in missing or run == replacing}
        if not wanted:
            return 0
        return _write(self._keyed(overwrite=replacing is not None), _rows(table, wanted))

    def _to_folder(self, table: Table, runs: Mapping[str, str], *, overwrite: bool) -> int:
        """Into a folder; an overwriting write is the whole table, since files do not change."""
        retrying = Retrying(
            retry=retry_if_exception_type(ChangedError),
            stop=stop_after_attempt(TRIES),
            reraise=True,
        )
        return retrying(self._to_folder_once, table, runs, overwrite=overwrite)

    def _to_folder_once(self, table: Table, runs: Mapping[str, str], *, overwrite: bool) -> int:
        folder = self.shown
        expected = writes_in(folder)
        there = keys_in(folder, KEY)
        if overwrite and (foreign := there - runs.keys()):
            raise InvalidOptionError(
                f"folder {self.shown} has {len(foreign)} rows that table {self.table} does not "
                "have, and --overwrite would remove them; name another folder"
            )
        wanted = {key: run for key, run in runs.items() if overwrite or key not in there}
        if not wanted:
            return 0
        sink = self._sink(overwrite=overwrite, expected=expected)
        return _write(sink, _rows(table, wanted))

    def _sink(self, *, overwrite: bool, expected: Collection[str] | None = None) -> PartsDatasink:
        if self._kind == "folder":
            return open_folder(self._to, overwrite=overwrite, expected=expected, add_columns=True)
        return self._keyed(overwrite=overwrite)

    def _keyed(self, *, overwrite: bool) -> DatabaseDatasink:
        if self._kind == "snowflake":
            key = KEY.upper()
            return open_snowflake(self._to, overwrite=overwrite, key=key, add_columns=True)
        return open_postgres(self._to, overwrite=overwrite, key=KEY, add_columns=True)


def _table_name(shown: str) -> str:
    """A name for what goes to a destination: its last part, and digits that tell others apart."""
    last = re.sub(r"[^A-Z0-9]+", "_", shown.upper().rpartition("/")[2]).strip("_")[:40]
    digest = hashlib.blake2b(shown.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    return f"TO_{last or 'ROWS'}_{digest.upper()}"


def _runs_by_id(table: Table) -> dict[str, str]:
    """The run that made each transcript of the table."""
    with table.scan(selected_fields=(KEY, "run_id")).to_arrow_batch_reader() as batches:
        pairs = pa.Table.from_batches(batches, batches.schema).to_pydict()
    return dict(zip(pairs[KEY], pairs["run_id"], strict=True))


def _rows(table: Table, wanted: Mapping[str, str]) -> Iterator[pa.Table]:
    """The rows of these transcripts, in pieces; files without any of their runs are left out."""
    runs = In(term=Reference("run_id"), values={literal(run) for run in wanted.values()})
    keys = pa.array(wanted)
    waiting: list[pa.Table] = []
    for batch in batches(table.scan(runs)):
        rows = pa.Table.from_batches([batch])
        waiting.append(rows.filter(pc.is_in(rows[KEY], value_set=keys.cast(rows[KEY].type))))
        if sum(one.num_rows for one in waiting) >= PART_ROWS:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _write(sink: PartsDatasink, tables: Iterable[pa.Table]) -> int:
    """A whole write in this process: transcripts are text, and need no cluster to travel."""
    try:
        sink.on_write_start(transcript_schema())
        parts = [sink.write([table], None) for table in tables]
        sink.on_write_complete(WriteResult(sum(part.rows for part in parts), 0, parts))
    except BaseException:
        sink.on_write_failed(RuntimeError("the delivery was not finished"))
        raise
    return sink.rows or 0
