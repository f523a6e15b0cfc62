"""`stenopool demo`: the main job on the recordings and the model that ship with the package."""

from __future__ import annotations

import csv
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from stenopool.cli import console
from stenopool.cli.transcribe import nothing_to_do, run_watched
from stenopool.errors import RunFailedError
from stenopool.model import TranscribeOptions
from stenopool.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from stenopool.model import RunRecord

STAGE = "STENOPOOL.DEMO.RECORDINGS"
TABLE = "STENOPOOL.DEMO.TRANSCRIPTS"
SHOWN = 12
"""Rows of the table that are printed."""


def demo() -> None:
    """Transcribe the recordings that ship with Stenopool; takes under two minutes, no download."""
    from stenopool.distributed.requesting import Request

    settings = Settings.from_env()
    with as_file(files("stenopool") / "data" / "recordings") as folder:
        texts = known_texts(folder)
        put_recordings(folder, list(texts), settings)
    options = TranscribeOptions(model="demo", language="en")
    request = Request(source=f"@{STAGE}", target=TABLE, options=options)
    record = run_watched(request, settings)
    if not record.recordings:
        console.say(nothing_to_do(record))
        return
    show_rows(record, texts, settings)
    show_next()


def known_texts(folder: Path) -> dict[str, str]:
    """What is said in each recording, by its path under the folder."""
    with (folder / "texts.csv").open(newline="", encoding="utf-8") as file:
        return {row["path"]: row["text"] for row in csv.DictReader(file)}


def put_recordings(folder: Path, paths: list[str], settings: Settings) -> None:
    """Put the recordings on a stage of their own, as `stenopool put` would."""
    from stenopool.catalog import open_catalog, parse_name
    from stenopool.storage import open_storage

    name = parse_name(STAGE, database=settings.database, schema=settings.schema)
    with open_catalog(settings) as catalog:
        stage = catalog.create_stage(name, if_not_exists=True, create_missing=True)
        storage = open_storage(stage.root)
        new = sum(storage.put(folder / path, path) for path in paths)
    console.say(f"{console.plural(len(paths), 'recording')} on stage @{STAGE} ({new:,} new)")


def show_rows(record: RunRecord, texts: dict[str, str], settings: Settings) -> None:
    """Print the table, and how far its texts are from what was said."""
    from stenopool.catalog import open_catalog
    from stenopool.warehouse import query

    statement = f"SELECT path, duration_s, text, error FROM {TABLE} ORDER BY path"  # noqa: S608
    with open_catalog(settings) as catalog:
        rows = query(statement, catalog, settings).fetchall()
    shown = [
        (path, round(seconds, 1), text or error) for path, seconds, text, error in rows[:SHOWN]
    ]
    console.say()
    console.print_table(("path", "seconds", "text"), shown)
    if len(rows) > SHOWN:
        console.say(f"… and {len(rows) - SHOWN:,} more rows in table {TABLE}")
    rate = word_error_rate(texts, {path: text for path, _, text, _ in rows})
    console.say()
    console.say(f"word error rate  {rate:.1%} against the known texts")
    console.say(
        f"speed            {record.speed:.1f} seconds of audio a second "
        f"({console.clock(record.audio_s)} in {console.clock(record.wall_s)}, start-up included)"
    )


def word_error_rate(texts: dict[str, str], found: dict[str, str | None]) -> float:
    """Errors over words of all recordings together, case and punctuation aside; 0 is perfect.

    Raises:
        RunFailedError: a recording has no row.
    """
    import jiwer

    missing = sorted(set(texts) - set(found))
    if missing:
        raise RunFailedError(f"the table has no row for {missing[0]} and {len(missing) - 1} others")
    said = [normalised(text) for text in texts.values()]
    heard = [normalised(found[path] or "") for path in texts]
    return float(jiwer.wer(said, heard))


def normalised(text: str) -> str:
    """Lower case, letters and digits only, single spaces."""
    kept = "".join(char if char.isalnum() or char == "'" else " " for char in text.lower())
    return " ".join(kept.split())


def show_next() -> None:
    """The next three commands, for the user's own files."""
    console.say()
    console.say("Next, with your own recordings (`source .venv/bin/activate` first):")
    for command in (
        "stenopool models get small",
        "stenopool transcribe FOLDER --to CALLS --model small",
        "stenopool sql 'SELECT path, text FROM CALLS'",
    ):
        console.say(f"  {command}")
