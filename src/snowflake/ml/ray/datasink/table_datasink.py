"""The container runtime's name for the datasink of a table."""

from stenopool.distributed.datasinks import TableDatasink as SnowflakeTableDatasink

__all__ = ["SnowflakeTableDatasink"]
