"""A node that does not see a stage's folder says so at once, in one line."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace

import pytest
import ray.data

from distributed.conftest import speech, write_wav
from stenopool.distributed.planning import reference_table
from stenopool.distributed.reading import RUN_FAILED, UnitReader
from stenopool.distributed.visibility import Node, Place, require_visible, sampled
from stenopool.errors import StorageError
from stenopool.model import FileRef
from stenopool.settings import Settings

HERE = Node("here", "head (10.0.0.1)")
THERE = Node("there", "worker (10.0.0.2)")


@pytest.fixture
def place(folder):
    for name in ("a", "b", "c"):
        (folder / name).write_bytes(b"123")
    files = [("a", 3), ("b", 3), ("c", 3)]
    return Place(name="@A.B.C", root=str(folder), home_node="here", samples=sampled(files))


def test_one_sample_that_is_there_is_enough(place, folder):
    require_visible(place, THERE)
    (folder / "a").unlink()
    (folder / "b").write_bytes(b"other")
    require_visible(replace(place, name="@ELSE"), THERE)


def test_a_node_without_the_files_is_named_with_folder_stage_and_way_out(place, folder):
    for name in ("a", "b", "c"):
        (folder / name).write_bytes(b"another size")
    with pytest.raises(StorageError) as caught:
        require_visible(place, THERE)
    text = str(pickle.loads(pickle.dumps(caught.value)))
    for part in ("worker (10.0.0.2)", str(folder), "@A.B.C", "in a bucket", "mount"):
        assert part in text
    assert "\n" not in text
    require_visible(place, HERE)


def test_a_missing_folder_is_said_and_a_bucket_never_asked_for(place, folder):
    gone = replace(place, root=str(folder / "gone"))
    with pytest.raises(StorageError, match="no such folder"):
        require_visible(gone, THERE)
    require_visible(gone, HERE)
    require_visible(replace(place, root="s3://no-such-bucket"), THERE)


def test_samples_are_spread_over_the_files():
    files = [(str(number), number) for number in range(9)]
    assert sampled(files) == (("0", 0), ("4", 4), ("8", 8))
    assert sampled(files[:2]) == (("0", 0), ("1", 1))
    assert sampled([]) == ()
    assert len(sampled(files, 5)) == 5


@pytest.mark.integration
def test_a_reading_task_on_such_a_node_tells_the_run_that_it_cannot_go_on(folder, ray_cluster):
    write_wav(folder / "a.wav", speech(1))
    references = reference_table([(FileRef(path="gone.wav", size_bytes=9, etag="e"), "id")])
    elsewhere = Place(
        name="@A.B.C", root=str(folder), home_node="another", samples=(("gone.wav", 9),)
    )
    reader = UnitReader(
        str(folder),
        vad=False,
        block_windows=10,
        settings=Settings.from_env({"STENOPOOL_HOME": str(folder)}),
        place=elsewhere,
    )
    dataset = ray.data.from_arrow(references).map_batches(
        reader.__call__, batch_size=None, batch_format="pyarrow"
    )
    [row] = dataset.take_all()
    assert row["error_class"] == RUN_FAILED
    assert re.match(r"node .* does not see the folder .* of @A\.B\.C", row["error"])
