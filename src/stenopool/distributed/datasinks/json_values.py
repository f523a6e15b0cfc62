"""Values as JSON has them: what it lacks becomes text, and what is no number becomes null."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


def json_text(value: Any) -> str:  # noqa: ANN401  whatever a column holds
    """A value of a column as JSON on one line.

    Dates, times and timestamps are ISO 8601 (with `+00:00` where the column has a zone), bytes
    base64, decimals text, so that no digit is lost; NaN and infinities are null. A map is an
    object whose keys are text.
    """
    return json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))


def rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows as Python's own values, a bounded number at once in memory; maps as dicts."""
    for batch in table.to_batches(max_chunksize=1024):
        yield from batch.to_pylist(maps_as_pydicts="lossy")


def plain(value: Any) -> Any:  # noqa: ANN401, PLR0911  a table of types
    """A value as `json` takes it; see `json_text`."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return {_key(key): plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value


def _key(key: Any) -> str:  # noqa: ANN401  a map's key may be of any type
    return key if isinstance(key, str) else str(plain(key))
