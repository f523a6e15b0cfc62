"""Queries over the catalog's tables, in the SQL dialect, read-only."""

from stenopool.warehouse.running import query

__all__ = ["query"]
