"""CPU tasks of a run: open the recordings, decode them and cut them into units."""

from __future__ import annotations

import io
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pyarrow as pa

from stenopool.audio import read_units
from stenopool.distributed.confining import guard, limited_memory
from stenopool.distributed.visibility import require_visible
from stenopool.errors import (
    AccessDeniedError,
    NotFoundError,
    OutOfMemoryError,
    PermissionDeniedError,
    RecordingError,
    RecordingStorageError,
    StenopoolError,
    StorageError,
    UnreadableError,
    VanishedError,
)
from stenopool.storage import Storage, open_storage
from stenopool.storage.retrying import PersistentReader, persistently, tries_again

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stenopool.distributed.visibility import Place
    from stenopool.model import Span, Unit
    from stenopool.settings import Settings

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
        ("speech", pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64())]))),
        ("warnings", pa.list_(pa.string())),
        ("error_class", pa.string()),
        ("error", pa.string()),
        ("read_s", pa.float64()),
        ("storage_retries", pa.int32()),
    ]
)
"""One row a unit; a recording that cannot be read is one row with its error and no audio.

`samples` are int16 at 16 kHz, the windows' audio one after another; `speech` is null without VAD.
"""

RUN_FAILED = "run"
"""The `error_class` of a row that is no recording's: the text is why the run cannot go on.

An exception would not do: those of workers are taken for a recording's, which is tried again.
"""

READ_DEADLINE_S = 40.0
"""How long a read of a recording is tried again (s); the storage is asked whether it is there."""

