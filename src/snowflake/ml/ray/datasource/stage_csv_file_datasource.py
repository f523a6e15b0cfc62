"""`SFStageCSVDataSource` under the path that scripts import it from."""

from snowflake.ml.ray.datasource import SFStageCSVDataSource, SFStageCSVDatasource

__all__ = ["SFStageCSVDataSource", "SFStageCSVDatasource"]
