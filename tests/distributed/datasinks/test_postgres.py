"""A table of a real PostgreSQL gets a dataset whole, or not at all."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pyarrow as pa
import pytest
import ray.data
from psycopg.errors import LockNotAvailable
from ray.data.datasource.datasink import WriteResult

import stenopool
from distributed.datasinks.values import ROW, every_type, nothing, numbers, write_here
from stenopool.distributed.datasinks.destination import open_postgres
from stenopool.errors import (
    AccessDeniedError,
    InvalidNameError,
    InvalidOptionError,
    NotFoundError,
    StorageError,
)

pytestmark = pytest.mark.integration

DRIVER = """
import os, signal, sys
import pyarrow as pa
from ray.data.datasource.datasink import WriteResult
from stenopool.distributed.datasinks.destination import open_postgres
from stenopool.distributed.datasinks.postgres import PostgresDatasink


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def after(method):
    def dies(*arguments):
        method(*arguments)
        die()

    return dies


def write(url, moment, overwrite):
    sink = open_postgres(url, overwrite=overwrite)
    rows = pa.table({"id": list(range(50)), "word": ["w"] * 50})
    sink.on_write_start(rows.schema)
    part = sink.write([rows], None)
    if moment == "after the task":
        die()
    if moment == "before the commit":
        PostgresDatasink._take_over = after(PostgresDatasink._take_over)
    if moment == "after the commit":
        PostgresDatasink._end = die
    sink.on_write_complete(WriteResult(50, 0, [part]))


for argument in sys.argv[1:]:
    url, moment, overwrite = argument.split("|")
    if (child := os.fork()) == 0:
        write(url, moment, overwrite == "True")
        os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def place(postgres_url):
    """`place("t")`: the URL of a table in an empty schema."""
    parts = urlsplit(postgres_url)
    schema = parts.query.rpartition("%3D")[2]
    base = f"postgresql://{parts.netloc}{parts.path}/{schema}"
    return lambda table: f"{base}/{table}"


@pytest.fixture
def rows(postgres_url):
    """`rows("SELECT …")`: what a reader sees now, in the empty schema."""
    conninfo = postgres_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(conninfo, autocommit=True) as connection:

        def fetch(statement):
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else None

        yield fetch


@pytest.fixture
def staging(rows):
    """The staging tables that are there."""
    chosen = "SELECT relname FROM pg_class WHERE relname LIKE 'stenopool_write%' "
    return lambda: rows(f"{chosen} AND relnamespace = current_schema()::regnamespace")


def test_rows_are_written_added_and_replaced(ray_cluster, rows, staging, place):
    assert stenopool.write(numbers(100), place("T")) == 100
    assert rows("SELECT count(*), count(DISTINCT id), min(word) FROM t") == [(100, 100, "w0")]
    assert stenopool.write(numbers(10, first=100), place("t")) == 10
    assert rows("SELECT count(*), max(id) FROM t") == [(110, 109)]
    assert stenopool.write(numbers(5), place("t"), overwrite=True) == 5
    assert rows("SELECT id FROM t ORDER BY id") == [(i,) for i in range(5)]
    assert staging() == []


def test_every_type_comes_back_as_it_was(rows, place):
    write_here(open_postgres(place("t")), every_type())
    names = ", ".join(ROW)
    [found, empty] = rows(f"SELECT {names} FROM t ORDER BY said NULLS LAST")
    assert dict(zip(ROW, found, strict=True)) == ROW
    assert set(empty) == {None}
    kinds = dict(
        rows("SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
             "WHERE attrelid = 't'::regclass AND attnum > 0")
    )  # fmt: skip
    assert kinds == {
        "said": "text", "raw": "bytea", "good": "boolean", "n": "bigint", "f": "double precision",
        "seen_at": "timestamp without time zone", "utc": "timestamp with time zone",
        "said_on": "date", "price": "numeric(5,2)", "parts": "text[]",
        "vector": "double precision[]", "inner_part": "jsonb",
    }  # fmt: skip


