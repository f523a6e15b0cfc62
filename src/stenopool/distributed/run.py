"""The main flow: list, plan, read and decode, transcribe, commit, publish, deliver."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from stenopool.catalog import open_catalog
from stenopool.catalog.engine import patiently
from stenopool.catalog.ledger import Done, Ledger
from stenopool.catalog.parts import PartStore
from stenopool.distributed.planning import make_plan, retry_plan, transcript_key, without_units
from stenopool.distributed.reporting import Tally, keep_report
from stenopool.distributed.requesting import (
    check,
    interrupted_run,
    kept_request,
    lease_name,
    new_run_id,
    source_text,
)
from stenopool.distributed.sampling import Sampled
from stenopool.errors import RunFailedError, StenopoolError
from stenopool.model import RunRecord
from stenopool.processes import ProcessId

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from stenopool.catalog import Catalog
    from stenopool.catalog.leases import Lease
    from stenopool.distributed.collecting import Collector
    from stenopool.distributed.passes import Passes
    from stenopool.distributed.planning import Listing, Plan
    from stenopool.distributed.requesting import Job, Request
    from stenopool.distributed.transcribing import Work
    from stenopool.model import FileRef
    from stenopool.settings import Settings

Phase = Literal["listing", "starting", "transcribing", "publishing", "delivering", "ended"]


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
        job = check(request, settings, catalog)
        record = interrupted_run(catalog, job) or RunRecord(
            run_id=new_run_id(),
            source=source_text(job.source),
            target=str(job.target),
            state="running",
            options=request.options.canonical_json(),
            started_at=datetime.now(UTC),
        )
        with catalog.holding(lease_name(job), record.run_id) as lease:
            run = open_run(job, settings, catalog, record, lease)
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


def open_run(
    job: Job, settings: Settings, catalog: Catalog, record: RunRecord, lease: Lease
) -> Run:
    """Open a run, or open it again under its own name where it was interrupted."""
    replaces = job.request.overwrite or job.request.retried is not None
    ledger = Ledger(
        catalog,
        job.target,
        record.run_id,
        live=job.request.live,
        replace=replaces,
        is_mine=lease.is_mine,
    )
    process = ProcessId.current()
    details = {**record.details, "host": process.host, "pid": process.pid}
    details |= {"process_started": process.started, "request": kept_request(job)}
    if job.delivery is not None:
        details |= {"destination": job.delivery.shown}
    record = replace(record, state="running", ended_at=None, error=None, details=details)
    catalog.save_run(record)
    store = PartStore(settings.warehouse, job.target, record.run_id)
    return Run(job, settings, catalog, ledger, store, record)


@dataclass
class Run:
    """One run under way: its record, its ledger and what is left to do."""

    job: Job
    settings: Settings
    catalog: Catalog
    ledger: Ledger
    store: PartStore
    record: RunRecord

    def __post_init__(self) -> None:
        self._started = time.monotonic() - self.record.wall_s
        self._progress = Progress(phase="listing", run=self.record)
        self._plan: Plan | None = None
        self._planned: float | None = None
        self._tally = Tally.of(self.record.details.get("report"))
        self._failures: Counter[str] = Counter()

    def make_plan(self, on_progress: Callable[[Progress], None]) -> None:
        """List the source and leave out what has a transcript."""
        request, job = self.job.request, self.job
        key = transcript_key(job.source, job.model, request.options)
        own = self._count_own()

        def on_listed(listed: int) -> None:
            self._move(on_progress, phase="listing", listed=listed)

        if request.retried is not None:
            rows = self.ledger.failures(request.retried, request.classes)
            plan = retry_plan(rows, own=own.ids)
        else:
            plan = make_plan(
                self._listing(key),
                key,
                done=None if request.overwrite else self.ledger.published_ids(),
                own=own.ids,
                limit=request.limit,
                on_listed=on_listed,
            )
        self._plan, self._planned = plan, time.monotonic()
        self._progress = replace(
            self._progress, total=len(plan), total_bytes=plan.size_bytes, resumed=plan.resumed
        )
        self._move(on_progress, phase="starting", listed=plan.listed, skipped=plan.skipped)

    def _listing(self, key: Callable[[FileRef], str]) -> Listing:
        """The recordings that the run is about: the source's, or a sample of them.

        The transcript ids of a sample are kept with the run: they find its rows.
        """
        sample = self.job.request.sample
        if sample is None:
            return self.job.source
        sampled = Sampled(self.job.source, sample)
        details = {**self.record.details, "sample": [key(file) for file in sampled.list()]}
        self.record = replace(self.record, details=details)
        return sampled

    def _count_own(self) -> Done:
        """Count what the run did before it was interrupted."""
        own = self.ledger.own()
        self._failures = Counter(own.failed)
        self.record = replace(
            self.record, done=own.transcribed, failed=own.failed.total(), audio_s=own.audio_s
        )
        return own

    def transcribe(self, on_progress: Callable[[Progress], None]) -> None:
        """Send what is planned through the pipeline; commit every few seconds.

        What has no row after that, because a process or a node died with it, is done again one
        by one; what has none then is done alone, in a process with limits.
        """
        if not self._plan:
            return
        # Ray takes seconds to import and to start; a run with nothing to do needs neither.
        from stenopool.distributed.cluster import connected
        from stenopool.distributed.collecting import Collector
        from stenopool.distributed.passes import ATTEMPTS, Passes

        with connected(self.settings.ray_address):
            collector = Collector(self.ledger, self.store, self._tally)
            collector.resume()
            passes = Passes(self._work(), self.job.source, self.settings, self._tally)
            left = self._plan.references
            for attempt in ATTEMPTS:
                self._tally.tried(attempt, len(left))
                references = without_units(left, collector.units_done())
                self._take(passes, references, attempt, collector, on_progress)
                before, left = len(left), self._left(left)
                if not len(left):
                    break
                if len(left) == before and attempt == ATTEMPTS[0]:
                    passes.require_one(left)
        if len(left):
            raise RunFailedError(
                f"{len(left)} of {len(self._plan)} recordings have no row, such as "
                f"'{left['path'][0]}'; the same command again goes on"
            )

    def _take(
        self,
        passes: Passes,
        references: pa.Table,
        attempt: int,
        collector: Collector,
        on_progress: Callable[[Progress], None],
    ) -> None:
        """Commit what comes of one try, until nothing comes any more."""
        parts = passes.parts(references, attempt)
        try:
            for table in parts:
                if table is not None:
                    self._tally.add(table)
                    self._advance(collector.add(table))
                self._move(on_progress, phase="transcribing")
                if collector.commit_if_due():
                    self._save()
        finally:
            parts.close()
            collector.commit(here=True)

    def _left(self, references: pa.Table) -> pa.Table:
        """The recordings that have no row, whoever wrote it."""
        import pyarrow as pa

        ids = references["transcript_id"]
        held = self.ledger.own().ids.holds(ids)
        if self.job.request.live:
            theirs = self.ledger.published_ids().holds(ids) & ~held
            count = int(theirs.sum())
            self.record = replace(self.record, skipped=self.record.skipped + count)
            self._progress = replace(self._progress, total=self._progress.total - count)
            held |= theirs
        return references.filter(pa.array(~held))

    def _work(self) -> Work:
        from stenopool.distributed.transcribing import Work

        return Work(
            run_id=self.record.run_id,
            source=self.job.source.name,
            options=self.job.request.options,
            settings=self.settings,
            model=self.job.model,
        )

    def _advance(self, rows: pa.Table) -> None:
        self._tally.add_rows(rows)
        classes = [name for name in rows["error_class"].to_pylist() if name is not None]
        self._failures.update(classes)
        record = self.record
        self.record = replace(
            record,
            done=record.done + rows.num_rows - len(classes),
            failed=record.failed + len(classes),
            audio_s=record.audio_s + sum(value or 0.0 for value in rows["duration_s"].to_pylist()),
        )
        done_bytes = self._progress.done_bytes + sum(rows["size_bytes"].to_pylist())
        self._progress = replace(self._progress, done_bytes=done_bytes)

    def publish(self, on_progress: Callable[[Progress], None]) -> None:
        """Show the rows to the table's readers, in one commit."""
        if self.ledger.has_branch():
            self._move(on_progress, phase="publishing")
        self.ledger.publish()
        self.store.clear()

    def deliver(self, on_progress: Callable[[Progress], None]) -> None:
        """Bring the rows to where the request wants them, if that is no table of the catalog."""
        delivery = self.job.delivery
        if delivery is None:
            return
        self._move(on_progress, phase="delivering")
        table, run_id = self.ledger.table.refresh(), self.record.run_id
        delivered = delivery.deliver(table, run_id, overwrite=self.job.request.overwrite)
        details = {**self.record.details, "delivered": delivered}
        self.record = replace(self.record, details=details)

    def finish(self, on_progress: Callable[[Progress], None]) -> None:
        """Close a run of which nothing is left to do.

        Raises:
            RunFailedError: it cannot account for every recording.
        """
        record, progress = self.record, self._progress
        known = progress.resumed + progress.total + record.skipped
        if known != record.listed:
            raise RunFailedError(
                f"run {record.run_id} listed {record.listed:,} recordings and can account for "
                f"{known:,}; the rows that it has are kept"
            )
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
        self._save()
        keep_report(self.catalog, self.job.target, self.record)

    def _save(self) -> None:
        report = self._tally.report()
        failures = dict(self._failures)
        details = {**self.record.details, "failed_by_class": failures, "report": report}
        self.record = replace(self.record, details=details)
        patiently(lambda: self.catalog.save_run(self.record))

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
