"""Engine actors of a run: units of many recordings in, a row for each out."""

from __future__ import annotations

import math
import socket
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from stenopool.asr import load_engine
from stenopool.asr.languages import CLEARLY, FIRST_WINDOWS
from stenopool.asr.packing import transcribe_packed
from stenopool.asr.segments import retimed
from stenopool.catalog.transcripts import join_text, main_language, part_schema, with_flags
from stenopool.distributed.confining import guard, limit_memory
from stenopool.distributed.reading import RUN_FAILED
from stenopool.errors import OutOfMemoryError, RecordingEngineError, RecordingError, StenopoolError
from stenopool.model import SAMPLE_RATE, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stenopool.asr import Engine
    from stenopool.model import ModelInfo, Segment, TranscribeOptions, WindowResult
    from stenopool.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is the same for every row of a run; it travels to each actor once.

    Attributes:
        run_id: names the run.
        source: the source's name, such as `@DB.SCHEMA.STAGE`.
        options: everything that changes what a transcript says.
        settings: where models are.
        model: what the rows name.
        device: `cpu`, `cuda` or `auto`.
        threads: CPU threads of one engine.
        memory_bytes: that an engine on a CPU may take beside what its process had before.
        attempt: which try this is, from 1.
    """

    run_id: str
    source: str
    options: TranscribeOptions
    settings: Settings
    model: ModelInfo
    device: str = "cpu"
    threads: int = 1
    memory_bytes: int = 1 << 40
    attempt: int = 1


LOAD_S = 600.0
"""An engine may take so long, and a stall more, to load its model from a slow disk (s)."""

IDENTITY = ("path", "etag", "size_bytes", "transcript_id", "unit", "last")
"""Columns that go through an engine unchanged."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One unit after the engine: its results window by window, or the error."""

    results: tuple[WindowResult, ...] = ()
    error: RecordingError | None = None


