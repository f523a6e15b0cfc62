"""What exists: databases, schemas, stages, tables and runs, and the sources that runs read."""

from stenopool.catalog.catalog import Catalog, open_catalog
from stenopool.catalog.names import ObjectName, parse_name
from stenopool.catalog.sources import Source, resolve_source
from stenopool.catalog.stages import Stage
from stenopool.catalog.tables import TableInfo

__all__ = [
    "Catalog",
    "ObjectName",
    "Source",
    "Stage",
    "TableInfo",
    "open_catalog",
    "parse_name",
    "resolve_source",
]
