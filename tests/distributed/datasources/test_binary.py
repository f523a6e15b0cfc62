"""Bytes of a stage through Ray Data: every file once, no more read than is asked for."""

from __future__ import annotations

import os
import signal

import pytest
import ray

from distributed.datasources.conftest import by_path
from stenopool.distributed.datasources import SFStageBinaryFileDataSource
from stenopool.errors import NotFoundError

pytestmark = pytest.mark.integration

NAMES = ["a.bin", "deep/er/b.bin", 'it\'s "quoted".bin', "two  spaces ü🎧.bin", "deep/100%?[x].bin"]


@pytest.fixture
def filled(stage):
    for name in NAMES:
        stage.put(name, name.encode() * 100)
    return stage


def test_rows_are_the_files_bytes_and_paths(filled, read):
    found = by_path(read(SFStageBinaryFileDataSource("@CALLS/", include_paths=True)))
    assert found == {name: name.encode() * 100 for name in NAMES}


def test_a_path_with_its_stage_names_the_file_again(filled, read):
    source = SFStageBinaryFileDataSource("@CALLS/deep", include_paths=True)
    for path, content in by_path(read(source)).items():
        again = SFStageBinaryFileDataSource(f"@CALLS/{path}")
        assert read(again).take_all() == [{"file_binary": content}]


def test_counting_and_the_schema_read_no_bytes(filled, read):
    dataset = read(SFStageBinaryFileDataSource("@CALLS", include_paths=True))
    filled.remove(*NAMES)
    assert dataset.count() == len(NAMES)
    assert dataset.columns() == ["file_binary", "path"]


def test_a_limit_does_not_read_the_whole_stage(folder_stage, read):
    names = [f"{number:02}" for number in range(40)]
    for name in names:
        folder_stage.put(name, b"x")
    source = SFStageBinaryFileDataSource("@CALLS")
    dataset = read(source, override_num_blocks=20, concurrency=1)
    folder_stage.remove(*names[20:])
    assert len(dataset.take(1)) == 1
    assert dataset.limit(3).count() == 3
    with pytest.raises(NotFoundError):
        dataset.take(21)
    folder_stage.remove(*names[3:20])
    [task] = source.get_read_tasks(1, per_task_row_limit=3)
    assert (task.metadata.num_rows, sum(table.num_rows for table in task())) == (3, 3)


def test_blocks_are_as_many_as_asked_for(folder_stage, read):
    for number in range(10):
        folder_stage.put(str(number), b"x" * 1000)
    source = SFStageBinaryFileDataSource("@CALLS")
    assert source.estimate_inmemory_data_size() == 10_000
    assert [task.metadata.num_rows for task in source.get_read_tasks(4)] == [2, 3, 2, 3]
    assert len(source.get_read_tasks(100)) == 10
    materialized = read(source, override_num_blocks=5, concurrency=1).materialize()
    assert (materialized.num_blocks(), materialized.count()) == (5, 10)


def test_a_block_is_bounded_however_many_files_a_task_has(folder_stage, read):
    for number in range(12):
        folder_stage.put(str(number), os.urandom(200_000))
    context = ray.data.DataContext.get_current()
    before, context.target_max_block_size = context.target_max_block_size, 500_000
    try:
        dataset = read(SFStageBinaryFileDataSource("@CALLS"), override_num_blocks=1)
        blocks = list(dataset.iter_batches(batch_size=None, batch_format="pyarrow"))
    finally:
        context.target_max_block_size = before
    assert sum(block.num_rows for block in blocks) == 12
    assert max(block.nbytes for block in blocks) < 1_000_000


def test_a_file_that_is_gone_is_named_with_its_stage(filled, read):
    source = SFStageBinaryFileDataSource("@CALLS")
    filled.remove("deep/er/b.bin")
    with pytest.raises(
        NotFoundError, match=r"'deep/er/b.bin' of @STENOPOOL.PUBLIC.CALLS was listed"
    ):
        read(source).take_all()


def test_a_killed_worker_costs_no_row_and_doubles_none(folder_stage, read, tmp_path):
    for number in range(30):
        folder_stage.put(f"{number:02}", bytes([number]) * 1000)
    killed = tmp_path / "killed"

    def die_once(batch):
        # Fused with the read: this is the reading worker, in the middle of its files.
        if batch["path"][0] == "14" and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return batch

    source = SFStageBinaryFileDataSource("@CALLS", include_paths=True)
    context = ray.data.DataContext.get_current()
    before, context.target_max_block_size = context.target_max_block_size, 3_000
    try:
        dataset = read(source, override_num_blocks=2).map_batches(die_once, batch_size=1)
        found = by_path(dataset)
    finally:
        context.target_max_block_size = before
    assert killed.exists()
    assert found == {f"{number:02}": bytes([number]) * 1000 for number in range(30)}


@pytest.mark.proof
def test_files_are_saved_below_the_local_path_too(filled, read, tmp_path):
    copies = tmp_path / "copies"
    source = SFStageBinaryFileDataSource("@CALLS", local_path=str(copies), include_paths=True)
    found = by_path(read(source))
    assert {name: (copies / name).read_bytes() for name in NAMES} == found


def test_shuffled_files_come_in_another_order_that_a_seed_repeats(folder_stage, ray_cluster):
    for number in range(30):
        folder_stage.put(f"{number:02}", b"x")

    def paths(shuffle):
        source = SFStageBinaryFileDataSource("@CALLS", include_paths=True, shuffle=shuffle)
        [task] = source.get_read_tasks(1)
        return [path for table in task() for path in table["path"].to_pylist()]

    seeded = ray.data.FileShuffleConfig(seed=7)
    listed = [f"{number:02}" for number in range(30)]
    assert paths(None) == listed
    assert paths(seeded) == paths(seeded) != listed
    assert sorted(paths("files")) == listed
