"""A folder of Parquet files or JSON lines gets a dataset whole, or not at all."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading

import duckdb
import pyarrow as pa
import pyarrow.dataset
import pytest
import ray.data
from ray.data.datasource.datasink import WriteResult

import stenopool
from distributed.datasinks.values import ROW, every_type, nothing, numbers, write_here
from stenopool.distributed.datasinks.folder import (
    ChangedError,
    FolderDatasink,
    keys_in,
    writes_in,
)
from stenopool.errors import InvalidNameError, InvalidOptionError, NotFoundError, StorageError

pytestmark = pytest.mark.integration

OLDER = pa.table({"id": [1], "said": [[{"text": "a"}]]})
NEWER = pa.table({"id": [2], "said": [[{"text": "b", "language": "en"}]], "sure": [0.5]})

DRIVER = """
import os, signal, sys
import pyarrow as pa
from ray.data.datasource.datasink import WriteResult
from stenopool.distributed.datasinks import folder as module


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def write(path, moment, overwrite):
    sink = module.FolderDatasink(path, overwrite=overwrite)
    rows = pa.table({"id": list(range(50)), "word": ["w"] * 50})
    sink.on_write_start(rows.schema)
    part = sink.write([rows], None)
    if moment == "after the task":
        die()
    if moment == "before the step":
        module.FolderDatasink._publish = die
    if moment == "after the step":
        module.FolderDatasink._end = die
    sink.on_write_complete(WriteResult(50, 0, [part]))


for argument in sys.argv[1:]:
    path, moment, overwrite = argument.split("|")
    if (child := os.fork()) == 0:
        write(path, moment, overwrite == "True")
        os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def target(tmp_path):
    return tmp_path / "data" / "out"


def ids(target):
    """What DuckDB, which looks into hidden folders as well, finds below the target."""
    with duckdb.connect() as reader:
        found = reader.sql(f"SELECT id FROM read_parquet('{target}/**/*.parquet')").fetchall()
    return sorted(value for (value,) in found)


def hidden(target):
    return [path.name for path in target.parent.glob(".*")]


def test_rows_are_written_added_and_replaced(ray_cluster, target):
    assert stenopool.write(numbers(100), f"{target}") == 100
    assert ids(target) == list(range(100))
    assert stenopool.write(numbers(10, first=100), f"{target}/") == 10
    assert ids(target) == list(range(110))
    assert stenopool.write(numbers(5), f"file://{target}", overwrite=True) == 5
    assert ids(target) == list(range(5))
    assert hidden(target) == []


def test_a_reader_sees_one_generation_of_a_folder_that_is_replaced(target):
    write_here(FolderDatasink(target), pa.table({"id": [0]}))
    seen, done = set(), threading.Event()

    def look():
        while not done.is_set():
            folder = os.open(target, os.O_RDONLY)
            names = os.listdir(folder)  # noqa: PTH208 - of the folder that is open
            # One that was replaced between the two calls is cleared, and no longer the target.
            if os.path.samestat(os.fstat(folder), os.stat(target)):  # noqa: PTH116
                seen.add(len(names))
            os.close(folder)

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(50):
        write_here(FolderDatasink(target, overwrite=True), pa.table({"id": [number]}))
    done.set()
    reader.join()
    assert seen == {1}


def test_every_type_comes_back_as_it_was(target):
    write_here(FolderDatasink(target), every_type())
    found = pyarrow.dataset.dataset(target).to_table()
    assert found.to_pylist() == every_type().to_pylist()
    assert found.schema.field("utc").type == pa.timestamp("us", "UTC")


def test_json_lines_hold_what_json_lacks_as_text(target):
    target = target.with_suffix(".jsonl")
    rows = every_type().append_column("odd", pa.array([float("nan"), 1.5]))
    write_here(FolderDatasink(target, lines=True), rows)
    [file] = target.rglob("*.jsonl")
    first, second = map(json.loads, file.read_text().splitlines())
    assert first == ROW | {
        "raw": base64.b64encode(ROW["raw"]).decode(),
        "seen_at": "2026-11-25T12:00:00.123456",
        "utc": "2026-11-25T12:00:00.123456+00:00",
        "said_on": "2026-11-25",
        "price": "123.45",
        "odd": None,
    }
    assert second == dict.fromkeys(ROW) | {"odd": 1.5}


def test_only_attempts_that_were_reported_count(target):
    rows = pa.table({"id": [1, 2]})
    write_here(FolderDatasink(target), rows, rows, kept=[1])
    assert ids(target) == [1, 2]


def test_a_write_that_fails_leaves_nothing(ray_cluster, target):
    def fail(batch):
        if 60 in batch["id"]:
            raise ValueError("no")
        return batch

    with pytest.raises(Exception, match="no"):
        stenopool.write(numbers(100).map_batches(fail, batch_size=10), f"{target}")
    assert list(target.parent.rglob("*")) == []


def test_a_write_that_fails_after_its_tasks_leaves_nothing(target):
    sink, rows = FolderDatasink(target), pa.table({"id": [1]})
    sink.on_write_start(rows.schema)
    sink.write([rows], None)
    sink.on_write_failed(ValueError())
    assert list(target.parent.rglob("*")) == []


