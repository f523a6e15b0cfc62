"""`stenopool runs` and `stenopool show`: what was transcribed when, and how it went."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stenopool.cli import console
from stenopool.cli.options import AsJson
from stenopool.errors import InvalidNameError, NotFoundError
from stenopool.settings import Settings

if TYPE_CHECKING:
    from stenopool.catalog import Catalog
    from stenopool.model import RunRecord

LAST = "last"

OnCluster = Annotated[
    str | None,
    typer.Option(
        "--cluster", help="A name of `stenopool cluster list`, or the address of a Ray head."
    ),
]
GONE = "its process ended before the run did; the same command or `stenopool resume` goes on"


def runs(
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the runs, the newest first."""
    from stenopool.catalog import open_catalog

    with open_catalog(Settings.from_env()) as catalog:
        found = [as_it_is(run) for run in catalog.runs()[:limit]]
    if as_json:
        console.print_json([as_answer(run) for run in found])
    elif found:
        console.print_table(
            ("run", "state", "table", "recordings", "failed", "audio", "speed", "started (UTC)"),
            [row_of(run) for run in found],
        )
    else:
        console.tell("no run yet; `stenopool transcribe SOURCE --to TABLE` makes one")


def show(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id or the start of one, or `last`.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show what one run did, how fast, and what failed."""
    from stenopool.catalog import open_catalog

    with open_catalog(Settings.from_env()) as catalog:
        found = as_it_is(find_run(run, catalog))
    if as_json:
        console.print_json(as_answer(found))
    else:
        console.print_fields(fields_of(found))


def resume(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id or the start of one, or `last`.")
    ] = LAST,
    cluster: OnCluster = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that was interrupted or failed; what it did is not done again."""
    from stenopool.cli.transcribe import finish
    from stenopool.distributed.requesting import request_of

    settings, found = taken_up(run, cluster)
    if found.state == "succeeded":
        console.tell(f"run {found.run_id} has ended well; there is nothing to go on with")
        return
    finish(request_of(found), settings, as_json=as_json)


def retry(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id or the start of one, or `last`.")
    ],
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="Only failures of this class, such as storage; repeatable."),
    ] = None,
    cluster: OnCluster = None,
    as_json: AsJson = False,
) -> None:
    """Do the failed recordings of a run again, and only these; the new rows replace theirs."""
    from stenopool.cli.transcribe import finish
    from stenopool.distributed.requesting import retry_of

    settings, found = taken_up(run, cluster)
    finish(retry_of(found, tuple(classes or ())), settings, as_json=as_json)


def taken_up(text: str, cluster: str | None) -> tuple[Settings, RunRecord]:
    """The run that is named, and the settings for doing it on a cluster.

    Raises:
        UsageError: there is no such run or cluster.
    """
    from stenopool.catalog import open_catalog
    from stenopool.cli.transcribe import on_cluster

    settings = on_cluster(Settings.from_env(), cluster)
    with open_catalog(settings) as catalog:
        return settings, find_run(text, catalog)


def find_run(text: str, catalog: Catalog) -> RunRecord:
    """The run of that id, the only one whose id starts so, or the last one.

    Raises:
        NotFoundError: there is none.
        InvalidNameError: several ids start so.
    """
    if text == LAST:
        newest = catalog.runs()
        if not newest:
            raise NotFoundError("there is no run yet; `stenopool transcribe` makes one")
        return newest[0]
    alike = [run for run in catalog.runs() if text and run.run_id.startswith(text)]
    if len(alike) == 1:
        return alike[0]
    if alike and all(run.run_id != text for run in alike):
        some = ", ".join(run.run_id for run in alike[:3])
        raise InvalidNameError(f"{len(alike)} runs start with {text!r}, such as {some}")
    return catalog.run(text)


def as_it_is(run: RunRecord) -> RunRecord:
    """The run, as stopped where its process went away without a word."""
    from stenopool.distributed.requesting import is_alive

    if run.state == "running" and not is_alive(run):
        return replace(run, state="stopped", error=run.error or GONE)
    return run


def as_answer(run: RunRecord) -> dict[str, object]:
    """A run as JSON shows it."""
    options = json.loads(run.options)
    return asdict(run) | {
        "options": options,
        "recordings": run.recordings,
        "speed": run.speed,
    }


def row_of(run: RunRecord) -> tuple[object, ...]:
    """A run as the list shows it."""
    return (
        run.run_id,
        run.state,
        run.target,
        run.recordings,
        run.failed,
        console.clock(run.audio_s),
        f"{run.speed:.1f}",
        run.started_at,
    )


def fields_of(run: RunRecord) -> list[tuple[str, object]]:
    """A run as `show` prints it."""
    options = json.loads(run.options)
    chosen = ", ".join(f"{name} {value}" for name, value in options.items() if value is not None)
    fields: list[tuple[str, object]] = [
        ("run", run.run_id),
        ("state", run.state),
        ("source", run.source),
        ("table", run.target),
        ("recordings", counts_of(run)),
        ("failed", failures_of(run)),
        ("audio", console.clock(run.audio_s)),
        ("took", console.clock(run.wall_s)),
        ("speed", f"{run.speed:.1f} seconds of audio a second"),
        *report_fields(run.details.get("report", {})),
        ("started", f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("ended", f"{run.ended_at:%Y-%m-%d %H:%M:%S} UTC" if run.ended_at else "not yet"),
        ("error", run.error),
        ("options", chosen),
    ]
    return [(name, value) for name, value in fields if value is not None]


def report_fields(report: dict[str, Any]) -> list[tuple[str, object]]:
    """A run's report as `show` prints it; nothing for one that transcribed nothing."""
    if not report.get("engine_capacity_s"):
        return []
    tries = report.get("tries", {})
    again = [
        f"{console.plural(report['storage_retries'], 'read')} tried again",
        f"{tries.get('2', 0):,} recordings done again one by one",
        f"{tries.get('3', 0):,} alone",
        f"{console.plural(report['nodes_lost'], 'node')} lost",
    ]
    read_s, engine_s = console.clock(report["read_s"]), console.clock(report["engine_s"])
    read, written = console.size(report["read_bytes"]), console.size(report["written_bytes"])
    warned = console.plural(report.get("warned", 0), "transcript")
    return [
        ("warnings", f"on {warned}; the table's column warnings says why"),
        ("held up by", report["bottleneck"]),
        ("work", f"reading {read_s}, engines {engine_s} (of all workers together)"),
        ("speech", console.clock(report["speech_s"])),
        ("bytes", f"{read} read, {written} written"),
        ("repeats", ", ".join(again)),
        ("longest", _named(report["longest"])),
        ("slowest", _named(report["slowest"])),
    ]


def _named(pairs: list[tuple[str, float]]) -> str:
    """The first few recordings with their seconds."""
    return ", ".join(f"{path} ({console.clock(seconds)})" for path, seconds in pairs[:3])


def counts_of(run: RunRecord) -> str:
    """How many recordings there were, and what became of them."""
    return (
        f"{run.listed:,} listed, {run.skipped:,} skipped because they have a transcript, "
        f"{run.done:,} transcribed, {run.failed:,} failed"
    )


def failures_of(run: RunRecord) -> str | None:
    """The failures by class, the most frequent first; None where nothing failed."""
    by_class: dict[str, int] = run.details.get("failed_by_class", {})
    ordered = sorted(by_class.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{count:,} {name}" for name, count in ordered) or None