def test_what_is_nested_deeper_is_json_and_odd_floats_are_kept(rows, place):
    table = pa.table(
        {
            "matrix": [[[1.0, 2.0], [3.0]]],
            "segments": [[{"text": "a", "end_s": 0.5}]],
            "f": [float("nan")],
            "vector": pa.array([[float("inf"), 0.1]], pa.list_(pa.float32(), 2)),
            "big": pa.array([2**64 - 1], pa.uint64()),
        }
    )
    write_here(open_postgres(place("t")), table)
    found = rows("SELECT matrix, segments, f::text, vector::text, big FROM t")
    assert found == [
        ([[1.0, 2.0], [3.0]], [{"text": "a", "end_s": 0.5}], "NaN", "{Infinity,0.1}", 2**64 - 1)
    ]
    json.dumps(found[0][0])


def test_a_table_that_is_there_keeps_its_types_and_defaults(rows, place):
    rows(
        "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT now(), "
        "small smallint, code varchar(3), price numeric(10,3), note jsonb, vector real[])"
    )
    table = pa.table(
        {
            "SMALL": pa.array([1], pa.int8()),
            "code": ["abc"],
            "price": pa.array([7], pa.decimal128(5, 2)),
            "note": [[{"x": 1}]],
            "vector": pa.array([[1.5]], pa.list_(pa.float16())),
        }
    )
    assert write_here(open_postgres(place("t"), create_missing=False), table) == 1
    found = rows("SELECT id, at IS NOT NULL, small, code, price::text, note, vector FROM t")
    assert found == [(1, True, 1, "abc", "7.000", [{"x": 1}], [1.5])]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"id": [1], "word": [2]}, r"column 'word' is of type text, .* int64"),
        ({"id": ["x"], "word": ["a"]}, r"column 'id' is of type bigint, .* string"),
        ({"id": [1]}, r"no column 'word'"),
        ({"id": [1], "word": ["a"], "x": [1]}, r"no column for its 'x'"),
    ],
)
def test_rows_that_do_not_fit_are_refused_before_any_task(rows, staging, place, values, message):
    rows("CREATE TABLE t (id bigint, word text)")
    sink = open_postgres(place("t"))
    with pytest.raises(InvalidOptionError, match=rf"postgresql://[^ ]*/t.*{message}"):
        sink.on_write_start(pa.table(values).schema)
    sink.on_write_failed(ValueError())
    assert staging() == []


def test_a_value_that_does_not_fit_names_the_table_and_leaves_it(rows, staging, place):
    rows("CREATE TABLE t (id bigint, word varchar(3) NOT NULL)")
    sink = open_postgres(place("t"))
    table = pa.table({"id": [1], "word": ["long"]})
    sink.on_write_start(table.schema)
    with pytest.raises(InvalidOptionError, match=r"/t: .*too long.*'word'"):
        sink.write([table], None)
    sink.on_write_failed(ValueError())
    assert write_here(open_postgres(place("t")), pa.table({"id": [1], "word": ["a"]})) == 1
    assert rows("SELECT * FROM t") == [(1, "a")]
    assert staging() == []


def test_a_write_that_fails_leaves_the_table_and_nothing_beside_it(
    ray_cluster, rows, staging, place
):
    rows("CREATE TABLE t AS SELECT 7::bigint AS id")
    rows("ALTER TABLE t ALTER id SET NOT NULL")
    dataset = ray.data.from_arrow(pa.table({"id": pa.array([1, None], pa.int64())}))
    with pytest.raises(InvalidOptionError, match="null value"):
        stenopool.write(dataset, place("t"), overwrite=True)
    assert rows("SELECT id FROM t") == [(7,)]
    assert staging() == []


def test_only_attempts_that_were_reported_count(rows, place):
    table = pa.table({"id": [1, 2]})
    assert write_here(open_postgres(place("t")), table, table, kept=[0]) == 2
    assert rows("SELECT id FROM t ORDER BY id") == [(1,), (2,)]


def test_a_key_says_which_rows_are_there_already(rows, place):
    def table(*ids, word):
        return pa.table({"id": [f"k{i}" for i in ids], "word": [word] * len(ids)})

    assert write_here(open_postgres(place("t"), key="id"), table(1, 2, word="a")) == 2
    assert write_here(open_postgres(place("t"), key="id"), table(2, 3, word="b")) == 1
    assert open_postgres(place("t"), key="id").keys() == {"k1", "k2", "k3"}
    sink = open_postgres(place("t"), key="id", overwrite=True)
    assert write_here(sink, table(1, 4, word="c")) == 2
    assert sorted(rows("SELECT * FROM t")) == [("k1", "c"), ("k2", "a"), ("k3", "b"), ("k4", "c")]


