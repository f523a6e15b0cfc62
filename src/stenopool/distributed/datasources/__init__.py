"""Files of a stage as Ray Data datasources, and shards made of many small ones.

::

    from stenopool.distributed.datasources import SFStageBinaryFileDataSource

    source = SFStageBinaryFileDataSource("@CALLS/2026/", file_pattern="*.flac", include_paths=True)
    dataset = ray.data.read_datasource(source)

The names are those that scripts import from `snowflake.ml.ray`; what all of them share is in
`StageDatasource`.
"""

from stenopool.distributed.datasources.base import StageDatasource
from stenopool.distributed.datasources.binary import SFStageBinaryFileDataSource
from stenopool.distributed.datasources.image import SFStageImageDataSource
from stenopool.distributed.datasources.sharding import Shards, generate_shards
from stenopool.distributed.datasources.shards import SFStageShardDataSource
from stenopool.distributed.datasources.tabular import (
    SFStageCSVDataSource,
    SFStageParquetDataSource,
)
from stenopool.distributed.datasources.text import SFStageTextDataSource

__all__ = [
    "SFStageBinaryFileDataSource",
    "SFStageCSVDataSource",
    "SFStageImageDataSource",
    "SFStageParquetDataSource",
    "SFStageShardDataSource",
    "SFStageTextDataSource",
    "Shards",
    "StageDatasource",
    "generate_shards",
]
