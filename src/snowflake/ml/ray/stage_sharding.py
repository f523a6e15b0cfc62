"""`generate_shards` under the path that scripts import it from."""

from stenopool.distributed.datasources import generate_shards

__all__ = ["generate_shards"]