def test_a_killed_driver_leaves_the_old_rows_or_the_new(tmp_path):
    moments = ("after the task", "before the step", "after the step")
    cases = [
        (tmp_path / f"{index}{overwrite}" / "out", moment, overwrite)
        for index, moment in enumerate(moments)
        for overwrite in (False, True)
    ]
    for target, *_ in cases:
        write_here(FolderDatasink(target), pa.table({"id": [100], "word": ["old"]}))
    command = [sys.executable, "-c", DRIVER, *("|".join(map(str, case)) for case in cases)]
    done = subprocess.run(command, timeout=60, check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(-signal.SIGKILL)] * len(cases), done.stderr
    for target, moment, overwrite in cases:
        new = [*range(50)] if overwrite else [*range(50), 100]
        assert ids(target) == (new if moment == "after the step" else [100])
        assert hidden(target) == [".stenopool-out"]
        write_here(FolderDatasink(target, overwrite=True), pa.table({"id": [7], "word": ["x"]}))
        assert ids(target) == [7]
        assert hidden(target) == []


def test_a_write_that_goes_on_is_not_swept_by_another(target):
    slow, rows = FolderDatasink(target), pa.table({"id": [1]})
    slow.on_write_start(rows.schema)
    part = slow.write([rows], None)
    write_here(FolderDatasink(target), pa.table({"id": [2]}))
    slow.on_write_complete(WriteResult(1, 0, [part]))
    assert ids(target) == [1, 2]
    assert hidden(target) == []


def test_a_write_that_expects_the_folder_as_it_was_notices_a_change(target):
    early = FolderDatasink(target, expected=set(), overwrite=True)
    write_here(FolderDatasink(target), pa.table({"id": [1], "k": ["a"]}))
    with pytest.raises(ChangedError, match="changed by another write"):
        write_here(early, pa.table({"id": [2]}))
    assert ids(target) == [1]
    assert keys_in(target, "k") == {"a"}
    write_here(
        FolderDatasink(target, expected=writes_in(target)), pa.table({"id": [3], "k": ["b"]})
    )
    assert keys_in(target, "k") == {"a", "b"}
    assert hidden(target) == []


def test_a_node_that_does_not_see_the_folder_says_so(target, tmp_path):
    rows = pa.table({"id": [1]})
    sink = FolderDatasink(target)
    sink.on_write_start(rows.schema)
    os.rename(target.parent, tmp_path / "elsewhere")  # noqa: PTH104  as where it is not mounted
    with pytest.raises(StorageError, match=r"does not see folder .*out.*STENOPOOL_WAREHOUSE"):
        sink.write([rows], None)
    os.rename(tmp_path / "elsewhere", target.parent)  # noqa: PTH104
    sink.on_write_failed(ValueError())


def test_rows_that_do_not_fit_are_refused_before_any_task(ray_cluster, target):
    write_here(FolderDatasink(target), pa.table({"id": [1], "word": ["a"]}))
    wrong = ray.data.from_arrow(pa.table({"id": ["x"], "word": ["a"]}))
    with pytest.raises(InvalidOptionError, match=r"out: column 'id' is of type int64.* string"):
        stenopool.write(wrong, f"{target}")
    more = ray.data.from_arrow(pa.table({"id": [1], "word": ["a"], "more": [1]}))
    with pytest.raises(InvalidOptionError, match="no column for its 'more'"):
        stenopool.write(more, f"{target}")
    assert ids(target) == [1]


def test_overwriting_never_removes_what_others_put_there(target):
    target.mkdir(parents=True)
    (target / "thesis.docx").touch()
    with pytest.raises(InvalidOptionError, match=r"thesis\.docx.*move it away"):
        write_here(FolderDatasink(target, overwrite=True), pa.table({"id": [1]}))
    assert [path.name for path in target.iterdir()] == ["thesis.docx"]
    write_here(FolderDatasink(target), pa.table({"id": [1]}))
    assert (target / "thesis.docx").exists()


def test_a_folder_without_rows_is_not_made_but_emptied(ray_cluster, target):
    assert stenopool.write(nothing(), f"{target}") == 0
    assert not target.exists()
    write_here(FolderDatasink(target), pa.table({"id": [1]}))
    assert stenopool.write(nothing(), f"{target}", overwrite=True) == 0
    assert list(target.rglob("*.parquet")) == []


def test_what_cannot_be_a_folder_is_named(target, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidNameError, match="is a file"):
        FolderDatasink(tmp_path / "file").check()
    with pytest.raises(InvalidNameError, match=r"file system begins.*/proc/rows"):
        FolderDatasink("/proc").check()
    with pytest.raises(NotFoundError, match=r"out does not exist"):
        FolderDatasink(target, create_missing=False).check()
    write_here(FolderDatasink(target), pa.table({"id": [1]}))
    with pytest.raises(InvalidOptionError, match=r"holds \.parquet files"):
        FolderDatasink(target, lines=True).check()


def test_rows_may_have_columns_and_fields_that_older_files_lack_where_that_is_asked_for(tmp_path):
    place = tmp_path / "rows"
    write_here(FolderDatasink(place), OLDER)
    with pytest.raises(InvalidOptionError, match="'sure'"):
        write_here(FolderDatasink(place), NEWER)
    assert write_here(FolderDatasink(place, add_columns=True), NEWER) == 1
    with duckdb.connect() as reader:
        files = f"read_parquet('{place}/**/*.parquet', union_by_name=true)"
        found = reader.sql(f"SELECT id, said[1].language, sure FROM {files} ORDER BY id").fetchall()
    assert found == [(1, None, None), (2, "en", 0.5)]
    # In a folder of its own: of two writes in one second none is the newer one.
    newer = tmp_path / "newer"
    write_here(FolderDatasink(newer), NEWER)
    with pytest.raises(InvalidOptionError, match="it has no column 'sure' of the table"):
        write_here(FolderDatasink(newer, add_columns=True), OLDER)
