"""Scripts import the datasources by many names; each is the same class."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys

import pytest

from stenopool.distributed import datasources

CLASSES = {
    "SFStageBinaryFileDataSource": ["stage_binary_file_datasource"],
    "SFStageImageDataSource": ["stage_image_datasource"],
    "SFStageTextDataSource": ["stage_text_datasource", "stage_text_file_datasource"],
    "SFStageCSVDataSource": ["stage_csv_datasource", "stage_csv_file_datasource"],
    "SFStageParquetDataSource": ["stage_parquet_file_datasource", "stage_parquet_datasource"],
    "SFStageShardDataSource": ["stage_shard_datasource"],
}


@pytest.mark.parametrize("name", CLASSES)
def test_every_path_and_spelling_is_the_same_class(name):
    ours = getattr(datasources, name)
    for module in ["", *(f".{path}" for path in CLASSES[name])]:
        found = importlib.import_module(f"snowflake.ml.ray.datasource{module}")
        assert getattr(found, name) is ours
        assert getattr(found, name.replace("DataSource", "Datasource")) is ours


def test_shards_are_generated_under_the_scripts_path_too():
    module = importlib.import_module("snowflake.ml.ray.stage_sharding")
    assert module.generate_shards is datasources.generate_shards


def test_the_vendors_public_packages_stay_importable_beside_ours():
    for name in ("snowflake", "snowflake.ml", "snowflake.ml.ray"):
        assert importlib.util.find_spec(name).origin is None, f"{name} must have no __init__.py"
    if importlib.util.find_spec("snowflake.connector") is not None:
        code = "import snowflake.ml.ray.datasource, snowflake.connector"
        subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)
