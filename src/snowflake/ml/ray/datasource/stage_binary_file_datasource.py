"""`SFStageBinaryFileDataSource` under the path that scripts import it from."""

from snowflake.ml.ray.datasource import SFStageBinaryFileDataSource, SFStageBinaryFileDatasource

__all__ = ["SFStageBinaryFileDataSource", "SFStageBinaryFileDatasource"]
