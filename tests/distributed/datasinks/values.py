"""A row with a value of every type, and a dataset of them."""

from __future__ import annotations

import datetime as dt
import pickle
from decimal import Decimal

import pyarrow as pa
import ray.data
from ray.data.datasource.datasink import WriteResult
from ray.data.expressions import col

NOON = dt.datetime(2026, 11, 25, 12, 0, 0, 123456)  # noqa: DTZ001 - one without a zone

ROW = {
    "said": "ü'\"\n\\N\t{a,b}",
    "raw": b"\x00\xff\\",
    "good": True,
    "n": -(2**63),
    "f": 0.1,
    "seen_at": NOON,
    "utc": NOON.replace(tzinfo=dt.UTC),
    "said_on": NOON.date(),
    "price": Decimal("123.45"),
    "parts": ["a", None, 'b,"{}'],
    "vector": [0.5, -1.0],
    "inner_part": {"x": 1, "y": ["z"]},
}


def every_type():
    """Two rows: values of every type, and nulls."""
    empty = dict.fromkeys(ROW)
    return pa.Table.from_pylist([ROW, empty])


def numbers(count, *, first=0, blocks=4):
    """A dataset of `id` and `word`, in several blocks, each of which becomes a task."""
    words = ray.data.range(count, override_num_blocks=blocks)
    return words.map_batches(
        lambda batch: {"id": batch["id"] + first, "word": [f"w{i}" for i in batch["id"]]},
        batch_format="numpy",
    )


def nothing():
    """A dataset of the same columns without a row."""
    return numbers(10).filter(expr=col("id") < 0)


def write_here(sink, *tables, kept=None):
    """A whole write in this process, through pickles as Ray does; `kept` attempts count."""
    try:
        sink.on_write_start(tables[0].schema)
        parts = [pickle.loads(pickle.dumps(sink)).write([table], None) for table in tables]
        chosen = parts if kept is None else [parts[index] for index in kept]
        sink.on_write_complete(WriteResult(0, 0, chosen))
    except Exception as error:
        sink.on_write_failed(error)
        raise
    return sink.rows
