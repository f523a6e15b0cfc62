"""Where a dataset's rows can go: Ray Data datasinks that write all rows or none."""

from stenopool.distributed.datasinks.table import TableDatasink

__all__ = ["TableDatasink"]
