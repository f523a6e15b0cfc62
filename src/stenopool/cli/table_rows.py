"""Reads the rows of an Iceberg table in any size of table: file by file, a few rows at a time."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final

from stenopool.cli.naming import rank
from stenopool.errors import InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyiceberg.table import DataScan, Table

ROWS_AT_ONCE: Final = 256
"""Rows that are Python objects at the same time; an hour of speech is a thousand segments."""

REASON_CHARACTERS: Final = 160
"""Of PyIceberg's words; a nested type fills a page."""


def read_rows(table: Table, columns: Sequence[str], where: str | None) -> Iterator[dict[str, Any]]:
    """Yield rows of the table as it was when it was loaded.

    Args:
        table: of the catalog.
        columns: those that are read.
        where: a condition on any columns, such as `model = 'small' and language != 'de'`, in
            PyIceberg's own language; None for all rows.

    Raises:
        InvalidOptionError: the condition cannot be read, or names a column that is not there.
    """
    from stenopool.catalog.tables import batches

    for batch in batches(plan(table, columns, where)):
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            yield from batch.slice(start, ROWS_AT_ONCE).to_pylist()


def plan(table: Table, columns: Sequence[str], where: str | None) -> DataScan:
    """A scan of the chosen columns and rows.

    Raises:
        InvalidOptionError: the condition cannot be read, or names a column that is not there.
    """
    if where is None:
        return table.scan(selected_fields=tuple(columns))
    from pyiceberg.expressions import parser
    from pyiceberg.expressions.visitors import bind
    from pyparsing import ParseException

    try:
        condition = parser.parse(where)
        bind(table.schema(), condition, case_sensitive=True)
    except ParseException as error:  # its own words are its whole grammar
        raise InvalidOptionError(
            f"the condition {where!r} cannot be read; write COLUMN = 'TEXT' or COLUMN > NUMBER, "
            "with =, !=, <, >, in (…), like 'a%', is null, and, or, not"
        ) from error
    except (ValueError, TypeError) as error:
        reason = shorten(str(error), REASON_CHARACTERS, placeholder=" …")
        raise InvalidOptionError(f"the condition {where!r} cannot be used: {reason}") from error
    return table.scan(condition, selected_fields=tuple(columns))


RANKED: Final = ("path", "source", "transcribed_at", "transcript_id", "error_class", "error")
"""The columns that `newest_rows` needs."""


@dataclass(kw_only=True)
class Newest:
    """One row for each recording.

    Attributes:
        rows: by path.
        repeated: recordings that had several rows.
        others: rows that were not wanted.
    """

    rows: dict[str, dict[str, Any]]
    repeated: int
    others: int


def newest_rows(
    table: Table,
    columns: Sequence[str],
    where: str | None,
    keep: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda row: row,
) -> Newest:
    """The newest row of each recording; a transcript counts more than a later failure.

    Args:
        table: of transcripts.
        columns: beside those in `RANKED`.
        where: as in `read_rows`.
        keep: gives what to hold of a row, None for a row that is not wanted.

    Raises:
        InvalidOptionError: the table is none of transcripts, the condition cannot be read, or a
            path is that of recordings in several sources.
    """
    chosen = tuple(dict.fromkeys((*RANKED, *columns)))
    if missing := sorted(set(chosen) - set(table.schema().column_names)):
        raise InvalidOptionError(
            f"table {'.'.join(table.name())!r} is not a table of transcripts: it has no column "
            f"{', '.join(missing)}"
        )
    best: dict[str, dict[str, Any]] = {}
    repeated: set[str] = set()
    others = 0
    for read in read_rows(table, chosen, where):
        row = keep(read)
        if row is None:
            others += 1
            continue
        known = best.setdefault(row["path"], row)
        if known is row:
            continue
        if known["source"] != row["source"]:
            raise InvalidOptionError(
                f"the path {row['path']!r} is in two sources; choose one of them with a condition: "
                f"source = '{known['source']}' or source = '{row['source']}'"
            )
        repeated.add(row["path"])
        if rank(row) > rank(known):
            best[row["path"]] = row
    return Newest(rows=best, repeated=len(repeated), others=others)
