"""The datasources of a stage under the names that scripts import, in both spellings."""

from stenopool.distributed.datasources import (
    SFStageBinaryFileDataSource,
    SFStageCSVDataSource,
    SFStageImageDataSource,
    SFStageParquetDataSource,
    SFStageShardDataSource,
    SFStageTextDataSource,
)

SFStageBinaryFileDatasource = SFStageBinaryFileDataSource
SFStageCSVDatasource = SFStageCSVDataSource
SFStageImageDatasource = SFStageImageDataSource
SFStageParquetDatasource = SFStageParquetDataSource
SFStageShardDatasource = SFStageShardDataSource
SFStageTextDatasource = SFStageTextDataSource

__all__ = [
    "SFStageBinaryFileDataSource",
    "SFStageBinaryFileDatasource",
    "SFStageCSVDataSource",
    "SFStageCSVDatasource",
    "SFStageImageDataSource",
    "SFStageImageDatasource",
    "SFStageParquetDataSource",
    "SFStageParquetDatasource",
    "SFStageShardDataSource",
    "SFStageShardDatasource",
    "SFStageTextDataSource",
    "SFStageTextDatasource",
]
