"""The verbs for the cluster that a script runs on; the code is in `stenopool.distributed`."""

from stenopool.distributed.clusters.runtime import (
    get_cluster_size,
    get_grafana_dashboard_url,
    get_nodes,
    get_ray_dashboard_url,
    scale_cluster,
)

__all__ = [
    "get_cluster_size",
    "get_grafana_dashboard_url",
    "get_nodes",
    "get_ray_dashboard_url",
    "scale_cluster",
]
