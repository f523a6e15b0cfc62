"""A table of transcripts that an older version made takes the rows of this one."""

from __future__ import annotations

import threading

import pyarrow as pa
import pytest

from stenopool.catalog import open_catalog, tables
from stenopool.catalog.ledger import Ledger
from stenopool.catalog.transcripts import transcript_schema
from stenopool.errors import AlreadyExistsError


def without_language(schema):
    """The columns of a table from before segments had a language."""
    place = schema.get_field_index("segments")
    segment = schema.field(place).type.value_type
    older = pa.struct([field for field in segment if field.name != "language"])
    return schema.set(place, pa.field("segments", pa.list_(older)))


OLDER = without_language(transcript_schema())


def made(number, schema, run_id, **segment):
    values = {"start_s": 0.0, "end_s": 1.0, "text": "said", "words": [], **segment}
    row = {
        "transcript_id": f"{number:032}",
        "path": f"{number}.wav",
        "text": "said",
        "run_id": run_id,
        "segments": [values],
    }
    return pa.Table.from_pylist([row], schema)


@pytest.fixture
def older(catalog):
    """A table of the older version with row 1, and its name."""
    name = catalog.name("T")
    table = catalog.create_table(name, OLDER, create_missing=True)
    table.append(made(1, OLDER, "old"))
    return name


def languages(catalog, name):
    """The language of each row's segment, by the row's path; None where it is NULL."""
    found = catalog.table(name).scan(selected_fields=("path", "segments")).to_arrow().to_pylist()
    return {row["path"]: row["segments"][0]["language"] for row in found}


def publish(catalog, name, run_id, rows, **more):
    ledger = Ledger(catalog, name, run_id, **more)
    ledger.commit(rows)
    ledger.publish()


def test_an_older_table_takes_new_rows_and_its_own_read_null(catalog, older):
    publish(catalog, older, "new", made(2, transcript_schema(), "new", language="de"))
    assert languages(catalog, older) == {"1.wav": None, "2.wav": "de"}


def test_a_row_of_an_older_table_is_replaced_by_a_new_one(catalog, older):
    rows = made(1, transcript_schema(), "new", language="de")
    publish(catalog, older, "new", rows, replace=True)
    assert languages(catalog, older) == {"1.wav": "de"}


def test_a_run_that_an_older_version_began_is_gone_on_with_and_published(catalog, older):
    table = catalog.table(older)
    table.manage_snapshots().create_branch(table.current_snapshot().snapshot_id, "r").commit()
    table.append(made(2, OLDER, "r"), branch="r")
    publish(catalog, older, "r", made(3, transcript_schema(), "r", language="de"))
    assert languages(catalog, older) == {"1.wav": None, "2.wav": None, "3.wav": "de"}


def test_a_run_that_an_older_version_finished_is_published_as_it_is(catalog, older):
    # Row 1 is on main already, so that the branch's rows are written anew without it.
    table = catalog.table(older)
    table.manage_snapshots().create_branch(table.current_snapshot().snapshot_id, "r").commit()
    table.append(made(2, OLDER, "r"), branch="r")
    Ledger(catalog, older, "r").publish()
    assert languages(catalog, older) == {"1.wav": None, "2.wav": None}


def test_a_table_that_lacks_a_whole_column_is_given_it(catalog):
    schema = transcript_schema()
    fewer = schema.remove(schema.get_field_index("language_probability"))
    name = catalog.name("T")
    catalog.create_table(name, fewer, create_missing=True).append(made(1, fewer, "old"))
    publish(catalog, name, "new", made(2, schema, "new"))
    assert set(schema.names) <= set(catalog.table(name).schema().column_names)


def test_a_table_is_given_its_columns_once(catalog, older):
    for _ in range(2):
        Ledger(catalog, older, "r")
        assert len(catalog.table(older).metadata.schemas) == 2


def test_two_processes_that_open_an_older_table_at_once_both_can(settings, older, monkeypatch):
    # Guard: `tables.add_columns` tries again what another process was faster at.
    both, met = threading.Barrier(2, timeout=60), threading.local()
    load = tables.load

    def at_once(*arguments):
        found = load(*arguments)
        if not getattr(met, "done", False):
            met.done = True
            both.wait()  # each has seen the older columns
        return found

    monkeypatch.setattr(tables, "load", at_once)
    failures = []

    def opened():
        try:
            with open_catalog(settings) as catalog:
                tables.add_columns(catalog.iceberg, older, transcript_schema())
        except Exception as error:  # noqa: BLE001 - of a thread
            failures.append(error)

    threads = [threading.Thread(target=opened) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    monkeypatch.undo()
    with open_catalog(settings) as catalog:
        assert len(catalog.table(older).metadata.schemas) == 2


def test_a_table_of_something_else_is_left_as_it_is(catalog):
    name = catalog.name("T")
    catalog.create_table(name, pa.schema([("path", pa.string())]), create_missing=True)
    with pytest.raises(AlreadyExistsError, match="not a table of transcripts"):
        Ledger(catalog, name, "r")
    assert catalog.table(name).schema().column_names == ["path"]
