"""The plan: what is listed, less what is done, longest first."""

import socket
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import psutil
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from stenopool.catalog.ids import TranscriptIds
from stenopool.distributed.planning import (
    BLOCK_BYTES,
    BLOCK_FILES,
    MOST_BLOCKS,
    REFERENCE_SCHEMA,
    SORTED_AT_ONCE,
    cut_blocks,
    longest_first,
    make_plan,
    reference_table,
    without_units,
)
from stenopool.distributed.references import RecordingReferences
from stenopool.distributed.requesting import is_alive
from stenopool.model import FileRef, RunRecord


class Listed:
    """A source that lists what it is given."""

    name = "@A.B.C"

    def __init__(self, files):
        self.files = files

    def list(self):
        return iter(self.files)


def files(*sizes):
    return [FileRef(path=f"{i}.wav", size_bytes=size, etag="e") for i, size in enumerate(sizes)]


def key(file):
    """A transcript id that begins with the file's number."""
    return file.path.removesuffix(".wav").ljust(32, "0")


def ids(*numbers):
    return TranscriptIds([pa.array([str(number).ljust(32, "0") for number in numbers])])


def column(plan, name):
    return plan.references[name].to_pylist()


def test_longest_recordings_come_first():
    plan = make_plan(Listed(files(1, 3, 2)), key)
    assert column(plan, "size_bytes") == [3, 2, 1]


def test_what_is_done_is_skipped_and_counted():
    plan = make_plan(Listed(files(1, 2, 3, 4)), key, done=ids(0, 1), own=ids(2))
    assert column(plan, "path") == ["3.wav"]
    assert (plan.listed, plan.skipped, plan.resumed) == (4, 2, 1)


def test_limit_counts_what_is_to_do_and_not_what_is_done():
    plan = make_plan(Listed(files(1, 1, 1, 1, 1)), key, done=ids(0), limit=2)
    assert sorted(column(plan, "path")) == ["1.wav", "2.wav"]


def test_limit_counts_what_the_interrupted_run_has_done():
    plan = make_plan(Listed(files(1, 1, 1, 1)), key, own=ids(0), limit=2)
    assert column(plan, "path") == ["1.wav"]


def test_the_count_is_told_at_the_end_even_of_a_short_listing():
    told = []
    make_plan(Listed(files(1, 2)), key, on_listed=told.append)
    assert told == [2]


@given(st.lists(st.integers(0, 2 * BLOCK_BYTES), max_size=300), st.integers(1, 9))
def test_blocks_keep_every_recording_in_order_and_bound_the_work(sizes, tasks):
    cuts = cut_blocks(np.array(sizes, np.int64), tasks)
    assert sum(cuts) == len(sizes)
    start = 0
    for length in cuts:
        block = sizes[start : start + length]
        start += length
        assert length == 1 or (1 < length <= BLOCK_FILES and sum(block) <= BLOCK_BYTES)


def test_a_small_run_is_cut_for_every_core_and_a_tiny_one_is_not_cut():
    assert cut_blocks(np.array([1 << 18] * 4), 4) == [1] * 4
    assert cut_blocks(np.array([1000] * 8), 4) == [8]


def test_a_few_hundred_clips_are_dealt_out_in_pieces_so_that_no_engine_waits():
    assert cut_blocks(np.array([9000] * 128), 16) == [16] * 8


def test_an_engine_gets_no_more_recordings_at_once_than_it_may_take_with_it():
    assert cut_blocks(np.array([9000] * 2000), 24, files=8) == [8] * 250


def test_a_run_of_any_size_is_cut_into_blocks_that_a_driver_can_hold():
    # Guard: `MOST_BLOCKS`; ten million recordings were four million tasks of 6 kB each.
    sizes = np.full(3 * MOST_BLOCKS, 2 * BLOCK_BYTES, np.int64)
    assert len(cut_blocks(sizes, 8000)) == MOST_BLOCKS
    assert sum(cut_blocks(sizes, 8000)) == len(sizes)


def numbered(count):
    """References of rising size, with their number as path and id."""
    numbers = [f"{number:032}" for number in range(count)]
    columns = [numbers, range(count), numbers, numbers, pa.nulls(count)]
    return pa.table([pa.array(column) for column in columns], REFERENCE_SCHEMA.names).cast(
        REFERENCE_SCHEMA
    )


def test_a_plan_in_chunks_is_in_order_and_its_tasks_are_whole():
    # Guard: `SORTED_AT_ONCE`; ten million long paths are more than one chunk of Arrow holds.
    count = SORTED_AT_ONCE + 10
    references = longest_first(numbered(count))
    assert references["path"].num_chunks == 2
    assert references["size_bytes"].to_numpy().tolist() == list(range(count))[::-1]
    last = references.slice(SORTED_AT_ONCE - 40)
    tasks = RecordingReferences(last, tasks=4).get_read_tasks(1)
    assert len(tasks) == 4
    blocks = [block for task in tasks for block in task()]
    assert pa.concat_tables(blocks).equals(last.combine_chunks())


def test_references_say_which_units_are_done():
    references = numbered(3)
    key = references["transcript_id"][1].as_py()
    marked = without_units(references, {key: [0, 2], "another": [1]})
    assert marked.schema == REFERENCE_SCHEMA
    assert marked["units_done"].to_pylist() == [None, [0, 2], None]


def test_references_hold_what_opens_and_names_a_recording():
    table = reference_table([(FileRef(path="a b", size_bytes=5, etag="e"), "id")])
    row = {"path": "a b", "size_bytes": 5, "etag": "e", "transcript_id": "id", "units_done": None}
    assert table.to_pylist() == [row]


def test_a_name_that_is_not_utf8_is_held_in_a_form_that_tables_can_hold():
    path = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    table = reference_table([(FileRef(path=path, size_bytes=5, etag="e"), "id")])
    assert table["path"].to_pylist() == ["caf\\xe9.wav"]


def test_a_run_that_goes_on_in_a_younger_process_is_alive():
    process = psutil.Process()
    details = {"host": socket.gethostname(), "pid": process.pid}
    run = RunRecord(
        run_id="r",
        source="s",
        target="t",
        state="running",
        options="{}",
        started_at=datetime(2020, 1, 1, tzinfo=UTC),
        details={**details, "process_started": process.create_time()},
    )
    assert is_alive(run)
    assert not is_alive(replace(run, details={**details, "process_started": 1.0}))
