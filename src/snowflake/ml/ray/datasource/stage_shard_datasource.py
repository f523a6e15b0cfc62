"""`SFStageShardDataSource` under the path that scripts import it from."""

from snowflake.ml.ray.datasource import SFStageShardDataSource, SFStageShardDatasource

__all__ = ["SFStageShardDataSource", "SFStageShardDatasource"]