class Transcriber:
    """An actor with one engine; called with tables of `UNIT_SCHEMA`.

    Args:
        work: what the run is about.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._why_not: str | None = None
        if work.device == "cpu":
            limit_memory(work.memory_bytes)
        try:
            with guard().within(LOAD_S + work.settings.stall_s):
                self._engine = load_engine(
                    work.options, work.settings, device=work.device, threads=work.threads
                )
        except StenopoolError as error:
            self._why_not = str(error)

    def __call__(self, units: pa.Table) -> pa.Table:
        """Transcribe units; gives one row of `part_schema` for each, in their order.

        Where the engine could not be loaded they are of `RUN_FAILED` and say why.
        """
        started = time.perf_counter()
        rows = units.to_pylist()
        if self._why_not is not None:
            why = {"error_class": RUN_FAILED, "error": self._why_not}
            known = [{name: row[name] for name in IDENTITY} for row in rows]
            return pa.Table.from_pylist([row | why for row in known], schema=part_schema())
        heard = self._hear_all(rows)
        spent = time.perf_counter() - started
        shares = share(spent, [row["speech_samples"] for row in rows])
        parts = [
            part(self._work, row, unit, wall_s)
            for row, unit, wall_s in zip(rows, heard, shares, strict=True)
        ]
        return pa.Table.from_pylist(parts, schema=part_schema())

    def _hear_all(self, rows: list[dict[str, Any]]) -> list[Heard]:
        """All units in batches together; if the engine fails, each alone, to find the culprit."""
        try:
            return self._hear(rows)
        except Exception as error:  # noqa: BLE001 - one recording never decides the fate of another
            if len(rows) > 1:
                return [heard for row in rows for heard in self._hear_all([row])]
            return [Heard(error=engine_failure(rows[0]["path"], error))]

    def _hear(self, rows: list[dict[str, Any]]) -> list[Heard]:
        windows = [unit_windows(row) for row in rows]
        options, stall_s = self._work.options, self._work.settings.stall_s
        languages = presumed_languages(self._engine, windows, options, stall_s=stall_s)
        flat = [window for unit in windows for window in unit]
        presumed = [code for unit, code in zip(windows, languages, strict=True) for _ in unit]
        read = partial(transcribe_in_batches, self._engine, options=options, stall_s=stall_s)
        if options.short_clips == "pack":
            found = transcribe_packed(lambda some: read(some, presumed=[None] * len(some)), flat)
        else:
            found = read(flat, presumed=presumed)
        results = iter(found)
        return [Heard(results=tuple(next(results) for _ in unit)) for unit in windows]


def part(work: Work, row: dict[str, Any], heard: Heard, wall_s: float) -> dict[str, Any]:
    """A row of `part_schema` for a row of `UNIT_SCHEMA` and what the engine made of it.

    Args:
        work: what the run is about.
        row: the unit.
        heard: what the engine made of it.
        wall_s: how long that took (s), without the reading.
    """
    made = {
        **{name: row[name] for name in (*IDENTITY, "speech", "error_class", "error")},
        **spoken_columns(row, heard, translated=work.options.task == "translate"),
        "duration_s": row["decoded_samples"] / SAMPLE_RATE,
        "speech_s": row["speech_samples"] / SAMPLE_RATE,
        "source": work.source,
        "model": work.model.name,
        "model_revision": work.model.revision,
        "engine": work.options.engine,
        "options": work.options.canonical_json(),
        "run_id": work.run_id,
        "node": socket.gethostname(),
        "attempts": work.attempt,
        "wall_s": wall_s + row["read_s"],
        "read_s": row["read_s"],
        "storage_retries": row["storage_retries"],
        "transcribed_at": datetime.now(UTC),
    }
    is_recording = made["unit"] == 0 and made["last"] and made["error_class"] is None
    # Those of a recording in several units are made when it is whole.
    return with_flags(made, made["speech"]) if is_recording else made


def unit_windows(row: dict[str, Any]) -> list[NDArray[np.float32]]:
    """The windows of a row of `UNIT_SCHEMA`: float32, shape (n,), range [-1, 1], 16 kHz."""
    samples = np.frombuffer(row["samples"], np.int16).astype(np.float32) / 32768
    ends = np.cumsum([window["end"] - window["start"] for window in row["windows"]])
    return np.split(samples, ends[:-1]) if len(ends) else []


def presumed_languages(
    engine: Engine,
    units: Sequence[Sequence[NDArray[np.float32]]],
    options: TranscribeOptions,
    *,
    stall_s: float,
) -> list[str | None]:
    """What each unit seems to speak; see `stenopool.asr.languages`.

    None where the options say it, and for a unit of one window, which is asked when it is
    transcribed. Where a look takes longer than `stall_s` a window, the process is killed.
    """
    best: list[tuple[str | None, float]] = [(None, 0.0)] * len(units)
    for number in range(FIRST_WINDOWS if options.language is None else 0):
        unclear = [
            i for i, unit in enumerate(units) if len(unit) > max(number, 1) and best[i][1] < CLEARLY
        ]
        if not unclear:
            break
        windows = [units[i][number] for i in unclear]
        with guard().within(stall_s * (1 + len(windows))):
            found = engine.detect_languages(windows, options.languages)
        for i, heard in zip(unclear, found, strict=True):
            best[i] = max(best[i], heard, key=lambda one: one[1])
    return [language for language, _ in best]


def transcribe_in_batches(
    engine: Engine,
    windows: Sequence[NDArray[np.float32]],
    options: TranscribeOptions,
    presumed: Sequence[str | None],
    *,
    stall_s: float,
) -> list[WindowResult]:
    """The results of all windows in order; windows of like length share a batch.

    Where a batch takes longer than `stall_s` for each of its windows, the process is killed.
    """
    order = sorted(range(len(windows)), key=lambda i: len(windows[i]))
    results: dict[int, WindowResult] = {}
    for start in range(0, len(order), engine.max_batch):
        batch = order[start : start + engine.max_batch]
        with guard().within(stall_s * (1 + len(batch))):
            found = engine.transcribe(
                [windows[i] for i in batch], options, [presumed[i] for i in batch]
            )
        results.update(zip(batch, found, strict=True))
    return [results[i] for i in range(len(windows))]


def spoken_columns(row: dict[str, Any], heard: Heard, *, translated: bool) -> dict[str, Any]:
    """The columns that the engine fills: texts, times in the recording, language, warnings."""
    if row["error_class"] is not None or heard.error is not None:
        failure = {} if heard.error is None else failure_columns(heard.error)
        return {"text": None, "segments": [], "warnings": row["warnings"], **failure}
    spans = [Span(window["start"], window["end"]) for window in row["windows"]]
    segments = [
        replace(shifted(segment, span), language=result.language)
        for span, result in zip(spans, heard.results, strict=True)
        for segment in result.segments
    ]
    # A window in which nothing is said has a language by chance.
    language, probability = main_language(
        (result.language, result.language_probability, span.samples if result.segments else 0)
        for span, result in zip(spans, heard.results, strict=True)
    )
    warnings = [text for result in heard.results for text in result.warnings]
    return {
        "text": join_text(
            ((segment.text, segment.language) for segment in segments), translated=translated
        ),
        "segments": [asdict(segment) for segment in segments],
        "language": language,
        "language_probability": probability,
        "warnings": [*row["warnings"], *dict.fromkeys(warnings)],
    }


def engine_failure(path: str, error: Exception) -> RecordingError:
    """What an engine's error means for the recording that it was alone with."""
    if isinstance(error, RecordingError):
        return error
    text = f"'{path}': {type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or "out of memory" in str(error):  # as CUDA says it
        return OutOfMemoryError(text)
    return RecordingEngineError(text)


def failure_columns(error: RecordingError) -> dict[str, Any]:
    """The columns of a recording on which the engine failed; no further unit counts."""
    return {"error_class": error.error_class, "error": str(error), "last": True}


def shifted(segment: Segment, span: Span) -> Segment:
    """A segment of a window with its times counted from the start of the recording."""

    def placed(seconds: float) -> float:
        # Whole milliseconds, so that windows that touch give times that touch; the one before, so
        # that none lies behind the recording; and what binary leaves of 0.02 is no millisecond.
        return math.floor((span.start / SAMPLE_RATE + seconds) * 1_000 + 0.001) / 1_000

    return retimed(segment, placed)


def share(total_s: float, weights: Sequence[int]) -> list[float]:
    """A batch's wall-clock seconds dealt out by weight; evenly where there is none."""
    whole = sum(weights)
    if not whole:
        return [total_s / max(1, len(weights))] * len(weights)
    return [total_s * weight / whole for weight in weights]
