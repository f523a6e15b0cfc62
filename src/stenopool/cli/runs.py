"""`stenopool runs` and `stenopool show`: what was transcribed when, and how it went."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from stenopool.cli import console
from stenopool.cli.options import AsJson
from stenopool.errors import InvalidNameError, NotFoundError
from stenopool.settings import Settings

if TYPE_CHECKING:
    from stenopool.catalog import Catalog
    from stenopool.model import RunRecord

LAST = "last"
GONE = "its process ended before the run did; the same command goes on from there"


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
    from stenopool.distributed.run import is_alive

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
        ("started", f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("ended", f"{run.ended_at:%Y-%m-%d %H:%M:%S} UTC" if run.ended_at else "not yet"),
        ("error", run.error),
        ("options", chosen),
    ]
    return [(name, value) for name, value in fields if value is not None]


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
