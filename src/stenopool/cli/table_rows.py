"""Reads the rows of an Iceberg table in any size of table: file by file, a few rows at a time."""

from __future__ import annotations

from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final

from stenopool.catalog.tables import batches
from stenopool.errors import InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
