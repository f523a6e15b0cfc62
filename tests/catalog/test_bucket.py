"""Stages and tables whose bytes lie in a bucket of a real S3 server."""

from __future__ import annotations

import pyarrow as pa
import pytest

from stenopool.catalog import open_catalog, resolve_source
from stenopool.errors import NotFoundError
from stenopool.settings import Settings
from stenopool.storage import open_storage

COLUMNS = pa.schema([("n", pa.int64())])


@pytest.fixture
def catalog(tmp_path, bucket):
    variables = {
        "STENOPOOL_HOME": str(tmp_path),
        "STENOPOOL_WAREHOUSE": f"s3://{bucket}/tables",
        "STENOPOOL_STAGES": f"s3://{bucket}/stages/",
    }
    with open_catalog(Settings.from_env(variables)) as opened:
        yield opened


def test_a_table_in_a_bucket_is_written_read_and_dropped(catalog, bucket):
    name = catalog.name('"odd né"')
    table = catalog.create_table(name, COLUMNS)
    assert table.location().startswith(f"s3://{bucket}/tables/STENOPOOL/PUBLIC/")
    table.append(pa.table({"n": [1, 2]}, COLUMNS))
    assert catalog.table(name).scan().to_arrow()["n"].to_pylist() == [1, 2]
    catalog.drop_table(name)
    assert list(open_storage(f"s3://{bucket}").list()) == []


def test_a_stage_in_a_bucket_keeps_its_files_until_it_is_dropped(catalog, bucket, tmp_path):
    stage = catalog.create_stage(catalog.name("calls"))
    assert stage.root == f"s3://{bucket}/stages/STENOPOOL/PUBLIC/CALLS"
    (tmp_path / "a.wav").write_bytes(b"a")
    open_storage(stage.root).put(tmp_path / "a.wav", "x/a.wav")
    source = resolve_source("@calls/x", (), catalog, catalog.settings)
    assert [one.path for one in source.list()] == ["x/a.wav"]
    catalog.drop_stage(stage.name)
    assert list(open_storage(f"s3://{bucket}").list()) == []


def test_a_bucket_that_does_not_exist_is_named(tmp_path, s3_endpoint):
    url = "s3://no-such-bucket-here/tables"
    variables = {"STENOPOOL_HOME": str(tmp_path), "STENOPOOL_WAREHOUSE": url}
    with (
        open_catalog(Settings.from_env(variables)) as catalog,
        pytest.raises(NotFoundError, match="no-such-bucket-here"),
    ):
        catalog.create_table(catalog.name("t"), COLUMNS)
