"""`SFStageImageDataSource` under the path that scripts import it from."""

from snowflake.ml.ray.datasource import SFStageImageDataSource, SFStageImageDatasource

__all__ = ["SFStageImageDataSource", "SFStageImageDatasource"]
