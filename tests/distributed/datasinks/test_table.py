"""A dataset goes into a table whole, or not at all."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import ray.data
from ray.data.datasource import WriteResult

from stenopool.catalog import open_catalog
from stenopool.catalog.writing import TableWrite
from stenopool.distributed.datasinks import TableDatasink
from stenopool.errors import CatalogError, InvalidOptionError, NotFoundError, StorageError
from stenopool.settings import Settings

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _ray(ray_cluster, settings):
    """All of these need Ray and a home of their own."""


def numbers(count, blocks=4):
    return ray.data.range(count, override_num_blocks=blocks)


def test_rows_are_written_and_the_sink_says_how_many(rows):
    sink = TableDatasink("t", auto_create_table=True)
    numbers(100).write_datasink(sink)
    assert rows("SELECT count(*), count(DISTINCT id), sum(id) FROM t") == [(100, 100, 4950)]
    assert (sink.rows, sink.files) == (100, 1)
    assert sink.snapshot_id is not None


def test_a_second_write_appends_and_an_overriding_one_replaces(rows):
    numbers(10).write_datasink(TableDatasink("t", auto_create_table=True))
    numbers(5).write_datasink(TableDatasink("t"))
    assert rows("SELECT count(*) FROM t") == [(15,)]
    numbers(3).write_datasink(TableDatasink("t", override=True))
    assert rows("SELECT id FROM t ORDER BY id") == [(0,), (1,), (2,)]


def test_every_type_comes_back_as_it_was(rows):
    at = dt.datetime(2026, 11, 25, 10, 30, 0, 123456)  # noqa: DTZ001 - one without a zone
    values = {
        "said": "ü'\"\n", "raw": b"\x00\xff", "good": True, "n": -(2**63), "f": 0.1,
        "seen_at": at, "utc": at.replace(tzinfo=dt.UTC), "said_on": at.date(),
        "price": Decimal("123.45"), "parts": ["a", None], "inner_part": {"x": 1, "y": "z"},
        "absent": None,
    }  # fmt: skip
    ray.data.from_arrow(pa.Table.from_pylist([values])).write_datasink(
        TableDatasink("t", auto_create_table=True)
    )
    names = ", ".join(values)
    [found] = rows(f"SELECT {names} FROM t")
    assert dict(zip(values, found, strict=True)) == values
    kinds = {name: kind for name, kind, _ in rows("DESCRIBE TABLE t")}
    assert kinds["SEEN_AT"] == "TIMESTAMP"
    assert kinds["UTC"] == "TIMESTAMP WITH TIME ZONE"


def test_embeddings_and_pandas_and_numpy_blocks_are_lists_and_values(rows):
    def embed(batch):
        return {"id": batch["id"], "e": np.outer(batch["id"], np.ones(3)).astype(np.float32)}

    numbers(4).map_batches(embed, batch_format="numpy").write_datasink(
        TableDatasink("np", auto_create_table=True)
    )
    assert rows("SELECT e FROM np WHERE id = 2") == [([2.0, 2.0, 2.0],)]

    def frame(batch):
        return pd.DataFrame({"x": batch["id"].astype(str), "seen_at": pd.Timestamp("2026-01-02")})

    numbers(4).map_batches(frame, batch_format="pandas").write_datasink(
        TableDatasink("pd", auto_create_table=True)
    )
    assert rows("SELECT max(x), max(seen_at) FROM pd") == [("3", dt.datetime(2026, 1, 2))]  # noqa: DTZ001


def test_a_missing_table_is_named_before_any_task():
    with pytest.raises(NotFoundError, match=r"STENOPOOL\.PUBLIC\.MISSING"):
        TableDatasink("missing")


def test_a_missing_schema_is_named_before_any_task():
    with pytest.raises(NotFoundError, match=r"NOWHERE"):
        TableDatasink("t", schema="nowhere", auto_create_table=True)


def test_names_are_completed_and_never_doubled(rows):
    with open_catalog(Settings.from_env()) as catalog:
        catalog.create_database("D")
        catalog.create_schema("D", "s")
    for name, database, schema in [
        ("a", "d", '"s"'), ('"s".b', "d", None), ('D."s".c', None, None), ('d."s".e', "D", '"s"'),
    ]:  # fmt: skip
        numbers(1).write_datasink(TableDatasink(name, database, schema, True))
    assert {name for name, *_ in rows("SHOW TABLES")} == {"A", "B", "C", "E"}


def test_columns_that_do_not_fit_are_refused_and_the_table_stays(rows, orphans):
    numbers(3).write_datasink(TableDatasink("t", auto_create_table=True))
    with pytest.raises(InvalidOptionError, match=r"PUBLIC\.T.*'id'.*'id'|no column"):
        numbers(3).rename_columns({"id": "other"}).write_datasink(TableDatasink("t"))
    text = numbers(3).map_batches(lambda batch: {"id": batch["id"].astype(str)})
    with pytest.raises(
        InvalidOptionError, match=r"PUBLIC\.T: column 'ID' is of type int64.*string"
    ):
        text.write_datasink(TableDatasink("t", override=True))
    assert rows("SELECT count(*) FROM t") == [(3,)]
    assert orphans() == []


def test_a_later_block_that_does_not_fit_fails_the_write_as_a_whole(rows, orphans):
    def some_text(batch):
        ids = batch["id"]
        return pa.table({"id": pa.array(ids) if ids[0] < 75 else pa.array([str(i) for i in ids])})

    with pytest.raises(Exception, match=r"PUBLIC\.T cannot be made"):
        numbers(100).map_batches(some_text).write_datasink(
            TableDatasink("t", auto_create_table=True)
        )
    assert rows("SHOW TABLES") == []
    assert orphans() == []


def test_a_failing_step_before_leaves_the_table_and_no_files(rows, orphans):
    numbers(3).write_datasink(TableDatasink("t", auto_create_table=True))

    def fail(batch):
        if batch["id"][0] >= 50:
            raise ValueError("as asked")
        return batch

    for override in (False, True):
        with pytest.raises(Exception, match="as asked"):
            numbers(100).map_batches(fail).write_datasink(TableDatasink("t", override=override))
    assert rows("SELECT count(*) FROM t") == [(3,)]
    assert orphans() == []


def test_a_dataset_without_rows_makes_or_empties_a_table(rows):
    nothing = numbers(3).map_batches(lambda batch: {"id": batch["id"][:0]})
    nothing.write_datasink(TableDatasink("t", auto_create_table=True))
    assert rows("SELECT id FROM t") == []
    numbers(3).write_datasink(TableDatasink("t"))
    nothing.write_datasink(TableDatasink("t"))
    assert rows("SELECT count(*) FROM t") == [(3,)]
    nothing.write_datasink(TableDatasink("t", override=True))
    assert rows("SELECT count(*) FROM t") == [(0,)]


def test_a_dataset_that_names_no_columns_says_so(rows):
    with pytest.raises(InvalidOptionError, match="no rows"):
        numbers(3).limit(0).write_datasink(TableDatasink("t", auto_create_table=True))
    assert rows("SHOW TABLES") == []


def test_a_table_is_made_with_the_columns_of_all_rows(rows):
    def frame(batch):
        first = batch["id"][0] == 0
        value = None if first else 0.5
        return pd.DataFrame({"x": [value], "l": [[] if first else [{"a": 1}]]})

    numbers(3, blocks=3).map_batches(frame, batch_size=1).write_datasink(
        TableDatasink("t", auto_create_table=True)
    )
    assert rows("SELECT count(*), count(x), sum(x) FROM t") == [(3, 2, 1.0)]


def begun(name, *, override=False):
    """A sink that has written ten rows and not committed them, and what Ray would tell it."""
    sink = TableDatasink(name, auto_create_table=True, override=override)
    ten = pa.table({"id": list(range(10))})
    sink.on_write_start(ten.schema)
    return sink, WriteResult(10, 0, [sink.write([ten], None)])


def test_an_error_after_the_commit_removes_nothing_that_was_committed(rows, monkeypatch):
    for name in ("new", "old"):
        if name == "old":
            numbers(1).write_datasink(TableDatasink(name, auto_create_table=True))
        sink, result = begun(name)

        def full(*_):
            raise StorageError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(TableWrite, "_clear", full)
            sink.on_write_complete(result)
        assert rows(f"SELECT count(*) FROM {name}") == [(10 if name == "new" else 11,)]


def test_an_unknown_outcome_removes_nothing(rows, monkeypatch):
    numbers(1).write_datasink(TableDatasink("t", auto_create_table=True))
    sink, result = begun("t")

    def gone(*_):
        raise CatalogError("the catalog is gone")

    original = TableWrite._try

    def committed_and_lost(*args, **kwargs):
        original(*args, **kwargs)
        gone()

    with monkeypatch.context() as patch:
        patch.setattr(TableWrite, "_try", committed_and_lost)
        patch.setattr(TableWrite, "_committed_writes", gone)
        with pytest.raises(CatalogError) as lost:
            sink.on_write_complete(result)
        sink.on_write_failed(lost.value)  # as Ray does
    assert rows("SELECT count(*) FROM t") == [(11,)]


def test_an_answer_of_the_catalog_that_was_lost_is_no_failure(rows, monkeypatch):
    numbers(1).write_datasink(TableDatasink("t", auto_create_table=True))
    sink, result = begun("t")
    original = TableWrite._try

    def committed_and_lost(*args, **kwargs):
        original(*args, **kwargs)
        raise CatalogError("the connection broke")

    with monkeypatch.context() as patch:
        patch.setattr(TableWrite, "_try", committed_and_lost)
        sink.on_write_complete(result)
    assert rows("SELECT count(*) FROM t") == [(11,)]


def test_two_overriding_writes_never_mix(rows, settings):
    with open_catalog(settings) as catalog:
        catalog.create_table(catalog.name("t"), pa.schema([("ID", pa.int64())]))
    sinks = [begun("t", override=True) for _ in range(2)]
    for sink, result in sinks:
        sink.on_write_complete(result)
    assert rows("SELECT count(*) FROM t") == [(10,)]


WRITER = """
import sys, pyarrow as pa
from ray.data.datasource import WriteResult
from stenopool.distributed.datasinks import TableDatasink
name, first, override = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "override"
sink = TableDatasink(name, auto_create_table=True, override=override)
rows = pa.table({"id": list(range(first, first + 100))})
sink.on_write_start(rows.schema)
written = [sink.write([rows.slice(start, 10)], None) for start in range(0, 100, 10)]
print("ready", flush=True)
sys.stdin.readline()
sink.on_write_complete(WriteResult(100, 0, written))
"""


@pytest.mark.proof
@pytest.mark.parametrize(
    "kinds", [("append", "append"), ("append", "override"), ("override", "override")]
)
@pytest.mark.parametrize("there", [True, False])
def test_two_writers_at_once_succeed_or_one_is_told(rows, kinds, there):
    if there:
        numbers(1).write_datasink(TableDatasink("t", auto_create_table=True))
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, "t", str(1000 * number), kind],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ,
        )
        for number, kind in enumerate(kinds, start=1)
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout.readline() == "ready\n", writer.stderr.read()
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    errors = [writer.communicate(timeout=100)[1] for writer in writers]
    done = [index for index, writer in enumerate(writers, 1) if writer.returncode == 0]
    assert all(
        writer.returncode == 0 or "again" in err
        for writer, err in zip(writers, errors, strict=True)
    ), errors
    assert done
    found = dict(rows("SELECT floor(id / 1000)::INT, count(*) FROM t GROUP BY 1"))
    if kinds == ("override", "override"):
        assert list(found.values()) == [100]
    elif kinds == ("append", "append"):
        assert found == dict.fromkeys(done, 100) | ({0: 1} if there else {})
    else:
        assert set(found.values()) <= {1, 100}
        assert found.get(2) == (100 if 2 in done else None)


@pytest.mark.proof
def test_tables_in_a_bucket_and_a_catalog_in_postgresql_take_writes(
    bucket, postgres_url, monkeypatch, rows
):
    monkeypatch.setenv("STENOPOOL_WAREHOUSE", f"s3://{bucket}/tables")
    monkeypatch.setenv("STENOPOOL_CATALOG", postgres_url)
    numbers(20).write_datasink(TableDatasink("t", auto_create_table=True))
    numbers(7).write_datasink(TableDatasink("t", override=True))
    import stenopool

    assert stenopool.sql("SELECT count(*) FROM t").fetchall() == [(7,)]
