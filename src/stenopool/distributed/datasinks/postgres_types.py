"""Arrow's types as PostgreSQL's, and which of its columns take which values unchanged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.types as pt

from stenopool.distributed.datasinks.columns import fits


@dataclass(frozen=True, slots=True)
class PostgresColumn:
    """A column of a table.

    Attributes:
        name: as PostgreSQL keeps it.
        type: in its own words, such as `numeric(12,3)` or `double precision[]`.
        has_default: whether rows may come without it.
    """

    name: str
    type: str
    has_default: bool = False


_MADE: Final[dict[pa.DataType, str]] = {
    pa.bool_(): "boolean",
    pa.int64(): "bigint",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.string(): "text",
    pa.binary(): "bytea",
    pa.date32(): "date",
    pa.time64("us"): "time",
    pa.timestamp("us"): "timestamp",
    pa.timestamp("us", tz="UTC"): "timestamptz",
}

_TAKEN: Final[dict[str, pa.DataType]] = {
    "boolean": pa.bool_(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "time without time zone": pa.time64("us"),
    "timestamp without time zone": pa.timestamp("us"),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}
"""What a column of a table that is there holds, in Arrow; numbers, JSON and arrays are below."""

_NUMERIC: Final = re.compile(r"numeric\((\d+),(-?\d+)\)")


def made_type(kept: pa.DataType) -> str:
    """The type of a column that is made for what `table_schema` gives."""
    if pt.is_decimal(kept):
        return f"numeric({kept.precision},{kept.scale})"
    if pt.is_list(kept) and (made := made_type(kept.value_type)) != "jsonb" and "[" not in made:
        return f"{made}[]"
    return _MADE.get(kept, "jsonb")


def accepted_type(column: str, own: pa.DataType, kept: pa.DataType) -> pa.DataType | None:
    """The Arrow type that a dataset's values are given for a column; None where they do not fit.

    Other columns than these (enumerations, `uuid`, `inet`, …) take text, which the server reads.

    Args:
        column: its type in PostgreSQL's words.
        own: the dataset's type.
        kept: what a table of ours would keep it as.
    """
    if pt.is_dictionary(own):
        own = own.value_type
    if is_json(column):
        return kept
    if column == "numeric":
        return kept if pt.is_null(own) or _is_number(kept) else None
    if match := _NUMERIC.fullmatch(column):
        precision, scale = int(match[1]), int(match[2])
        taken = pa.decimal128(precision, scale) if 0 <= scale <= precision <= 38 else None
        return taken if taken is not None and fits(own, taken) else None
    if column.endswith("[]"):
        return _accepted_list(column, own, kept)
    taken = _TAKEN.get(column.replace("(6)", ""), pa.string())
    return taken if fits(own, taken) else None


def is_json(column: str) -> bool:
    """Whether a column takes JSON."""
    return column in ("json", "jsonb")


def _accepted_list(column: str, own: pa.DataType, kept: pa.DataType) -> pa.DataType | None:
    if pt.is_null(own):
        return pa.list_(pa.string())
    if not pt.is_list(kept):
        return None
    item = accepted_type(column.removesuffix("[]"), own.value_type, kept.value_type)
    return None if item is None or pt.is_nested(item) else pa.list_(item)


def _is_number(kept: pa.DataType) -> bool:
    return bool(pt.is_decimal(kept) or pt.is_integer(kept) or pt.is_floating(kept))
