"""How often a recording is tried, and how: in batches, one by one, alone with limits.

What ends the process that works on it (a decoder's fault, memory, a hang) leaves no word of which
recording it was. The ledger says which have no row, so those are tried again with less company
each time, and nothing else waits for them.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import ray

from stenopool.distributed.alone import transcribed_alone
from stenopool.distributed.pipeline import cluster_layout, transcribed_parts, unit_reader
from stenopool.errors import RunFailedError

if TYPE_CHECKING:
    from collections.abc import Generator

    import pyarrow as pa

    from stenopool.catalog import Source
    from stenopool.distributed.cluster import Layout
    from stenopool.distributed.reporting import Tally
    from stenopool.distributed.transcribing import Work
    from stenopool.settings import Settings

TOGETHER: Final = 1
ONE_BY_ONE: Final = 2
ALONE: Final = 3
ATTEMPTS: Final = (TOGETHER, ONE_BY_ONE, ALONE)

TRIED_FIRST: Final = 5
"""Where no recording came through at all, so many are tried alone before all of them are."""

ENDINGS: Final = frozenset({"crashed", "out_of_memory", "timed_out"})
"""The classes of recordings that end the process that works on them."""


class Passes:
    """The tries of one run on the Ray that is connected.

    Args:
        work: for the engines; where they run is filled in here.
        source: where the recordings lie.
        settings: where models are.
        tally: counts the engines' time and the nodes that were there and went.
    """

    def __init__(self, work: Work, source: Source, settings: Settings, tally: Tally) -> None:
        self._work = work
        self._source = source
        self._settings = settings
        self._tally = tally

    def parts(self, references: pa.Table, attempt: int) -> Generator[pa.Table | None]:
        """Transcribe recordings; yields tables of `part_schema`, None when none came lately.

        Args:
            references: of `REFERENCE_SCHEMA`.
            attempt: of `ATTEMPTS`.

        Raises:
            RunFailedError: whatever is tried ends its process: it is not the recordings.
        """
        layout = cluster_layout(self._work.options, self._settings)
        work = replace(
            self._work,
            device=layout.device,
            threads=layout.engine_threads,
            memory_bytes=layout.engine_limit_bytes,
            attempt=attempt,
        )
        self._tally.engines = max(self._tally.engines, layout.engines)
        before, started = _alive(), time.monotonic()
        try:
            if attempt == ALONE:
                yield from self._alone(references, work, layout)
            else:
                one_by_one = attempt == ONE_BY_ONE
                yield from transcribed_parts(
                    references, self._source, work, layout, one_by_one=one_by_one
                )
        finally:
            self._tally.engine_capacity_s += layout.engines * (time.monotonic() - started)
            self._tally.nodes_lost += len(before - _alive())

    def require_one(self, references: pa.Table) -> None:
        """Check that recordings of which none came through are not all lost.

        Raises:
            RunFailedError: each of the first few ends its process, also alone.
        """
        if len(references) <= TRIED_FIRST:
            return
        rows = [
            row
            for table in self.parts(references.slice(0, TRIED_FIRST), ALONE)
            if table is not None
            for row in table.to_pylist()
        ]
        if all(row["error_class"] in ENDINGS for row in rows):
            raise RunFailedError(
                f"no recording came through, and each of the first {TRIED_FIRST} ends the process "
                f"that works on it: {rows[0]['error']}; `stenopool doctor` looks at this machine"
            )

    def _alone(self, references: pa.Table, work: Work, layout: Layout) -> Generator[pa.Table]:
        # Ray is not there in those processes, and cannot say which node they are on.
        reader = unit_reader(self._source, work, layout)
        yield from transcribed_alone(references, reader, work, layout)


def _alive() -> set[str]:
    """The nodes that are there."""
    if not ray.is_initialized():
        return set()
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}
