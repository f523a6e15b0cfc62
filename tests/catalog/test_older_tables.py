"""A table of transcripts that an older version made goes on: its rows stay, new columns come."""

from __future__ import annotations

import pyarrow as pa
import pytest

from stenopool.catalog import tables
from stenopool.catalog.ledger import Ledger, open_transcripts, write_files
from stenopool.catalog.transcripts import NEEDED, transcript_schema
from stenopool.errors import AlreadyExistsError

LATER = ("coverage", "avg_logprob", "low_confidence_share", "compression_ratio", "silence_phrases")
OLDER = pa.schema([field for field in transcript_schema() if field.name not in LATER])


def rows(schema, run_id, number, **more):
    """A row of a run with this number for its id."""
    key = str(number).rjust(32, "0")
    known = {"transcript_id": key, "path": f"{number}.wav", "text": "said", "run_id": run_id}
    return pa.Table.from_pylist([known | {"segments": [], "duration_s": 1.0} | more], schema)


@pytest.fixture
def older(catalog):
    """The table of an older version, with a row and the branch of a run that was interrupted."""
    table = catalog.create_table(catalog.name("t"), OLDER)
    table.append(rows(OLDER, "old", 1))
    files = write_files(table.metadata, table.io, rows(OLDER, "going", 2))
    with table.transaction() as change:
        tables.append_files(change, files, {}, branch="going")
    return catalog.name("t")


def found(catalog, name):
    read = catalog.table(name).scan(selected_fields=("path", "coverage")).to_arrow().to_pylist()
    return sorted((row["path"], row["coverage"]) for row in read)


def columns_of(catalog, name):
    return [field.name for field in catalog.table(name).schema().fields]


def test_an_older_table_takes_the_rows_of_a_new_run(catalog, older):
    ledger = Ledger(catalog, older, "new")
    assert len(ledger.published_ids()) == 1
    ledger.commit(rows(transcript_schema(), "new", 3, coverage=0.75))
    ledger.publish()
    assert found(catalog, older) == [("1.wav", None), ("3.wav", 0.75)]
    assert set(columns_of(catalog, older)) == set(transcript_schema().names)


@pytest.mark.parametrize("also_on_main", [False, True])
def test_a_run_that_an_older_version_began_goes_on(catalog, older, also_on_main):
    ledger = Ledger(catalog, older, "going")
    assert ledger.own().transcribed == 1
    ledger.commit(rows(transcript_schema(), "going", 3, coverage=0.75))
    if also_on_main:  # then the branch's rows are written anew without it
        open_transcripts(catalog, older).append(rows(transcript_schema(), "other", 3))
    ledger.publish()
    on_main = None if also_on_main else 0.75
    assert found(catalog, older) == [("1.wav", None), ("2.wav", None), ("3.wav", on_main)]


def test_a_table_without_what_makes_a_transcript_is_left_as_it_is(catalog):
    for missing in NEEDED:
        name = catalog.name(f"without_{missing}")
        columns = pa.schema([field for field in OLDER if field.name != missing])
        catalog.create_table(name, columns)
        with pytest.raises(AlreadyExistsError, match=f"not a table of transcripts.* {missing};"):
            open_transcripts(catalog, name)
        assert columns_of(catalog, name) == columns.names
