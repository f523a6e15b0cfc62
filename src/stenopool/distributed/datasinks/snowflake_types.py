"""Arrow's types as a Snowflake account's, and which of its columns take which values unchanged."""

from __future__ import annotations

import re
from typing import Final

import pyarrow as pa
import pyarrow.types as pt

from stenopool.distributed.datasinks.columns import fits

_MADE: Final[dict[pa.DataType, str]] = {
    pa.bool_(): "BOOLEAN",
    pa.int64(): "NUMBER(38,0)",
    pa.float32(): "FLOAT",
    pa.float64(): "FLOAT",
    pa.string(): "VARCHAR",
    pa.binary(): "BINARY",
    pa.date32(): "DATE",
    pa.time64("us"): "TIME(6)",
    pa.timestamp("us"): "TIMESTAMP_NTZ(6)",
    # The instant is kept and the zone is not, as in Parquet.
    pa.timestamp("us", tz="UTC"): "TIMESTAMP_LTZ(6)",
}

_TAKEN: Final[dict[str, pa.DataType]] = {
    "BOOLEAN": pa.bool_(),
    "FLOAT": pa.float64(),
    "VARCHAR": pa.string(),
    "BINARY": pa.binary(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "TIMESTAMP_NTZ": pa.timestamp("us"),
    "TIMESTAMP_LTZ": pa.timestamp("us", tz="UTC"),
    "TIMESTAMP_TZ": pa.timestamp("us", tz="UTC"),
}
"""What a column of a table that is there holds, in Arrow; numbers and nested kinds are below."""

_NUMBER: Final = re.compile(r"NUMBER\((\d+),\s*(\d+)\)")


def made_type(kept: pa.DataType) -> str:
    """The type of a column that is made for what `table_schema` gives."""
    if pt.is_decimal(kept):
        return f"NUMBER({kept.precision},{kept.scale})"
    if pt.is_list(kept):
        return "ARRAY"
    return _MADE.get(kept, "OBJECT")


def accepted_type(column: str, own: pa.DataType, kept: pa.DataType) -> pa.DataType | None:
    """The Arrow type of the files for a column; None where the dataset's values do not fit it.

    Args:
        column: its type in the account's words, such as `NUMBER(38,0)` or `VARCHAR(16777216)`.
        own: the dataset's type.
        kept: what a table of ours would keep it as.
    """
    if pt.is_null(own) or column == "VARIANT":
        return kept
    if pt.is_dictionary(own):
        own = own.value_type
    if match := _NUMBER.fullmatch(column):
        return kept if fits(own, pa.decimal128(int(match[1]), int(match[2]))) else None
    if column.startswith("ARRAY"):
        return kept if pt.is_list(kept) else None
    if column.startswith(("OBJECT", "MAP")):
        return kept if pt.is_struct(kept) or pt.is_map(kept) else None
    taken = _TAKEN.get(column.partition("(")[0])
    return taken if taken is not None and fits(own, taken) else None
