"""`SFStageTextDataSource` under the path that scripts import it from."""

from snowflake.ml.ray.datasource import SFStageTextDataSource, SFStageTextDatasource

__all__ = ["SFStageTextDataSource", "SFStageTextDatasource"]
