"""The main flow: list, plan, read and decode, transcribe, commit, publish, deliver."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import psutil

from stenopool.asr import describe_model
from stenopool.catalog import open_catalog, resolve_source
from stenopool.catalog.ledger import Ledger
from stenopool.distributed.addressing import delivery_to, table_of
from stenopool.distributed.planning import make_plan, transcript_key
from stenopool.errors import RunFailedError, StenopoolError
from stenopool.model import RunRecord, TranscribeOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import pyarrow as pa

    from stenopool.catalog import Catalog, ObjectName, Source
    from stenopool.distributed.delivering import Delivery
    from stenopool.distributed.planning import Recording
    from stenopool.model import ModelInfo
    from stenopool.settings import Settings

Phase = Literal["listing", "starting", "transcribing", "publishing", "delivering", "ended"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks for.

    Attributes:
        source: `@STAGE/path`, a folder, a glob, or a URL.
        target: a table of the catalog, with one to three parts, or another destination; see
            `kind_of`. It may hold a password.
        options: everything that changes what a transcript says.
        patterns: shell wildcards; a file that matches one is taken; none takes all.
        overwrite: whether what has a transcript is transcribed again, replacing its row.
        limit: at most so many recordings; None for all.
    """

    source: str
    target: str
    options: TranscribeOptions = field(default_factory=TranscribeOptions)
    patterns: tuple[str, ...] = ()
    overwrite: bool = False
    limit: int | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is; handed to `on_progress` whenever something moved.

    Attributes:
        phase: what it is doing.
        run: the run's record so far; `listed`, `skipped`, `done`, `failed` and `audio_s` move.
        total: recordings to transcribe; 0 before the plan is made.
        total_bytes: their size.
        done_bytes: of these, with a row.
        resumed: recordings that were done before the run was interrupted.
        transcribing_s: wall-clock seconds since the plan was made.
    """

    phase: Phase
    run: RunRecord
    total: int = 0
    total_bytes: int = 0
    done_bytes: int = 0
    resumed: int = 0
    transcribing_s: float = 0.0


def transcribe(
    request: Request, settings: Settings, on_progress: Callable[[Progress], None] = lambda _: None
) -> RunRecord:
    """Turn a source's recordings into rows of a table; the main flow.

    Raises:
        UsageError: the request names something that is not there; nothing was started.
        RunFailedError: the run could not be finished; what it did is kept for the next try.
        KeyboardInterrupt: the run was stopped by hand; likewise.
    """
    with open_catalog(settings) as catalog:
        run = prepare(request, settings, catalog)
        try:
            run.make_plan(on_progress)
            run.transcribe(on_progress)
            run.publish(on_progress)
            run.deliver(on_progress)
            run.finish(on_progress)
        except BaseException as error:
            run.give_up(error)
            raise
        return run.record


def prepare(request: Request, settings: Settings, catalog: Catalog) -> Run:
    """Check everything that can be checked before work starts, and open the run.

    An interrupted run of the same request is taken up again under its own name.
    """
    delivery = delivery_to(request.target, settings, overwrite=request.overwrite)
    target = table_of(request.target, delivery, settings)
    source = resolve_source(request.source, request.patterns, catalog, settings)
    model = describe_model(request.options, settings)
    record = interrupted_run(catalog, request, source, target) or RunRecord(
        run_id=new_run_id(),
        source=source_text(source),
        target=str(target),
        state="running",
        options=request.options.canonical_json(),
        started_at=datetime.now(UTC),
    )
    ledger = Ledger(catalog, target, record.run_id)
    details = {**record.details, "host": socket.gethostname(), "pid": os.getpid()}
    details["process_started"] = psutil.Process().create_time()
    details |= {"overwrite": request.overwrite}
    if delivery is not None:
        details |= {"destination": delivery.shown}
    record = replace(record, state="running", ended_at=None, error=None, details=details)
    catalog.save_run(record)
    return Run(request, settings, catalog, source, model, ledger, record, delivery)


def source_text(source: Source) -> str:
    """The source as the list of runs shows it: its name, the path below it and the patterns."""
    below = "/".join(part for part in (source.name, source.prefix) if part)
    return " ".join(part for part in (below, source.glob, *source.patterns) if part)


def new_run_id() -> str:
    """An id that sorts by time and is not given twice."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def interrupted_run(
    catalog: Catalog, request: Request, source: Source, target: ObjectName
) -> RunRecord | None:
    """The newest run of the same request that ended early, if there is one."""
    for record in catalog.runs(target):
        same = record.source == source_text(source) and (
            record.options == request.options.canonical_json()
            and record.details.get("overwrite") == request.overwrite
        )
        if same and record.state != "succeeded" and not is_alive(record):
            return record
    return None


