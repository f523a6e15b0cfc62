"""`SFStageParquetDataSource` under the path that scripts import it from."""

from snowflake.ml.ray.datasource import SFStageParquetDataSource, SFStageParquetDatasource

__all__ = ["SFStageParquetDataSource", "SFStageParquetDatasource"]
