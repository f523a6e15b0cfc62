"""Values of a query's rows as JSON, CSV and a table show them."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

from stenopool.cli import console

COMPACT_CHARACTERS = 80
"""Longest nested value in a table."""


def plain(value: object) -> object:
    """A value as JSON has it: times in ISO 8601, bytes in hexadecimal, no number as null."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _text(value)


def _text(value: object) -> object:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, timedelta | UUID):
        return str(value)
    return value


def csv_cell(value: object) -> object:
    """A value as CSV has it; a nested one is JSON, NULL is empty."""
    if isinstance(value, dict | list):
        return console.json_text(plain(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, Decimal) else _text(value)


def cell(value: object) -> object:
    """A value as a table on a terminal shows it; a nested one is JSON, cut where it is long."""
    if isinstance(value, bool) or not isinstance(value, dict | list | bytes | Decimal):
        return value
    text = str(csv_cell(value))
    return text if len(text) <= COMPACT_CHARACTERS else f"{text[: COMPACT_CHARACTERS - 1]}…"
