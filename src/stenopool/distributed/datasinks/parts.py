"""What all destinations share: tasks write parts, the driver shows the reported ones at once.

Ray may run a task twice: after a node is lost, or while an older attempt still runs. So each
attempt writes a part of its own, and only the parts that were reported are kept.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pyarrow as pa
from ray.data import Datasink

from stenopool.distributed.datasinks.columns import as_table, fit, plain_schema
from stenopool.errors import InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ray.data._internal.execution.interfaces import TaskContext
    from ray.data.block import Block
    from ray.data.datasource.datasink import WriteResult

TASK_BYTES: Final = 32 << 20
"""Blocks are gathered to at least so many bytes a task.

Ray joins a write with the step before it unless a size is set, and then tells the datasink the
columns from before that step.
"""


@dataclass(frozen=True, slots=True)
class Part:
    """What one attempt of a task wrote: its name, unique in all writes, and how many rows."""

    name: str
    rows: int


class PartsDatasink(Datasink[Part]):
    """A write in five steps, which each destination fills in: all of its rows, or none.

    Attributes:
        rows: how many were written; None before the end.
    """

    def __init__(self) -> None:
        self._columns: pa.Schema | None = None
        self._begun = False
        self.rows: int | None = None

    @property
    def min_bytes_per_write(self) -> int:
        """How many bytes of blocks Ray gathers for one task."""
        return TASK_BYTES

    @abstractmethod
    def __str__(self) -> str:
        """The destination as messages name it: without a password."""

    @abstractmethod
    def check(self, schema: pa.Schema | None = None) -> None:
        """Check on the driver what can be checked before there are rows; changes nothing.

        Args:
            schema: columns that rows will have, where they are known.

        Raises:
            UsageError: the destination is not there, or not as it must be.
            StorageError: it cannot be reached, or not be written.
        """

    @abstractmethod
    def _begin(self, schema: pa.Schema | None) -> pa.Schema | None:
        """Make what the tasks need, and sweep up after dead writes; on the driver.

        Args:
            schema: the dataset's columns; None where it has no rows.

        Returns:
            The columns that rows must fit.
        """

    @abstractmethod
    def _write_part(self, name: str, tables: Iterable[pa.Table]) -> int:
        """Write rows that fit, on a worker; gives how many."""

    @abstractmethod
    def _show(self, parts: Sequence[Part]) -> int:
        """Show these parts and no other, in one step, on the driver; gives the rows shown."""

    @abstractmethod
    def _end(self) -> None:
        """Remove all that is not shown; does nothing a second time."""

    def _named(self, name: str) -> str:
        """A dataset's column in the form that `columns` reads: kept as it is, unless told else."""
        return kept(name)

    def on_write_start(self, schema: pa.Schema | None = None) -> None:
        """Begin the write; Ray calls it on the driver when the first rows are there."""
        self._begun = True
        self._columns = self._begin(self._plain(schema))

    def _plain(self, schema: pa.Schema | None) -> pa.Schema | None:
        """A dataset's columns as `columns` reads them; None where nothing is known of them."""
        if schema is None or not schema.names:  # an empty first block may have none
            return None
        plain = plain_schema(schema)
        return pa.schema([field.with_name(self._named(field.name)) for field in plain])

    def write(self, blocks: Iterable[Block], ctx: TaskContext | None) -> Part:
        """Write one task's blocks; runs on a worker.

        Raises:
            InvalidOptionError: a block does not fit the destination's columns.
        """
        name = uuid4().hex[:16]
        return Part(name, self._write_part(name, self._fitted(blocks)))

    def _fitted(self, blocks: Iterable[Block]) -> Iterator[pa.Table]:
        for block in blocks:
            rows = as_table(block)
            if not rows.num_rows:
                continue
            if self._columns is None:
                raise InvalidOptionError(
                    f"{self}: the dataset's first block has no columns, and a later one has; drop "
                    "empty blocks first"
                )
            rows = rows.rename_columns([self._named(name) for name in rows.column_names])
            yield fit(rows, self._columns, str(self))

    def on_write_complete(self, write_result: WriteResult[Part]) -> None:
        """Show what the tasks reported, at once."""
        if not self._begun:
            self.on_write_start()
        self.rows = self._show([part for part in write_result.write_returns if part.rows])
        self._end()

    def on_write_failed(self, error: Exception) -> None:
        """Remove what the tasks wrote; the destination is as it was."""
        self._end()


def kept(name: str) -> str:
    """A name in double quotes, which `columns` does not fold."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