GONE_DEADLINE_S = 15.0
"""How long a storage that fails may take to show that it is there at all (s)."""

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
        settings: how long reading may stand still, and how much memory it may take.
        place: how a node can tell whether it sees the recordings; None looks at each alone.
    """

    def __init__(
        self,
        root: str,
        *,
        vad: bool,
        block_windows: int,
        settings: Settings,
        place: Place | None = None,
    ) -> None:
        self._storage = open_storage(root)
        self._place = place
        self._vad = vad
        self._block_windows = block_windows
        self._settings = settings

    def __call__(self, references: pa.Table) -> Iterator[pa.Table]:
        """Yield tables of `UNIT_SCHEMA`; every reference gives at least one row.

        A reference with `units_done` gives its other units alone. Where this node does not see
        the recordings, or their storage is gone, the last row is one of `RUN_FAILED`.
        """
        # Ray gives the process to other tasks afterwards, also to those of a user's own script.
        with limited_memory(self._settings.recording_bytes):
            yield from self._blocks(references)

    def _blocks(self, references: pa.Table) -> Iterator[pa.Table]:
        rows: list[dict[str, Any]] = []
        asked = references.to_pylist()
        try:
            if self._place is not None:
                require_visible(self._place)
            for reference in asked:
                for row in self._rows(reference):
                    rows.append(row)
                    if is_full(rows, self._block_windows):
                        yield pa.Table.from_pylist(rows, schema=UNIT_SCHEMA)
                        rows = []
        except StenopoolError as error:
            rows.append(stop_row(asked[0], error))
        if rows:
            yield pa.Table.from_pylist(rows, schema=UNIT_SCHEMA)

    def _rows(self, reference: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """A recording's units, or its failure.

        Raises:
            StorageError: the storage is gone, not only this recording.
        """
        started = time.perf_counter()
        done, index = set(reference.pop("units_done", None) or ()), 0
        retries = tries_again()
        try:
            for unit in self._watched(reference):
                now = time.perf_counter()
                if unit.index not in done:
                    row = unit_row(reference, unit, now - started)
                    yield row | {"storage_retries": tries_again() - retries}
                    started, retries = time.perf_counter(), tries_again()
                index = unit.index + 1
        except RecordingError as error:
            if isinstance(error, RecordingStorageError):
                require_there(self._storage, error)
            row = failure_row(reference, error, index, time.perf_counter() - started)
            yield row | {"storage_retries": tries_again() - retries}
        except MemoryError:
            wanted = OutOfMemoryError(f"'{reference['path']}': reading it takes too much memory")
            yield failure_row(reference, wanted, index, time.perf_counter() - started)
        except Exception as error:  # noqa: BLE001 - one recording never decides the fate of another
            unknown = UnreadableError(f"'{reference['path']}': {type(error).__name__}: {error}")
            yield failure_row(reference, unknown, index, time.perf_counter() - started)

    def _watched(self, reference: dict[str, Any]) -> Iterator[Unit]:
        """The units; this process is killed where one of them comes to no end."""
        units = open_units(self._storage, reference, vad=self._vad)
        while True:
            # Not while the unit is in others' hands: they may wait for an engine.
            with guard().within(self._settings.stall_s):
                unit = next(units, None)
            if unit is None:
                return
            yield unit


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
        with opened(storage, path, reference["size_bytes"]) as file:
            yield from read_units(file, path, vad=vad)
    except NotFoundError as error:
        raise VanishedError(f"'{path}' was listed, but cannot be found now: {error}") from error
    except (AccessDeniedError, PermissionError) as error:
        raise PermissionDeniedError(f"'{path}' may not be read: {error}") from error
    except (StorageError, OSError) as error:
        raise RecordingStorageError(f"'{path}' could not be read: {error}") from error


def opened(storage: Storage, path: str, size_bytes: int) -> BinaryIO:
    """The recording's bytes; a small one in one request and in memory, a long one as a stream.

    Raises:
        VanishedError: other bytes are there than when it was listed.
        StorageError: the storage failed until the deadline.
    """
    if size_bytes > WHOLE_BYTES:
        # What arrives slowly moves all the same.
        beat = guard().beat
        stream = PersistentReader(storage, path, deadline_s=READ_DEADLINE_S, on_read=beat)
        return cast("BinaryIO", stream)

    def read() -> bytes:
        with storage.open(path) as file:
            return file.read(size_bytes + 1)  # no more: what lies there may have grown

    content = persistently(read, deadline_s=READ_DEADLINE_S)
    if len(content) != size_bytes:
        raise VanishedError(
            f"'{path}' was listed with {size_bytes:,} bytes and has other ones now: it was changed "
            "meanwhile; the next run takes it as it is then"
        )
    return io.BytesIO(content)


def require_there(storage: Storage, error: StenopoolError) -> None:
    """Check that a storage answers at all, after it has failed for one recording.

    Raises:
        StorageError: it does not.
    """
    try:
        persistently(lambda: next(storage.list(), None), deadline_s=GONE_DEADLINE_S)
    except (StenopoolError, OSError) as second:
        raise StorageError(
            f"the storage of the recordings is gone: {second} (noticed when {error})"
        ) from second


def unit_row(reference: dict[str, Any], unit: Unit, read_s: float) -> dict[str, Any]:
    """A row of `UNIT_SCHEMA` for a unit."""
    return {
        **reference,
        "unit": unit.index,
        "last": unit.last,
        "windows": span_rows(unit.windows),
        "samples": unit.samples.tobytes(),
        "decoded_samples": unit.decoded_samples,
        "speech_samples": unit.speech_samples,
        "speech": span_rows(unit.speech),
        "warnings": list(unit.warnings),
        "error_class": None,
        "error": None,
        "read_s": read_s,
        "storage_retries": 0,
    }


def span_rows(spans: Sequence[Span] | None) -> list[dict[str, int]] | None:
    """Spans as rows have them."""
    return None if spans is None else [asdict(span) for span in spans]


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
        "speech": None,
        "warnings": [],
        "error_class": error.error_class,
        "error": str(error),
        "read_s": read_s,
        "storage_retries": 0,
    }


def stop_row(reference: dict[str, Any], error: StenopoolError) -> dict[str, Any]:
    """A row of `UNIT_SCHEMA` that tells the driver why the run cannot go on."""
    known = {name: reference[name] for name in ("path", "size_bytes", "etag", "transcript_id")}
    row = failure_row(known, RecordingError(str(error)), 0, 0.0)
    return row | {"error_class": RUN_FAILED}
