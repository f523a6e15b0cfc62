"""The report of a run: what it did, how long each stage took, and what held it up."""

from __future__ import annotations

import heapq
import json
import logging
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from stenopool.catalog import ObjectName, tables
from stenopool.catalog.ledger import write_files
from stenopool.catalog.writing import TableWrite
from stenopool.errors import StenopoolError

if TYPE_CHECKING:
    import pyarrow as pa

    from stenopool.catalog import Catalog
    from stenopool.model import RunRecord

logger = logging.getLogger(__name__)

LISTED: Final = 10
"""So many of the longest and of the slowest recordings are named."""

BUSY_SHARE: Final = 0.8
"""Engines that work so much of their time are what holds a run up."""

RUNS: Final = "RUNS"
"""The table of reports, in the schema of the run's own table."""


NEEDED: Final = frozenset({"run_id", "state", "audio_s", "bottleneck", "longest"})
"""Columns of every table of reports, whichever version made it."""


@dataclass(kw_only=True)
class Tally:
    """What is counted while a run goes on; seconds are of all workers together.

    Attributes:
        read_s: spent in reading and decoding.
        engine_s: spent in engines.
        engine_capacity_s: that engines were there, busy or not.
        engines: that were there, the most at one time.
        speech_s: of audio, in which speech was found.
        read_bytes: of recordings that were read.
        written_bytes: of the table's files.
        warned: recordings whose transcript has a warning.
        storage_retries: how often storage was asked again while recordings were read.
        nodes_lost: nodes that went while the run was under way.
        tries: recordings that were tried together (1), again one by one (2) and alone (3).
        longest: path and seconds of audio of the longest recordings.
        slowest: path and seconds of work of those that took most.
    """

    read_s: float = 0.0
    engine_s: float = 0.0
    engine_capacity_s: float = 0.0
    engines: int = 0
    speech_s: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0
    warned: int = 0
    storage_retries: int = 0
    nodes_lost: int = 0
    tries: Counter[str] = field(default_factory=Counter)
    longest: list[tuple[str, float]] = field(default_factory=list)
    slowest: list[tuple[str, float]] = field(default_factory=list)

    @classmethod
    def of(cls, kept: dict[str, Any] | None) -> Tally:
        """The tally of a run that was interrupted, or a new one."""
        if not kept:
            return cls()
        names = set(cls.__dataclass_fields__)
        tally = cls(**{name: value for name, value in kept.items() if name in names})
        tally.tries = Counter(tally.tries)
        tally.longest = [(path, seconds) for path, seconds in tally.longest]
        tally.slowest = [(path, seconds) for path, seconds in tally.slowest]
        return tally

    def add(self, parts: pa.Table) -> None:
        """Count a table of `part_schema`."""
        import pyarrow.compute as pc

        read_s = pc.sum(parts["read_s"]).as_py() or 0.0
        self.read_s += read_s
        self.engine_s += (pc.sum(parts["wall_s"]).as_py() or 0.0) - read_s
        self.speech_s += pc.sum(parts["speech_s"]).as_py() or 0.0
        self.storage_retries += pc.sum(parts["storage_retries"]).as_py() or 0
        first = parts.filter(pc.equal(parts["unit"], 0))
        self.read_bytes += pc.sum(first["size_bytes"]).as_py() or 0

    def add_rows(self, rows: pa.Table) -> None:
        """Look at whole rows for warnings, and for the longest and the slowest."""
        import pyarrow.compute as pc

        warned = pc.greater(pc.list_value_length(rows["warnings"]), 0)
        self.warned += pc.sum(pc.and_(warned, pc.is_valid(rows["text"]))).as_py() or 0
        paths = rows["path"].to_pylist()
        self.longest = _top(self.longest, paths, rows["duration_s"].to_pylist())
        self.slowest = _top(self.slowest, paths, rows["wall_s"].to_pylist())

    def tried(self, attempt: int, count: int) -> None:
        """Count recordings that are tried."""
        self.tries[str(attempt)] += count

    def report(self) -> dict[str, Any]:
        """All of it, and what held the run up, as JSON can hold it."""
        return {**asdict(self), "tries": dict(self.tries), "bottleneck": self.bottleneck}

    @property
    def bottleneck(self) -> str:
        """What held the run up, for a person."""
        if not self.engine_capacity_s:
            return "nothing was transcribed"
        busy = min(1.0, self.engine_s / self.engine_capacity_s)
        if busy >= BUSY_SHARE:
            return f"the engines: they worked {busy:.0%} of the time"
        what = "reading" if self.read_s > self.engine_s else "starting and the last recordings"
        return f"{what}: the engines worked {busy:.0%} of the time"


def _top(
    known: list[tuple[str, float]], paths: list[str], values: list[float | None]
) -> list[tuple[str, float]]:
    found = [(path, value) for path, value in zip(paths, values, strict=True) if value]
    return heapq.nlargest(LISTED, [*known, *found], key=lambda pair: pair[1])


@cache
def report_schema() -> pa.Schema:
    """The Arrow schema of the table of reports: one row each time that a run ends."""
    import pyarrow as pa

    top = pa.list_(pa.struct([("path", pa.string()), ("seconds", pa.float64())]))
    texts = ("run_id", "state", "source", "target", "options", "error")
    counts = ("listed", "transcribed", "failed", "skipped", "tried_again", "tried_alone")
    numbers = ("audio_s", "speech_s", "wall_s", "speed", "read_s", "engine_s", "engine_capacity_s")
    more = ("read_bytes", "written_bytes", "warned", "storage_retries", "nodes_lost")
    return pa.schema(
        [
            *((name, pa.string()) for name in texts),
            ("started_at", pa.timestamp("us", tz="UTC")),
            ("ended_at", pa.timestamp("us", tz="UTC")),
            *((name, pa.int64()) for name in counts),
            ("failed_by_class", pa.string()),
            *((name, pa.float64()) for name in numbers),
            *((name, pa.int64()) for name in more),
            ("bottleneck", pa.string()),
            ("longest", top),
            ("slowest", top),
        ]
    )


def report_row(record: RunRecord) -> dict[str, Any]:
    """A run as a row of `report_schema`."""
    report = record.details.get("report", {})
    tries = report.get("tries", {})
    row = {**asdict(record), **report, "transcribed": record.done, "speed": record.speed}
    row["tried_again"], row["tried_alone"] = tries.get("2", 0), tries.get("3", 0)
    row["failed_by_class"] = json.dumps(record.details.get("failed_by_class", {}))
    for name in ("longest", "slowest"):
        row[name] = [{"path": path, "seconds": value} for path, value in report.get(name, ())]
    return {name: row.get(name) for name in report_schema().names}


def keep_report(catalog: Catalog, target: ObjectName, record: RunRecord) -> None:
    """Add a run's report to the table of reports; a run does not fail for want of it."""
    import pyarrow as pa

    name = ObjectName(target.database, target.schema, RUNS)
    if name == target:
        return
    try:
        schema = report_schema()
        table = catalog.create_table(name, schema, if_not_exists=True, create_missing=True)
        if NEEDED - set(table.schema().column_names):
            logger.warning("table %s is not one of reports; the report was not added", name)
            return
        tables.add_columns(catalog.iceberg, name, schema)
        write = TableWrite(catalog, name, creates=False)
        rows = pa.Table.from_pylist([report_row(record)], report_schema())
        write.commit(write_files(write.metadata, write.io, rows), override=False)
    except (StenopoolError, OSError) as error:
        logger.warning("the report was not added to table %s: %s", name, error)
