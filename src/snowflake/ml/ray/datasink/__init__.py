"""The container runtime's module name for writing datasets into tables."""

from snowflake.ml.ray.datasink.table_datasink import SnowflakeTableDatasink

__all__ = ["SnowflakeTableDatasink"]