def test_a_table_that_lacks_columns_is_given_them_where_that_is_asked_for(rows, place):
    older = pa.table({"id": ["k1"]})
    newer = pa.table({"id": ["k1", "k2"], "A word": ["a", "b"], "parts": [["x"], ["y"]]})
    write_here(open_postgres(place("t"), key="id"), older)
    with pytest.raises(InvalidOptionError, match="no column for its"):
        write_here(open_postgres(place("t"), key="id"), newer)
    growing = {"key": "id", "add_columns": True}
    open_postgres(place("t"), **growing).check(newer.schema)
    assert rows("SELECT * FROM t") == [("k1",)]
    assert write_here(open_postgres(place("t"), **growing), newer) == 1
    assert sorted(rows("SELECT * FROM t")) == [("k1", None, None), ("k2", "b", ["y"])]
    assert write_here(open_postgres(place("t"), **growing, overwrite=True), newer) == 2
    assert sorted(rows("SELECT * FROM t")) == [("k1", "a", ["x"]), ("k2", "b", ["y"])]


def test_columns_that_only_the_owner_may_add_are_named_before_there_are_rows(rows, place):
    rows("CREATE TABLE t (id text)")
    name = f"other_{uuid4().hex[:8]}"
    rows(f"CREATE ROLE {name} LOGIN")
    try:
        rows(f"GRANT ALL ON SCHEMA {place('t').split('/')[-2]} TO {name}")
        rows(f"GRANT ALL ON t TO {name}")
        parts = urlsplit(place("t"))
        theirs = parts._replace(netloc=f"{name}@{parts.netloc.rpartition('@')[2]}").geturl()
        sink = open_postgres(theirs, key="id", add_columns=True)
        sink.check(pa.schema([("id", pa.string())]))
        wanted = r'ALTER TABLE ".*"."t" ADD COLUMN "n" bigint, ADD COLUMN "word" text'
        with pytest.raises(AccessDeniedError, match=wanted):
            sink.check(pa.schema([("id", pa.string()), ("n", pa.int64()), ("word", pa.string())]))
    finally:
        rows(f"DROP OWNED BY {name}")
        rows(f"DROP ROLE {name}")


def test_a_dataset_without_rows_empties_a_table_and_makes_none(ray_cluster, rows, place):
    rows("CREATE TABLE t AS SELECT 1::bigint AS id, 'a' AS word")
    assert stenopool.write(nothing(), place("t")) == 0
    assert rows("SELECT count(*) FROM t") == [(1,)]
    assert stenopool.write(nothing(), place("t"), overwrite=True) == 0
    assert rows("SELECT count(*) FROM t") == [(0,)]


def test_readers_go_on_and_two_that_replace_leave_the_rows_of_one(rows, place):
    first, second = open_postgres(place("t"), overwrite=True), open_postgres(place("t"))
    second._overwrite = True
    parts = []
    for number, sink in enumerate((first, second)):
        table = pa.table({"id": [number] * 5})
        sink.on_write_start(table.schema)
        parts.append(sink.write([table], None))
    ends = [
        threading.Thread(target=sink.on_write_complete, args=(WriteResult(5, 0, [part]),))
        for sink, part in zip((first, second), parts, strict=True)
    ]
    for end in ends:
        end.start()
    for end in ends:
        end.join(60)
    assert (first.rows, second.rows) == (5, 5)
    assert rows("SELECT count(*), count(DISTINCT id) FROM t") == [(5, 1)]


