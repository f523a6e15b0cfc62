"""Pictures, lines and tables: each file becomes the rows that its format says."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from distributed.datasources.conftest import by_path
from stenopool.distributed.datasources import (
    SFStageBinaryFileDataSource,
    SFStageCSVDataSource,
    SFStageImageDataSource,
    SFStageParquetDataSource,
    SFStageTextDataSource,
)
from stenopool.errors import InvalidOptionError, StorageError

pytestmark = pytest.mark.integration


def png(array, mode=None):
    stream = io.BytesIO()
    Image.fromarray(array, mode).save(stream, "png") if mode is None else Image.fromarray(
        array
    ).convert(mode).save(stream, "png")
    return stream.getvalue()


def parquet(table, **options):
    stream = io.BytesIO()
    pa.parquet.write_table(table, stream, **options)
    return stream.getvalue()


def rows(dataset):
    return dataset.take_all()


def test_pictures_of_any_size_and_mode_are_rgb_in_one_block(folder_stage, read):
    random = np.random.default_rng(0)
    colour = random.integers(0, 256, (7, 5, 3), np.uint8)
    grey = random.integers(0, 256, (3, 4), np.uint8)
    deep = random.integers(0, 65536, (2, 6), np.uint16)
    for name, array in {"colour": colour, "grey": grey, "deep": deep}.items():
        folder_stage.put(f"{name}.png", png(array))
    folder_stage.put("alpha.png", png(colour, "RGBA"))
    source = SFStageImageDataSource("@CALLS", include_paths=True)
    dataset = read(source, override_num_blocks=1)
    found = by_path(dataset, "image")
    assert all(image.dtype == np.uint8 for image in found.values())
    assert np.array_equal(found["colour.png"], colour)
    assert np.array_equal(found["alpha.png"], colour)
    assert np.array_equal(found["grey.png"], np.dstack([grey] * 3))
    assert np.array_equal(found["deep.png"][:, :, 1], deep >> 8)
    assert dataset.count() == 4
    shapes = {image.shape for batch in dataset.iter_batches() for image in batch["image"]}
    assert shapes == {(7, 5, 3), (3, 4, 3), (2, 6, 3)}


def test_the_image_column_is_alone_unless_paths_are_asked_for(folder_stage, read):
    folder_stage.put("a.png", png(np.zeros((8, 6, 3), np.uint8)))
    small = SFStageImageDataSource("@CALLS", size=(4, 2), mode="L")
    [row] = rows(read(small))
    assert list(row) == ["image"]
    assert row["image"].shape == (4, 2)


def test_the_size_of_pictures_is_that_of_their_pixels(folder_stage):
    folder_stage.put("a.png", png(np.zeros((100, 200, 3), np.uint8)))
    assert SFStageImageDataSource("@CALLS").estimate_inmemory_data_size() == 100 * 200 * 3


def test_lines_are_rows_and_empty_ones_too_unless_dropped(stage, read):
    stage.put("a.txt", b"one\r\n\r\n  \ntwo \xc3\xbc\x0b\nlast")
    stage.put("b.txt.gz", gzip.compress(b"packed\n"))
    stage.put("c.txt", b"")
    lines = [row["text"] for row in rows(read(SFStageTextDataSource("@CALLS")))]
    assert sorted(lines) == sorted(["one", "", "  ", "two ü\x0b", "last", "packed"])
    kept = read(SFStageTextDataSource("@CALLS", drop_empty_lines=True, include_paths=True))
    assert ("a.txt", "last") in {(row["path"], row["text"]) for row in rows(kept)}
    assert kept.count() == 4


def test_csv_files_have_their_own_columns(stage, read):
    stage.put("a.csv", b"name,number\nx,1\ny,2\n")
    stage.put("b.csv", b"name,number\nz,3\n")
    dataset = read(SFStageCSVDataSource("@CALLS", include_paths=True))
    assert sorted((row["path"], row["name"], row["number"]) for row in rows(dataset)) == [
        ("a.csv", "x", 1),
        ("a.csv", "y", 2),
        ("b.csv", "z", 3),
    ]


def test_parquet_files_have_their_own_columns_and_only_wanted_ones_are_read(stage, read):
    table = pa.table({"number": list(range(1000)), "fat": [b"x" * 1000] * 1000})
    stage.put("a.parquet", parquet(table, row_group_size=300))
    dataset = read(SFStageParquetDataSource("@CALLS"))
    assert dataset.count() == 1000
    assert dataset.columns() == ["number", "fat"]
    thin = dataset.select_columns(["number"])
    assert [row["number"] for row in thin.take_all()] == list(range(1000))
    narrowed = SFStageParquetDataSource("@CALLS").apply_projection({"number": "number"})
    assert {tuple(block.column_names) for block in narrowed.get_read_tasks(1)[0]()} == {("number",)}
    source = SFStageParquetDataSource("@CALLS", columns=["number"], include_paths=True)
    assert rows(read(source).limit(1)) == [{"number": 0, "path": "a.parquet"}]
    assert source.estimate_inmemory_data_size() > 2_000
    [block] = SFStageParquetDataSource("@CALLS").get_read_tasks(1)[0]()
    assert block.num_rows == 1000


@pytest.mark.parametrize(
    ("datasource", "options", "content", "said"),
    [
        (SFStageImageDataSource, {}, b"no picture", "picture"),
        (SFStageTextDataSource, {}, b"caf\xe9", "utf-8"),
        (SFStageCSVDataSource, {}, b"a,b\n1,2,3\n", "CSV"),
        (SFStageParquetDataSource, {}, b"PAR1 not", "Parquet"),
    ],
)
def test_a_broken_file_is_named(folder_stage, ray_cluster, datasource, options, content, said):
    folder_stage.put("broken.file", content)
    [task] = datasource("@CALLS", **options).get_read_tasks(1)
    with pytest.raises(StorageError, match=rf"'broken.file' of @STENOPOOL.PUBLIC.CALLS.*{said}"):
        list(task())


def test_a_path_column_of_its_own_is_not_overwritten(folder_stage, ray_cluster):
    folder_stage.put("a.csv", b"path\nx\n")
    [task] = SFStageCSVDataSource("@CALLS", include_paths=True).get_read_tasks(1)
    with pytest.raises(InvalidOptionError, match="include_paths"):
        list(task())


def test_a_column_that_is_missing_is_named_with_those_that_are_there(folder_stage, ray_cluster):
    folder_stage.put("a.parquet", parquet(pa.table({"there": [1]})))
    [task] = SFStageParquetDataSource("@CALLS", columns=["gone"]).get_read_tasks(1)
    with pytest.raises(InvalidOptionError, match=r"'gone'.*there"):
        list(task())


def test_a_long_file_is_streamed(folder_stage, ray_cluster, monkeypatch):
    monkeypatch.setattr("stenopool.distributed.datasources.reading.WHOLE_BYTES", 1000)
    text = "\n".join(f"line {number}" for number in range(5000))
    folder_stage.put("a.txt", text.encode())
    folder_stage.put("b.parquet", parquet(pa.table({"n": list(range(5000))})))
    [task] = SFStageTextDataSource("@CALLS/a.txt").get_read_tasks(1)
    assert [line for table in task() for line in table["text"].to_pylist()] == text.split("\n")
    [task] = SFStageParquetDataSource("@CALLS/b.parquet").get_read_tasks(1)
    assert [n for table in task() for n in table["n"].to_pylist()] == list(range(5000))
    [task] = SFStageBinaryFileDataSource("@CALLS/a.txt").get_read_tasks(1)
    assert [table["file_binary"][0].as_py() for table in task()] == [text.encode()]
