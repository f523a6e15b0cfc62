"""How tables are read: in folders and buckets, while others write, after changes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg.types import DoubleType, LongType, StringType

from stenopool.errors import StorageError
from stenopool.storage import open_storage
from stenopool.warehouse import query
from stenopool.warehouse.scan import ParquetFiles, readable

NUMBERS = pa.schema([("n", pa.int64()), ("s", pa.string())])


@pytest.fixture
def sql(catalog):
    return lambda text: query(text, catalog, catalog.settings).fetchall()


def test_tables_in_a_folder_and_in_a_bucket_read_alike(sql):
    assert sql("SELECT path, text FROM calls.public.transcripts ORDER BY path") == [
        ("a.wav", "one two"),
        ("b.wav", ""),
        ("c.wav", None),
    ]
    assert sql('SELECT count(*) FROM t JOIN "low er" USING (path)') == [(3,)]
    assert sql("SELECT count(*) FROM empty") == [(0,)]


def test_a_query_sees_the_commits_that_were_there_when_it_started(catalog, sql):
    table = catalog.table(catalog.name("t"))
    before = query("SELECT * FROM t", catalog, catalog.settings)
    table.append(table.scan().to_arrow())
    assert len(before.fetchall()) == 3
    assert sql("SELECT count(*) FROM t") == [(6,)]
    table.delete("path = 'a.wav'")
    assert sql("SELECT count(*) FROM t") == [(4,)]
    table.overwrite(table.scan().to_arrow().slice(0, 1))
    assert sql("SELECT count(*) FROM t") == [(1,)]


def test_a_commit_to_a_branch_is_not_seen(catalog, sql):
    table = catalog.table(catalog.name("t"))
    table.manage_snapshots().create_branch(table.current_snapshot().snapshot_id, "run").commit()
    table.append(table.scan().to_arrow(), branch="run")
    assert sql("SELECT count(*) FROM t") == [(3,)]


def test_a_table_whose_columns_changed_is_read_by_their_present_names(catalog, sql):
    name = catalog.name("changing")
    table = catalog.create_table(name, NUMBERS)
    table.append(pa.table({"n": [1], "s": ["old"]}, NUMBERS))
    with table.update_schema() as update:
        update.rename_column("s", "renamed")
        update.add_column("added", DoubleType())
    table.append(pa.table({"n": [2], "renamed": ["new"], "added": [0.5]}))
    assert sql("SELECT n, renamed, added FROM changing ORDER BY n") == [
        (1, "old", None),
        (2, "new", 0.5),
    ]


def test_a_table_that_got_columns_reads_null_in_older_rows_and_stays_in_its_files(catalog, sql):
    """Also before a file has them; in memory it would be no matter how large the table is."""
    table = catalog.table(catalog.name("t"))
    with table.update_schema() as update:
        update.add_column("added", DoubleType())
        update.add_column(("segments", "element", "language"), StringType())
    asked = "SELECT path, segments[0].language, added FROM t ORDER BY path"
    assert isinstance(readable(catalog.table(catalog.name("t"))), ParquetFiles)
    assert sql(asked) == [("a.wav", None, None), ("b.wav", None, None), ("c.wav", None, None)]
    row = table.scan().to_arrow().slice(0, 1).to_pylist()[0]
    row["segments"][0]["language"] = "de"
    columns = table.schema().as_arrow()
    table.append(pa.Table.from_pylist([row | {"path": "d.wav", "added": 0.5}], columns))
    assert isinstance(readable(catalog.table(catalog.name("t"))), ParquetFiles)
    assert sql(f"{asked} DESC LIMIT 2") == [("d.wav", "de", 0.5), ("c.wav", None, None)]
    assert sql("SELECT count(*) FROM t WHERE added > 0") == [(1,)]


@pytest.mark.parametrize("change", ["rename", "drop and add", "widen"])
def test_columns_that_changed_in_other_ways_are_read_right(catalog, sql, change):
    name = catalog.name("changing")
    table = catalog.create_table(name, pa.schema([("n", pa.int32()), ("s", pa.string())]))
    table.append(pa.table({"n": [1], "s": ["old"]}, table.schema().as_arrow()))
    if change == "drop and add":
        table.update_schema().delete_column("n").commit()
        table.update_schema().add_column("n", LongType()).commit()
    elif change == "rename":
        table.update_schema().rename_column("n", "m").commit()
        table.update_schema().rename_column("s", "n").commit()
    else:
        table.update_schema().update_column("n", LongType()).commit()
    expected = {"rename": "old", "drop and add": None, "widen": 1}[change]
    assert sql("SELECT n FROM changing") == [(expected,)]


def test_a_data_file_that_is_gone_is_an_error_and_no_missing_row(catalog, sql):
    table = catalog.table(catalog.name("t"))
    (task,) = table.scan().plan_files()
    folder, _, name = task.file.file_path.rpartition("/")
    open_storage(folder).remove(name)
    with pytest.raises(StorageError, match=r"(can|could) ?not be read"):
        sql("SELECT path FROM t")


def test_a_table_in_a_folder_with_an_odd_name_is_read(tmp_path):
    from stenopool.catalog import open_catalog
    from stenopool.settings import Settings

    home = tmp_path / "with space #1 50% [x] 'é'"
    with open_catalog(Settings.from_env({"STENOPOOL_HOME": str(home)})) as catalog:
        catalog.create_table(catalog.name('"odd %/?#é"'), NUMBERS).append(
            pa.table({"n": [1], "s": ["x"]}, NUMBERS)
        )
        rows = query('SELECT n, s FROM "odd %/?#é"', catalog, catalog.settings).fetchall()
    assert rows == [(1, "x")]
    assert not list(Path.cwd().glob(".tmp*"))


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.tuples(st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | st.text(max_size=5)),
        max_size=6,
    ),
    cut=st.integers(0, 6),
    bound=st.integers(-3, 3),
)
def test_what_was_written_is_what_a_query_gives(folder_catalog, rows, cut, bound):
    """Whatever the values and however many files, with a filter and without."""
    name = folder_catalog.name("written")
    folder_catalog.drop_table(name, if_exists=True)
    table = folder_catalog.create_table(name, NUMBERS)
    for part in (rows[:cut], rows[cut:]):
        columns = {"n": [n for n, _ in part], "s": [s for _, s in part]}
        table.append(pa.table(columns, NUMBERS))
    ask = lambda text: query(text, folder_catalog, folder_catalog.settings).fetchall()  # noqa: E731
    assert sorted(map(repr, ask("SELECT n, s FROM written"))) == sorted(map(repr, rows))
    expected = [row for row in rows if row[0] is not None and row[0] > bound]
    found = ask(f"SELECT n, s FROM written WHERE n > {bound}")
    assert sorted(map(repr, found)) == sorted(map(repr, expected))