@pytest.mark.proof
def test_a_killed_driver_leaves_the_old_rows_or_the_new(rows, staging, place):
    moments = ("after the task", "before the commit", "after the commit")
    cases = [
        (place(f"t{index}{overwrite}"), moment, overwrite)
        for index, moment in enumerate(moments)
        for overwrite in (False, True)
    ]
    for url, *_ in cases:
        rows(f"CREATE TABLE {url.rpartition('/')[2]} AS SELECT 100::bigint AS id, 'old' AS word")
    command = [sys.executable, "-c", DRIVER, *("|".join(map(str, case)) for case in cases)]
    done = subprocess.run(command, timeout=60, check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(-signal.SIGKILL)] * len(cases), done.stderr
    for url, moment, overwrite in cases:
        new = (50 if overwrite else 51, 49 if overwrite else 100)
        found = rows(f"SELECT count(*), max(id) FROM {url.rpartition('/')[2]}")
        assert found == [new if moment == "after the commit" else (1, 100)]
    assert staging() != []
    write_here(open_postgres(place("t")), pa.table({"id": [1]}))
    assert staging() == []


def test_a_write_that_goes_on_is_not_swept_by_another(rows, staging, place):
    slow, table = open_postgres(place("t")), pa.table({"id": [1]})
    slow.on_write_start(table.schema)
    part = slow.write([table], None)
    write_here(open_postgres(place("t")), pa.table({"id": [2]}))
    slow.on_write_complete(WriteResult(1, 0, [part]))
    assert sorted(rows("SELECT id FROM t")) == [(1,), (2,)]
    assert staging() == []


def test_a_column_of_the_dataset_may_be_called_anything(rows, place):
    odd = {'say "hi"; --': ["a"], "Sum": ["b"], '"Mixed"': ["c"], "ü%s": ["d"]}
    write_here(open_postgres(place("%22Odd Table%22")), pa.table(odd))
    found = rows('SELECT "say ""hi""; --", sum, "Mixed", "ü%s" FROM "Odd Table"')
    assert found == [("a", "b", "c", "d")]


def test_no_message_shows_the_password(postgres_server, place):
    parts = urlsplit(postgres_server)
    for url, kind in [
        (f"postgresql://stenopool:s3cret@127.0.0.1:{parts.port}/nowhere/t", StorageError),
        ("postgresql://u:s3cret@127.0.0.1:1/db/t", StorageError),
        (f"postgresql://stenopool:s3cret@127.0.0.1:{parts.port}/postgres/nowhere/t", NotFoundError),
    ]:
        sink = open_postgres(url)
        with pytest.raises(kind, match=r"postgresql://127.0.0.1") as caught:
            sink.check()
        assert "s3cret" not in f"{caught.value} {sink} {sink._table!r}"
    for url in ("postgresql://u:s3cret@h/db", "postgresql://u:s3cret@h:x/db/t"):
        with pytest.raises(InvalidNameError) as caught:
            open_postgres(url)
        assert "s3cret" not in str(caught.value)


def test_a_user_who_may_not_write_is_told_so(rows, postgres_server, place):
    name = f"reader_{place('').split('/')[-2]}"
    rows("CREATE TABLE t (id bigint)")
    rows(f"CREATE ROLE {name} LOGIN")
    try:
        url = place("t").replace("stenopool@", f"{name}@")
        with pytest.raises(AccessDeniedError, match=r"/t: access denied \(permission denied"):
            write_here(open_postgres(url), pa.table({"id": [1]}))
    finally:
        rows(f"DROP ROLE {name}")


def test_a_view_is_no_place_for_rows(rows, place):
    rows("CREATE VIEW v AS SELECT 1 AS id")
    with pytest.raises(InvalidNameError, match="is no table"):
        open_postgres(place("v")).check()
    with pytest.raises(NotFoundError, match=r"/gone does not exist"):
        open_postgres(place("gone"), create_missing=False).check()


def test_a_reader_is_never_kept_waiting(rows, place):
    rows("CREATE TABLE t AS SELECT 1::bigint AS id")
    sink, table = open_postgres(place("t"), overwrite=True), pa.table({"id": [2, 3]})
    sink.on_write_start(table.schema)
    part = sink.write([table], None)
    seen = []
    take_over = sink._take_over

    def look(connection, attempts):
        taken = take_over(connection, attempts)
        rows("SET lock_timeout = '2s'")
        try:
            seen.extend(rows("SELECT id FROM t"))
        except LockNotAvailable:  # pragma: no cover
            pytest.fail("a reader had to wait for the write")
        return taken

    sink._take_over = look
    sink.on_write_complete(WriteResult(2, 0, [part]))
    assert seen == [(1,)]
    assert sorted(rows("SELECT id FROM t")) == [(2,), (3,)]
