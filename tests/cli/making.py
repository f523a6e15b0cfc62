"""Rows of tables of transcripts, and what lies in a folder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from stenopool.model import TranscribeOptions

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def row(path, text="so it is", **changes):
    """A row of a table of transcripts; one segment a sentence, or none."""
    segments = [
        {
            "start_s": 2.0 * index,
            "end_s": 2.0 * index + 1.5,
            "text": part,
            "avg_logprob": -0.25,
            "words": [],
        }
        for index, part in enumerate((text or "").split(". "))
        if part
    ]
    values = {
        "path": path,
        "text": text,
        "language": "en",
        "duration_s": 4.0,
        "segments": segments,
        "warnings": [],
        "error_class": None,
        "error": None,
        "source": "@STENOPOOL.PUBLIC.CALLS",
        "model": "demo",
        "engine": "ctranslate2",
        "options": TranscribeOptions(model="demo").canonical_json(),
        "transcript_id": f"{path} {changes.get('model')}",
        "transcribed_at": NOON,
    }
    return values | changes


def failure(path, **changes):
    """A row of a recording that could not be transcribed."""
    return row(path, None, error_class="not_audio", error=f"'{path}' is not audio", **changes)


def later(seconds):
    """A time after noon."""
    return NOON + timedelta(seconds=seconds)


def tree(folder):
    """The files below a folder, by path and content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().decode()
        for path in folder.rglob("*")
        if path.is_file()
    }
