"""Many files packed into few, and read again: bytes, paths and order are kept."""

from __future__ import annotations

import pytest

from stenopool.distributed.datasources import (
    SFStageBinaryFileDataSource,
    SFStageShardDataSource,
    generate_shards,
)
from stenopool.errors import AlreadyExistsError, InvalidOptionError, NotFoundError

pytestmark = pytest.mark.integration

FILES = {f"d{number % 3}/ü {number:03}.wav": bytes([number]) * 40_000 for number in range(30)}


@pytest.fixture
def filled(stage):
    for path, content in FILES.items():
        stage.put(path, content)
    return stage


def shards_there(stage, folder="shards"):
    return sorted(file.path for file in stage.storage.list(folder))


def unpacked(location, **options):
    """The rows of the shards, in the order of the shards' names."""
    tasks = SFStageShardDataSource(location, **options).get_read_tasks(1000)
    return [row for task in tasks for table in task() for row in table.to_pylist()]


def test_shards_hold_every_file_verbatim_in_order(filled, read, ray_cluster):
    made = generate_shards(
        "@CALLS", "@CALLS/shards/", file_pattern="*.wav", target_shard_size_mb=0.2
    )
    assert made.stage_location == "@STENOPOOL.PUBLIC.CALLS/shards"
    assert (made.files, made.size_bytes) == (30, 30 * 40_000)
    assert len(made.paths) == 6
    assert list(made.paths) == shards_there(filled)
    expected = [{"bytes": FILES[path], "path": path} for path in sorted(FILES)]
    assert unpacked(made.stage_location) == expected
    dataset = read(SFStageShardDataSource(stage_location="@CALLS/shards", use_file_cache=False))
    assert dataset.count() == 30
    assert {row["path"]: row["bytes"] for row in dataset.take_all()} == FILES


def test_columns_are_those_that_were_packed_and_asked_for(filled, ray_cluster):
    generate_shards("@CALLS/d0", "@CALLS/shards", include_paths=False, file_prefix="bare")
    assert unpacked("@CALLS/shards")[0].keys() == {"bytes"}
    with pytest.raises(InvalidOptionError, match="path"):
        unpacked("@CALLS/shards", include_paths=True)
    generate_shards("@CALLS/d0", "@CALLS/more")
    assert unpacked("@CALLS/more", columns=["path"])[0] == {"path": "d0/ü 000.wav"}


def test_packing_again_replaces_the_shards_of_the_prefix(filled, ray_cluster):
    generate_shards("@CALLS", "@CALLS/shards", target_shard_size_mb=0.1)
    generate_shards("@CALLS/d1", "@CALLS/shards", file_prefix="other")
    with pytest.raises(AlreadyExistsError, match="shard-000000"):
        generate_shards("@CALLS", "@CALLS/shards", overwrite=False)
    again = generate_shards("@CALLS", "@CALLS/shards", file_pattern="*.wav")
    assert again.files == 30
    assert shards_there(filled) == ["shards/other-000000.arrow", "shards/shard-000000.arrow"]
    generate_shards("@CALLS/d1", "@CALLS/shards", force_cleanup=True, overwrite=False)
    assert shards_there(filled) == ["shards/shard-000000.arrow"]


def test_shards_that_are_replaced_are_not_packed_themselves(filled, ray_cluster):
    generate_shards("@CALLS", "@CALLS", target_shard_size_mb=0.5)
    assert generate_shards("@CALLS", "@CALLS").files == 30


def test_a_failed_packing_leaves_no_shard(folder_stage, ray_cluster, monkeypatch):
    for path, content in FILES.items():
        folder_stage.put(path, content)
    listed = "stenopool.distributed.datasources.sharding.list_files"
    from stenopool.distributed.datasources.listing import list_files

    def then_one_goes(*arguments):
        files = list_files(*arguments)
        folder_stage.remove(max(FILES))
        return files

    monkeypatch.setattr(listed, then_one_goes)
    with pytest.raises(NotFoundError, match=r"^'d2/ü 029.wav' of"):
        generate_shards("@CALLS", "@CALLS/shards", target_shard_size_mb=0.2)
    assert shards_there(folder_stage) == []


def test_what_is_wrong_is_said_before_any_task(folder_stage):
    folder_stage.put("a.wav", b"a")
    with pytest.raises(InvalidOptionError, match="target_shard_size_mb"):
        generate_shards("@CALLS", "@CALLS/s", target_shard_size_mb=0)
    with pytest.raises(NotFoundError, match=r"@STENOPOOL\.PUBLIC\.NOWHERE"):
        generate_shards("@CALLS", "@NOWHERE")
    with pytest.raises(NotFoundError, match="flac"):
        generate_shards("@CALLS", "@CALLS/s", file_pattern="*.flac")
    with pytest.raises(NotFoundError):
        SFStageBinaryFileDataSource("@CALLS/s")
