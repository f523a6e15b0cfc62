"""`--to` names a table, a folder or a database; what it names is checked before work starts."""

from __future__ import annotations

from pathlib import Path

import pytest

import stenopool
from stenopool.distributed.addressing import folder_path, kind_of
from stenopool.errors import InvalidNameError

RECORDINGS = Path(stenopool.__file__).parent / "data" / "recordings" / "notes" / "today"
OPTIONS = ("--engine", "fake", "--model", "fake", "--dry-run")


@pytest.mark.parametrize(
    ("to", "kind"),
    [
        ("CALLS", "table"),
        ("db.schema.calls", "table"),
        ('"odd name"', "table"),
        ("out/calls", "folder"),
        ("./calls", "folder"),
        ("calls.jsonl", "folder"),
        ("calls.parquet", "folder"),
        ("file:///data/calls", "folder"),
        ("postgresql://host/db/calls", "postgresql"),
        ("postgresql+psycopg://host/db/calls", "postgresql"),
        ("snowflake://account/db/schema/calls", "snowflake"),
    ],
)
def test_a_text_says_what_kind_of_place_it_names(to, kind):
    assert kind_of(to) == kind


def test_a_folder_of_this_machine_may_be_a_url():
    assert folder_path("file:///data/a%20b") == "/data/a b"
    with pytest.raises(InvalidNameError, match="another host"):
        folder_path("file://elsewhere/data")


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("s3://bucket/calls", "STENOPOOL_WAREHOUSE"),
        ("mysql://host/db/calls", "cannot be written to mysql://"),
        ("postgresql://me:s3cret@host/calls", "postgresql://host/database/table"),
        ("snowflake://account/calls", "snowflake://account/database/schema/table"),
        ("/proc/calls/..", "file system begins"),
    ],
)
def test_what_names_no_place_is_refused_with_what_to_do(fails, to, message):
    error = fails(2, "transcribe", RECORDINGS, "--to", to, *OPTIONS)
    assert message in error
    assert "s3cret" not in error


def test_a_dry_run_says_that_the_destination_was_reached_and_makes_nothing(steno, work):
    found = steno("transcribe", RECORDINGS, "--to", "out/calls.jsonl", *OPTIONS)
    assert found.code == 0, found
    assert f"  to     {work}/out/calls.jsonl, which was reached" in found.lines
    assert list(work.iterdir()) == []


def test_a_dry_run_names_a_destination_that_cannot_be_reached(fails):
    to = "postgresql://me:s3cret@127.0.0.1:1/db/calls"
    error = fails(3, "transcribe", RECORDINGS, "--to", to, *OPTIONS)
    assert "postgresql://127.0.0.1:1/db/calls failed" in error
    assert "s3cret" not in error
