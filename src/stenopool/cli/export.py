"""`stenopool export`: subtitles and texts out of stored segments, with no new transcription."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stenopool.cli import console
from stenopool.cli.local_files import place_inside
from stenopool.cli.naming import ExportNames, is_failure
from stenopool.cli.options import AsJson, Overwrite, Where
from stenopool.cli.table_rows import read_rows
from stenopool.cli.transfers import Account, tell_account, transfer
from stenopool.errors import AlreadyExistsError, InvalidNameError, InvalidOptionError
from stenopool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyiceberg.table import Table

WRITERS = 4
"""Files that are written at the same time."""

KEYS = ("path", "source", "transcribed_at", "transcript_id", "error_class", "error")
CONTENT = ("text", "segments", "language", "duration_s", "model", "engine", "warnings")
DETAILS = ("path", "source", "language", "duration_s", "model", "engine", "warnings")
"""What the JSON form says about a recording beside its text and segments."""


class Form(StrEnum):
    """A form of subtitles or text; also the ending of its files."""

    SRT = "srt"
    VTT = "vtt"
    TXT = "txt"
    JSON = "json"
    TSV = "tsv"


@dataclass(kw_only=True)
class Found:
    """What the table holds beside the rows that become files.

    Attributes:
        failed: recordings without a transcript.
        repeated: recordings with more than one row.
        silent: recordings in which nobody speaks; their files are empty.
    """

    failed: int = 0
    repeated: int = 0
    silent: int = 0


def export(
    table: Annotated[
        str, typer.Argument(metavar="TABLE", help="TABLE, SCHEMA.TABLE or DATABASE.SCHEMA.TABLE.")
    ],
    form: Annotated[
        Form, typer.Option("--format", help="Subtitles (srt, vtt), or text and times.")
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="A folder; made if missing.")],
    where: Where = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write transcripts as subtitles or texts, one file a recording.

    A file has its recording's name with the ending replaced; where two recordings
    differ in nothing else, their endings are kept (a.flac.srt, a.wav.srt). Of
    several rows of a recording the newest is taken. Nothing is transcribed.
    """
    from stenopool.catalog import open_catalog

    if to.exists() and not to.is_dir():
        raise InvalidNameError(f"{str(to)!r} is a file; name a folder")
    with open_catalog(Settings.from_env()) as catalog:
        opened = catalog.table(catalog.name(table))
        require_transcripts(opened, table)
    found = Found()
    with ExportNames(f".{form}") as names:
        for row in read_rows(opened, KEYS, where):
            names.add(row)
        names.close_list()
        found.failed, found.repeated = names.failed, names.repeated
        files = choose(read_rows(opened, (*KEYS, *CONTENT), where), names, found)
        act = partial(write_one, to, form, overwrite=overwrite)
        total = names.recordings - found.failed
        account = transfer(act, files, workers=WRITERS, total=total)
    tell_result(account, found, to, as_json=as_json)
    raise typer.Exit(1 if account.failed or found.failed else 0)


def require_transcripts(table: Table, name: str) -> None:
    """Check that a table has what a transcript is made of.

    Raises:
        InvalidOptionError: it has not.
    """
    missing = {*KEYS, *CONTENT} - set(table.schema().column_names)
    if missing:
        raise InvalidOptionError(
            f"table {name!r} is not a table of transcripts: it has no column "
            f"{', '.join(sorted(missing))}"
        )


def choose(
    rows: Iterator[dict[str, Any]], names: ExportNames, found: Found
) -> Iterator[tuple[str, dict[str, Any]]]:
    """One row for each recording that has a transcript, under its file name."""
    for row in rows:
        if not is_failure(row) and names.take(row):
            found.silent += not row["segments"]
            yield names.name(row), row


def write_one(
    folder: Path, form: Form, item: tuple[str, dict[str, Any]], *, overwrite: bool
) -> int | None:
    """Write one file; gives its bytes, None where it was there with the same content.

    Raises:
        AlreadyExistsError: it is there with other content, and `overwrite` is not set.
        InvalidNameError: it would lie outside of the folder.
    """
    from stenopool.storage.base import placing
    from stenopool.storage.translate import translated

    name, row = item
    content = as_text(form, row).encode()
    place = place_inside(folder, name)
    with translated(str(place)):
        if place.is_file() and same_bytes(place, content):
            return None
        if place.exists() and not (overwrite and place.is_file()):
            raise AlreadyExistsError(f"{str(place)!r} exists already with other content")
        with placing(place, overwrite=True) as part:
            part.write_bytes(content)
    return len(content)


def same_bytes(place: Path, content: bytes) -> bool:
    """Whether a file has that content."""
    return place.stat().st_size == len(content) and place.read_bytes() == content


def as_text(form: Form, row: dict[str, Any]) -> str:
    """A row in that form."""
    from stenopool import asr
    from stenopool.catalog.transcripts import segments_of

    segments = segments_of(row)
    if form is Form.JSON:
        return asr.to_json(segments, {name: row[name] for name in DETAILS})
    write = {
        Form.SRT: asr.to_srt,
        Form.VTT: asr.to_vtt,
        Form.TXT: asr.to_txt,
        Form.TSV: asr.to_tsv,
    }[form]
    return write(segments)


def tell_result(account: Account, found: Found, to: Path, *, as_json: bool) -> None:
    """Say what was written, and what has no file or an empty one."""
    if as_json:
        failed = [str(error) for error in account.failed]
        console.print_json(
            {"done": account.done, "same": account.same, "failed": failed}
            | {"size_bytes": account.size_bytes, "silent": found.silent}
            | {"failed_recordings": found.failed, "repeated": found.repeated}
        )
        return
    tell_account(account, f"written to {console.shown(str(to))}", as_json=False)
    if found.silent:
        console.say(f"{console.plural(found.silent, 'recording')} without speech: an empty file")
    if found.failed:
        console.say(
            f"{console.plural(found.failed, 'recording')} without a transcript: no file; "
            "the table's columns error_class and error say why"
        )
    if found.repeated:
        console.say(
            f"{console.plural(found.repeated, 'recording')} with several rows: the newest was "
            "taken; choose with --where \"model = 'NAME'\""
        )
