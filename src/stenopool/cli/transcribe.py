"""`stenopool transcribe`: recordings in, a table out."""

from __future__ import annotations

import shlex
import signal
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stenopool.cli import console, sampling
from stenopool.cli.progress import watched
from stenopool.errors import InvalidOptionError
from stenopool.model import TranscribeOptions
from stenopool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import FrameType

    from stenopool.distributed.estimating import Estimate
    from stenopool.distributed.requesting import Request, Sample
    from stenopool.distributed.run import Progress
    from stenopool.model import RunRecord

DEFAULTS = TranscribeOptions()


def transcribe(
    source: Annotated[
        str,
        typer.Argument(help="@STAGE/path, a folder, a glob, one file, or a URL (s3://, https://)."),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="A table, DATABASE.SCHEMA.TABLE or less; a folder (with a /) of Parquet, or of "
            "JSON lines (x.jsonl); postgresql://host/database/table; "
            "snowflake://account/database/schema/table. Made if missing.",
        ),
    ],
    pattern: Annotated[
        list[str] | None, typer.Option(help="Take only files like '*.flac'; repeatable.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="A name of `stenopool models list`, or a folder.")
    ] = DEFAULTS.model,
    engine: Annotated[
        str,
        typer.Option(
            help="ctranslate2, torch (recent GPUs) or pocketsphinx (English, small, offline)."
        ),
    ] = DEFAULTS.engine,
    language: Annotated[
        str | None, typer.Option(help="Such as en or de; detected when left out.")
    ] = None,
    languages: Annotated[
        list[str] | None,
        typer.Option(help="Detect among these only, such as en,de; repeatable."),
    ] = None,
    translate: Annotated[bool, typer.Option("--translate", help="Give English text.")] = False,
    word_timestamps: Annotated[
        bool, typer.Option("--word-timestamps", help="Times and probabilities for each word.")
    ] = False,
    vad: Annotated[
        bool,
        typer.Option(
            help="Find silence and leave it out; otherwise nothing tells text from invention."
        ),
    ] = True,
    prompt: Annotated[
        str | None,
        typer.Option(
            help="Text that sets names and style for the model, before each window of at most "
            "30 s; no window knows the text of the one before it."
        ),
    ] = None,
    hotwords: Annotated[
        str | None,
        typer.Option(help="Names and terms to make likelier, such as 'Stenopool, Iceberg'."),
    ] = None,
    short_clips: Annotated[
        Literal["context", "pack"] | None,
        typer.Option(
            help="Spare the encoder the silence that clips are filled up with: it sees 2 s more "
            "than a clip of up to 4 s (context), or several clips at once (pack, needs "
            "--language). Words may change: try it with --sample."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do again what has a transcript; replace its row.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many recordings.")] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Transcribe so many, chosen at random, and say what all of them would take.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of --sample: the same one, the same choice.")] = 0,
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Of --sample: a manifest (see `stenopool score`); choose among its recordings, "
            "and say how many words are wrong.",
        ),
    ] = None,
    live: Annotated[
        bool,
        typer.Option("--live", help="Show rows as they come, and not all at once at the end."),
    ] = False,
    cluster: Annotated[
        str | None,
        typer.Option(help="A name of `stenopool cluster list`, or the address of a Ray head."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List and probe; say how much, how long, and where.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Transcribe the recordings of SOURCE into a table, one row a recording.

    What has a transcript already is not done again; a run that was interrupted goes on where it
    was when the same command is given again. Before a long run, --sample 50 says how long it
    would take, and with --reference how good it would be; the same command without it goes on.
    """
    from stenopool.distributed.requesting import Request

    task: Literal["transcribe", "translate"] = "translate" if translate else "transcribe"
    options = TranscribeOptions(
        model=model,
        engine=engine,
        language=language,
        task=task,
        word_timestamps=word_timestamps,
        vad=vad,
        prompt=prompt,
        languages=codes_in(languages or ()),
        hotwords=hotwords,
        short_clips=short_clips,
    )
    request = Request(
        source=source,
        target=to,
        options=options,
        patterns=tuple(pattern or ()),
        overwrite=overwrite,
        limit=limit,
        sample=sample_of(sample, seed, reference, others={"--limit": limit, "--dry-run": dry_run}),
        live=live,
    )
    settings = on_cluster(Settings.from_env(), cluster)
    if dry_run:
        show_estimate(request, settings, as_json=json)
        return
    finish(request, settings, as_json=json)


def codes_in(texts: Iterable[str]) -> list[str]:
    """The codes of texts such as `en,de`."""
    return [code.strip() for text in texts for code in text.split(",")]


def sample_of(
    size: int | None, seed: int, reference: Path | None, others: Mapping[str, object]
) -> Sample | None:
    """The sample that was asked for.

    Args:
        size: how many recordings; None for no sample.
        seed: of the choice.
        reference: a manifest.
        others: options that do not go together with it, by name; those not given are empty.

    Raises:
        UsageError: the options do not go together, or the manifest cannot be read.
    """
    from stenopool.asr.manifest import read_manifest
    from stenopool.distributed.requesting import Sample

    if size is None:
        if reference is not None:
            raise InvalidOptionError(
                "--reference goes with --sample N; for a table that is there: "
                f"stenopool score TABLE --reference {shlex.quote(str(reference))}"
            )
        return None
    for name, value in others.items():
        if value:
            raise InvalidOptionError(f"--sample and {name} do not go together; leave one out")
    if reference is not None:
        read_manifest(reference)  # so that a wrong one is said before anything starts
    kept = None if reference is None else str(reference.absolute())
    return Sample(size=size, seed=seed, reference=kept)


def finish(request: Request, settings: Settings, *, as_json: bool) -> None:
    """Run a request, say what became of it, and end with the exit code that says so too."""
    record = run_watched(request, settings)
    if request.sample is None:
        show_result(record, as_json=as_json)
    else:
        sampling.show_sample(request, request.sample, record, settings, as_json=as_json)
    raise typer.Exit(1 if record.failed else 0)


def on_cluster(settings: Settings, cluster: str | None) -> Settings:
    """The settings with the cluster that `--cluster` names, which answers.

    Raises:
        NotFoundError: there is no cluster of that name.
        ClusterError: it does not answer.
    """
    if cluster is None:
        return settings
    from stenopool.distributed.clusters.control import address_of

    return replace(settings, ray_address=address_of(settings, cluster))


def run_watched(request: Request, settings: Settings) -> RunRecord:
    """The run with its progress on the terminal; Ctrl-C and SIGTERM end it cleanly."""
    from stenopool.distributed.run import transcribe as run

    log = settings.home / "logs" / "libraries.log"
    try:
        with interrupts() as check, console.libraries_to(log), watched() as show:

            def on_progress(progress: Progress) -> None:
                check()
                show(progress)

            return run(request, settings, on_progress)
    except KeyboardInterrupt:
        console.tell(
            "interrupted: what was transcribed is kept; the same command goes on from there, "
            "and so does `stenopool resume`"
        )
        raise typer.Exit(130) from None


@contextmanager
def interrupts() -> Iterator[Callable[[], None]]:
    """Make Ctrl-C and SIGTERM a KeyboardInterrupt; gives a function that raises a lost one again.

    An exception that a signal raises while a library cleans up (in a `__del__`, or in Cython's
    `__dealloc__` as Ray's references have it) is printed and forgotten by Python.
    """
    came = threading.Event()

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        came.set()
        raise KeyboardInterrupt

    def check() -> None:
        if came.is_set():
            raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show_result(record: RunRecord, *, as_json: bool = False) -> None:
    """Say what a run did, and what to do next."""
    if as_json:
        console.print_json(record)
        return
    if not record.recordings:
        console.say(nothing_to_do(record))
        if record.details.get("delivered"):
            console.say(delivery_line(record))
        return
    console.say(f"{console.plural(record.recordings, 'recording')} in {place(record)}:")
    by_class = record.details.get("failed_by_class", {})
    failed = ", ".join(f"{count} {name}" for name, count in sorted(by_class.items()))
    reasons = f" ({failed})" if failed else ""
    console.say(
        f"  {record.done:,} transcribed, {record.failed:,} failed{reasons}, "
        f"{record.skipped:,} skipped because they have a transcript"
    )
    console.say(
        f"  {console.clock(record.audio_s)} of audio in {console.clock(record.wall_s)}: "
        f"{record.speed:.1f} × real time"
    )
    if delivered := delivery_line(record):
        console.say(f"  {delivered}")
    if warned := record.details.get("report", {}).get("warned", 0):
        console.say(f"  {console.plural(warned, 'transcript')} not to be trusted blindly:")
        console.say(f"  {warned_query(record)}")
    console.say(f"  {next_query(record)}")
    if record.failed and "destination" not in record.details:
        console.say(
            f"  stenopool retry {record.run_id} (does these again, once their cause is gone)"
        )


def place(record: RunRecord) -> str:
    """Where a run's rows are, for a person."""
    return str(record.details.get("destination") or f"table {record.target}")


def delivery_line(record: RunRecord) -> str:
    """What a run has delivered; empty where its rows stay in a table."""
    if "destination" not in record.details:
        return ""
    rows = console.plural(record.details.get("delivered", 0), "row")
    return f"{rows} delivered to {place(record)}; table {record.target} keeps them too"


def next_query(record: RunRecord) -> str:
    """The command that shows the failures, or the texts if there are none."""
    if record.failed:
        columns, rest = "path, error_class, error", " WHERE error IS NOT NULL"
    else:
        columns, rest = "path, text", " LIMIT 10"
    return f"stenopool sql 'SELECT {columns} FROM {record.target}{rest}'"  # noqa: S608 - only shown


def warned_query(record: RunRecord) -> str:
    """The command that shows which transcripts have warnings."""
    chosen = f"FROM {record.target} WHERE array_size(warnings) > 0"
    return f"stenopool sql 'SELECT path, warnings {chosen}'"


def nothing_to_do(record: RunRecord) -> str:
    """The line for a run that found nothing new."""
    if retried := record.details.get("request", {}).get("retried"):
        return f"no such failure of run {retried} is left in {place(record)}; nothing was done"
    if not record.listed:
        return f"no recording matches in {record.source}; nothing was done"
    return (
        f"nothing is new: {console.plural(record.listed, 'recording')} of {record.source} "
        f"{'has a row' if record.listed == 1 else 'have rows'} in {place(record)}; "
        "--overwrite does them again"
    )


def show_estimate(request: Request, settings: Settings, *, as_json: bool) -> None:
    """Say what the run would find and take."""
    from stenopool.distributed.estimating import estimate

    found = estimate(request, settings)
    if as_json:
        console.print_json(found)
        return
    for line in estimate_lines(found):
        console.say(line)


def estimate_lines(found: Estimate) -> list[str]:
    """The estimate as a person reads it."""
    new = found.listed - found.skipped
    counted = console.plural(found.listed, "recording")
    about = "about " if found.sampled else ""
    audio = f"{about}{console.clock(found.audio_s)} in {console.size(found.size_bytes)}"
    wait = f"about {console.clock(found.wall_s)}" if found.wall_s is not None else "unknown"
    lines = [
        f"{counted} in {found.source}: {found.skipped:,} transcribed already, {new:,} to do",
        f"  audio  {audio}, the longest {console.clock(found.longest_s)}",
        f"  time   {wait}, judged by {found.judged_by}",
        f"  where  {found.where}",
        f"  table  {found.target}",
    ]
    if found.destination:
        lines.append(f"  to     {found.destination}, which was reached")
    if found.unreadable:
        lines.append(f"  unreadable: {console.plural(len(found.unreadable), 'recording')}, such as")
        lines += [f"    {reason}" for reason in list(found.unreadable.values())[:3]]
    return [*lines, "nothing was transcribed: this was a dry run"]
