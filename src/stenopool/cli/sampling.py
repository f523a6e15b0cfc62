"""What a sample says before a long run: how long all of it would take, and how good it would be."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stenopool.cli import console
from stenopool.cli.score import COLUMNS, answer, compared, rate_lines
from stenopool.cli.table_rows import newest_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stenopool.cli.score import Found
    from stenopool.distributed.requesting import Request, Sample
    from stenopool.distributed.sampling import Forecast
    from stenopool.model import RunRecord
    from stenopool.settings import Settings


def show_sample(
    request: Request, sample: Sample, record: RunRecord, settings: Settings, *, as_json: bool
) -> None:
    """Say what became of the sample, what the rest would take, and how many words are wrong."""
    from stenopool.cli.transcribe import show_result
    from stenopool.distributed.sampling import forecast

    rest = forecast(request, settings, record)
    found = None if sample.reference is None else scored(sample.reference, record, settings)
    if as_json:
        quality = None if found is None else answer(found, worst=0)
        console.print_json(asdict(record) | {"rest": asdict(rest), "score": quality})
        return
    show_result(record)
    console.say()
    size = len(record.details["sample"])
    console.say(
        f"a sample of {console.plural(size, 'recording')}, chosen at random (seed {sample.seed}):"
    )
    for line in [*quality_lines(found), *rest_lines(rest)]:
        console.say(line)


def scored(reference: str, record: RunRecord, settings: Settings) -> Found:
    """The sample's rows against the manifest."""
    from stenopool.asr.manifest import read_manifest
    from stenopool.catalog import open_catalog

    ids = set(record.details["sample"])

    def keep(row: dict[str, Any]) -> dict[str, Any] | None:
        return row if row["transcript_id"] in ids else None

    with open_catalog(settings) as catalog:
        table = catalog.table(catalog.name(record.target))
        newest = newest_rows(table, COLUMNS, None, keep)
    return compared(newest, read_manifest(Path(reference)), None, "the sample", reference)


def quality_lines(found: Found | None) -> Iterator[str]:
    """How many words of the sample are wrong."""
    if found is None:
        yield "  WER    unknown; --reference FILE names a manifest of what was said"
        return
    yield from rate_lines(found.report)


def rest_lines(rest: Forecast) -> Iterator[str]:
    """What the other recordings would take."""
    whole = rest.estimate
    todo = whole.listed - whole.skipped
    if not todo:
        yield f"  rest   none: all {whole.listed:,} recordings have a row"
        return
    about = "about " if whole.sampled else ""
    yield (
        f"  rest   {console.plural(todo, 'recording')}, {about}{console.clock(whole.audio_s)} of "
        f"audio in {console.size(whole.size_bytes)}"
    )
    if rest.speed is None:
        wait = "unknown" if rest.wall_s is None else f"about {console.clock(rest.wall_s)}"
        yield f"  time   {wait}, judged by {rest.judged_by}"
    else:
        yield (
            f"  time   about {console.clock(rest.wall_s or 0)}: {console.clock(rest.start_s)} to "
            f"start, then {rest.speed:.1f} × real time, judged by {rest.judged_by}"
        )
    yield "  the same command without --sample does the rest; what the sample did is kept"