def is_alive(record: RunRecord) -> bool:
    """Whether the process of a run that says `running` may still be at it."""
    if record.state != "running":
        return False
    if record.details.get("host") != socket.gethostname():
        return True  # another machine's processes cannot be seen from here
    try:
        process = psutil.Process(record.details["pid"])
    except psutil.NoSuchProcess:
        return False
    # Another process may have its number by now; a run that went on is older than its process.
    started = record.details.get("process_started", record.started_at.timestamp())
    return bool(process.create_time() <= started)


@dataclass
class Run:
    """One run under way: its record, its ledger and what is left to do."""

    request: Request
    settings: Settings
    catalog: Catalog
    source: Source
    model: ModelInfo
    ledger: Ledger
    record: RunRecord
    delivery: Delivery | None = None

    def __post_init__(self) -> None:
        self._started = time.monotonic() - self.record.wall_s
        self._progress = Progress(phase="listing", run=self.record)
        self._recordings: tuple[Recording, ...] = ()
        self._planned: float | None = None
        self._own: set[str] = set()

    def make_plan(self, on_progress: Callable[[Progress], None]) -> None:
        """List the source and leave out what has a transcript."""
        own = self._own = self._count_own()
        done = set() if self.request.overwrite else self.ledger.published_ids()

        def on_listed(listed: int) -> None:
            self._move(on_progress, phase="listing", listed=listed)

        key = transcript_key(self.source, self.model, self.request.options)
        plan = make_plan(
            self.source, key, done=done, own=own, limit=self.request.limit, on_listed=on_listed
        )
        self._recordings, self._planned = plan.recordings, time.monotonic()
        self._progress = replace(
            self._progress,
            total=len(plan.recordings),
            total_bytes=plan.size_bytes,
            resumed=plan.resumed,
        )
        self._move(on_progress, phase="starting", listed=plan.listed, skipped=plan.skipped)

    def _count_own(self) -> set[str]:
        """Count what the run did before it was interrupted; gives the ids."""
        rows = self.ledger.own_rows()
        self.record = replace(self.record, done=0, failed=0, audio_s=0.0)
        self._failures: Counter[str] = Counter()
        self._count(rows)
        return set(rows["transcript_id"].to_pylist())

    def transcribe(self, on_progress: Callable[[Progress], None]) -> None:
        """Send what is planned through the pipeline; commit every few seconds."""
        if not self._recordings:
            return
        # Ray takes seconds to import and to start; a run with nothing to do needs neither.
        from stenopool.distributed.cluster import connected
        from stenopool.distributed.collecting import Collector

        with connected(self.settings.ray_address):
            collector = Collector(self.ledger)
            parts = self._parts()
            try:
                for table in parts:
                    if table is not None:
                        self._advance(collector.add(table))
                    self._move(on_progress, phase="transcribing")
                    if collector.commit_if_due():
                        self.catalog.save_run(self.record)
            finally:
                parts.close()
                collector.commit(here=True)
        self._check_complete(collector.unfinished)

    def _parts(self) -> Generator[pa.Table | None]:
        from stenopool.distributed.pipeline import cluster_layout, transcribed_parts
        from stenopool.distributed.transcribing import Work

        options = self.request.options
        layout = cluster_layout(options, self.settings)
        work = Work(
            run_id=self.record.run_id,
            source=self.source.name,
            options=options,
            settings=self.settings,
            device=layout.device,
            threads=layout.engine_threads,
        )
        return transcribed_parts(self._recordings, self.source, work, layout)

    def _advance(self, rows: pa.Table) -> None:
        self._count(rows)
        done_bytes = self._progress.done_bytes + sum(rows["size_bytes"].to_pylist())
        self._progress = replace(self._progress, done_bytes=done_bytes)

    def _count(self, rows: pa.Table) -> None:
        classes = [name for name in rows["error_class"].to_pylist() if name is not None]
        self._failures.update(classes)
        audio_s = sum(value or 0.0 for value in rows["duration_s"].to_pylist())
        record = self.record
        self.record = replace(
            record,
            done=record.done + rows.num_rows - len(classes),
            failed=record.failed + len(classes),
            audio_s=record.audio_s + audio_s,
            details={**record.details, "failed_by_class": dict(self._failures)},
        )

    def _check_complete(self, unfinished: int) -> None:
        """A run that cannot account for every recording has failed."""
        rows = self.ledger.own_rows().num_rows - len(self._own)
        if unfinished or rows != self._progress.total:
            raise RunFailedError(
                f"run {self.record.run_id} planned {self._progress.total} recordings and has "
                f"{rows} rows ({unfinished} are incomplete); the same command again goes on"
            )

    def publish(self, on_progress: Callable[[Progress], None]) -> None:
        """Show the rows to the table's readers, in one commit."""
        if self.ledger.has_branch():
            self._move(on_progress, phase="publishing")
        self.ledger.publish(replace=self.request.overwrite)

    def deliver(self, on_progress: Callable[[Progress], None]) -> None:
        """Bring the rows to where the request wants them, if that is no table of the catalog."""
        if self.delivery is None:
            return
        self._move(on_progress, phase="delivering")
        table, run_id = self.ledger.table.refresh(), self.record.run_id
        delivered = self.delivery.deliver(table, run_id, overwrite=self.request.overwrite)
        details = {**self.record.details, "delivered": delivered}
        self.record = replace(self.record, details=details)

    def finish(self, on_progress: Callable[[Progress], None]) -> None:
        """Close a run of which nothing is left to do."""
        self._end(state="succeeded", error=None)
        self._move(on_progress, phase="ended")

    def give_up(self, error: BaseException) -> None:
        """Close the run after an error or Ctrl-C; what it did stays in its branch."""
        stopped = isinstance(error, KeyboardInterrupt)
        try:
            self._end(state="stopped" if stopped else "failed", error=str(error) or None)
        except StenopoolError as second:
            error.add_note(f"and its end could not be written down: {second}")

    def _end(self, *, state: Literal["succeeded", "failed", "stopped"], error: str | None) -> None:
        wall_s = time.monotonic() - self._started
        self.record = replace(
            self.record, state=state, error=error, ended_at=datetime.now(UTC), wall_s=wall_s
        )
        self.catalog.save_run(self.record)

    def _move(
        self,
        on_progress: Callable[[Progress], None],
        *,
        phase: Phase,
        listed: int | None = None,
        skipped: int | None = None,
    ) -> None:
        record = replace(self.record, wall_s=time.monotonic() - self._started)
        if listed is not None:
            record = replace(record, listed=listed)
        if skipped is not None:
            record = replace(record, skipped=skipped)
        self.record = record
        spent = time.monotonic() - self._planned if self._planned else 0.0
        self._progress = replace(self._progress, phase=phase, run=record, transcribing_s=spent)
        on_progress(self._progress)
