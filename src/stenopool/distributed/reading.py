"""CPU tasks of a run: open the recordings, decode them and cut them into units."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa

from stenopool.audio import read_units
from stenopool.distributed.visibility import require_visible
from stenopool.errors import (
    AccessDeniedError,
    NotFoundError,
    PermissionDeniedError,
    RecordingError,
    RecordingStorageError,
    StorageError,
    UnreadableError,
    VanishedError,
)
from stenopool.storage import Storage, open_storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stenopool.distributed.visibility import Place
    from stenopool.model import Unit

UNIT_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("size_bytes", pa.int64()),
        ("etag", pa.string()),
        ("transcript_id", pa.string()),
        ("unit", pa.int32()),
        ("last", pa.bool_()),
        ("windows", pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64())]))),
        ("samples", pa.large_binary()),
        ("decoded_samples", pa.int64()),
        ("speech_samples", pa.int64()),
        ("warnings", pa.list_(pa.string())),
        ("error_class", pa.string()),
        ("error", pa.string()),
        ("read_s", pa.float64()),
    ]
)
"""One row a unit; a recording that cannot be read is one row with its error and no audio.

`samples` are int16 at 16 kHz, the windows' audio one after another.
"""

WHOLE_BYTES = 32 << 20
"""Recordings up to this size are read in one go; longer ones are streamed."""

BLOCK_SAMPLES_BYTES = 32 << 20
"""A block of units goes on to an engine when it holds so much audio, however few its windows."""


class UnitReader:
    """Turns a block of references into blocks of units of about equal work.

    Args:
        root: where the recordings lie, for `open_storage`.
        vad: whether silence is left out.
        block_windows: a block goes on to an engine when it holds so many.
        place: how a node can tell whether it sees the recordings; None looks at each alone.
    """

    def __init__(
        self, root: str, *, vad: bool, block_windows: int, place: Place | None = None
    ) -> None:
        self._storage = open_storage(root)
        self._place = place
        self._vad = vad
        self._block_windows = block_windows

    def __call__(self, references: pa.Table) -> Iterator[pa.Table]:
        """Yield tables of `UNIT_SCHEMA`; every reference gives at least one row.

        Raises:
            StorageError: this node does not see the recordings at all.
        """
        if self._place is not None:
            require_visible(self._place)
        rows: list[dict[str, Any]] = []
        for reference in references.to_pylist():
            for row in self._rows(reference):
                rows.append(row)
                if is_full(rows, self._block_windows):
                    yield pa.Table.from_pylist(rows, schema=UNIT_SCHEMA)
                    rows = []
        if rows:
            yield pa.Table.from_pylist(rows, schema=UNIT_SCHEMA)

    def _rows(self, reference: dict[str, Any]) -> Iterator[dict[str, Any]]:
        started = time.perf_counter()
        sent = 0
        try:
            for unit in open_units(self._storage, reference, vad=self._vad):
                now = time.perf_counter()
                yield unit_row(reference, unit, now - started)
                sent, started = sent + 1, time.perf_counter()
        except RecordingError as error:
            yield failure_row(reference, error, sent, time.perf_counter() - started)
        except Exception as error:  # noqa: BLE001 - one recording never decides the fate of another
            unknown = UnreadableError(f"'{reference['path']}': {type(error).__name__}: {error}")
            yield failure_row(reference, unknown, sent, time.perf_counter() - started)


def is_full(rows: list[dict[str, Any]], block_windows: int) -> bool:
    """Whether these units are work enough for one call of an engine."""
    windows = sum(len(row["windows"]) for row in rows)
    audio = sum(len(row["samples"]) for row in rows)
    return max(windows, len(rows)) >= block_windows or audio >= BLOCK_SAMPLES_BYTES


def open_units(storage: Storage, reference: dict[str, Any], *, vad: bool) -> Iterator[Unit]:
    """The units of one recording.

    Raises:
        RecordingError: whatever keeps it from being read, with the class that its row gets.
    """
    path = reference["path"]
    try:
        with storage.open(path) as file:
            yield from read_units(whole(file, reference["size_bytes"]), path, vad=vad)
    except NotFoundError as error:
        raise VanishedError(f"'{path}' was listed, but cannot be found now: {error}") from error
    except (AccessDeniedError, PermissionError) as error:
        raise PermissionDeniedError(f"'{path}' may not be read: {error}") from error
    except (StorageError, OSError) as error:
        raise RecordingStorageError(f"'{path}' could not be read: {error}") from error


def whole(file: BinaryIO, size_bytes: int) -> BinaryIO:
    """The file in memory if it is small: one request to a bucket instead of many."""
    return io.BytesIO(file.read()) if size_bytes <= WHOLE_BYTES else file


def unit_row(reference: dict[str, Any], unit: Unit, read_s: float) -> dict[str, Any]:
    """A row of `UNIT_SCHEMA` for a unit."""
    return {
        **reference,
        "unit": unit.index,
        "last": unit.last,
        "windows": [{"start": span.start, "end": span.end} for span in unit.windows],
        "samples": unit.samples.tobytes(),
        "decoded_samples": unit.decoded_samples,
        "speech_samples": unit.speech_samples,
        "warnings": list(unit.warnings),
        "error_class": None,
        "error": None,
        "read_s": read_s,
    }


def failure_row(
    reference: dict[str, Any], error: RecordingError, unit: int, read_s: float
) -> dict[str, Any]:
    """A row of `UNIT_SCHEMA` for a recording that could not be read (any further)."""
    return {
        **reference,
        "unit": unit,
        "last": True,
        "windows": [],
        "samples": b"",
        "decoded_samples": 0,
        "speech_samples": 0,
        "warnings": [],
        "error_class": error.error_class,
        "error": str(error),
        "read_s": read_s,
    }
