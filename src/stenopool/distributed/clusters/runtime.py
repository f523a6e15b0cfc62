"""What `snowflake.ml.runtime_cluster` offers to scripts, over the clusters of this installation.

The cluster meant is the one whose Ray this process is connected to; without a connection the one
at `RAY_ADDRESS`; without that the only one that `stenopool cluster up` has running.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ray

from stenopool.distributed.clusters import control
from stenopool.distributed.clusters.gcs import Head
from stenopool.errors import ClusterError, InvalidOptionError, NotFoundError
from stenopool.settings import Settings

if TYPE_CHECKING:
    from stenopool.distributed.clusters.records import Cluster

OPTIONS = ("rollback_after_seconds", "block_until_min_cluster_size")


def scale_cluster(
    expected_cluster_size: int | str,
    older_size: int | None = None,
    *,
    notebook_name: str | None = None,
    is_async: bool = False,
    options: dict[str, Any] | None = None,
) -> bool:
    """Give the cluster that this process uses so many nodes; the head is one of them.

    A Ray that `ray.init()` started in this process gets further nodes on this machine, with what
    `STENOPOOL_NODE_CPUS`, `STENOPOOL_NODE_GPUS` and `STENOPOOL_NODE_MEMORY` say; they end with
    this process, however that ends. The older form `scale_cluster("NOTEBOOK", 5)` works too.

    Args:
        expected_cluster_size: nodes; at least 1 and at most what the cluster may have.
        older_size: the size, where the first argument is a notebook's name.
        notebook_name: has to be this session's name, `OBJECT_NAME` in the environment, where that
            is set; with or without double quotes. The reference says only that a wrong one is an
            error: without `OBJECT_NAME` there is nothing to compare it with, and any will do.
        is_async: come back once the request is accepted; what becomes of it shows in
            `get_nodes()`. It is rolled back as otherwise.
        options: `rollback_after_seconds` (720): after so long without the nodes, the cluster goes
            back to the size before; `block_until_min_cluster_size`: come back as soon as so many
            nodes are there, the others follow. The size before is also gone back to, before its
            time, when a node fails to start three times in a row.

    Returns:
        True; everything else is an error.

    Raises:
        InvalidOptionError: a size, option or name that cannot be, or a cluster of others.
        NotFoundError: there is no cluster.
        ClusterError: the size was not reached, and the cluster has its former size again.
    """
    size, notebook = _older_form(expected_cluster_size, older_size, notebook_name)
    settings = Settings.from_env()
    _check_notebook(notebook, settings)
    chosen = dict(options or {})
    at_least, rollback_after_s = _read_options(chosen, size)
    # A size that no cluster can have is said before a keeper is started for it.
    control.check_size(size, max(size, 1) if isinstance(size, int) else 1)
    cluster = _own_cluster(settings)
    asked = control.ask(settings, cluster.name, size, rollback_after_s=rollback_after_s)
    if not is_async:
        control.wait_until_settled(settings, asked, at_least=at_least)
    return True


def _older_form(
    first: int | str, second: int | None, notebook: str | None
) -> tuple[Any, str | None]:
    if isinstance(first, str):
        if second is None:
            raise InvalidOptionError("scale_cluster needs a size: scale_cluster(5)")
        return second, first
    if second is not None:
        raise InvalidOptionError(
            "scale_cluster takes one size; the older form names a notebook first"
        )
    return first, notebook


def _check_notebook(name: str | None, settings: Settings) -> None:
    if name is None or settings.notebook is None:
        return
    if name.strip('"') != settings.notebook.strip('"'):
        raise InvalidOptionError(
            f"this session is notebook '{settings.notebook}' (OBJECT_NAME), not '{name}'"
        )


def _read_options(options: dict[str, Any], size: Any) -> tuple[int | None, float]:  # noqa: ANN401 - as the caller gave it
    if unknown := sorted(set(options) - set(OPTIONS)):
        raise InvalidOptionError(f"unknown option {unknown[0]!r}; there are: {', '.join(OPTIONS)}")
    after = options.get("rollback_after_seconds", control.ROLLBACK_AFTER_S)
    if isinstance(after, bool) or not isinstance(after, int | float) or after <= 0:
        raise InvalidOptionError(f"rollback_after_seconds is more than 0 seconds, not {after!r}")
    at_least = options.get("block_until_min_cluster_size")
    if at_least is not None and (
        isinstance(at_least, bool) or not isinstance(at_least, int) or not 1 <= at_least <= size
    ):
        raise InvalidOptionError(
            f"block_until_min_cluster_size is between 1 and {size}, not {at_least!r}"
        )
    return at_least, float(after)


def get_nodes() -> list[dict[str, Any]]:
    """The nodes that are alive, the head first.

    Returns:
        For each `name`, the IP address that the others reach it at, and what it declares: `cpus`
        and `gpus`. The nodes of a local cluster share the address of this machine.

    Raises:
        NotFoundError: there is no cluster.
        ClusterError: it does not answer.
    """
    nodes = control.alive_nodes(_address(Settings.from_env()))
    return [
        {"name": node.ip, "cpus": node.cpus, "gpus": node.gpus}
        for node in nodes
        if not node.draining
    ]


def get_cluster_size() -> int:
    """How many nodes are alive; the head counts."""
    return len(get_nodes())


def get_ray_dashboard_url() -> str | None:
    """Where Ray's dashboard is: `http://127.0.0.1:8265`, say; None where it does not run.

    Ray has one where the extra `ray[default]` is installed, and the cluster was started with it.
    """
    settings = Settings.from_env()
    address = _address(settings)
    cluster = control.by_address(control.records_of(settings), address)
    if cluster and cluster.dashboard_url:
        return cluster.dashboard_url
    if ray.is_initialized():
        url = ray._private.worker.get_dashboard_url()  # noqa: SLF001 - Ray has no other name for it
        return f"http://{url}" if url else None
    return None


def get_grafana_dashboard_url() -> str | None:
    """None: no Grafana is started here. Ray's own metrics can be scraped from its nodes."""
    return None


def get_available_cpu() -> float:
    """Cores of the whole cluster that no task or actor has taken at this moment.

    The reference does not say whether it is a whole number; Ray's shares are not.
    """
    return Head(_address(Settings.from_env())).free().get("CPU", 0.0)


def get_available_gpu() -> float:
    """GPUs of the whole cluster that no task or actor has taken at this moment; likewise."""
    return Head(_address(Settings.from_env())).free().get("GPU", 0.0)


def get_num_cpus_per_node() -> int:
    """Cores that each node has.

    The reference does not say what it is where nodes differ: here the least, so that a task that
    asks for so many fits on any node.
    """
    return min((int(node["cpus"]) for node in get_nodes()), default=0)


def _address(settings: Settings) -> str:
    """The head's address of the cluster meant."""
    if ray.is_initialized():
        return str(ray.get_runtime_context().gcs_address)
    if settings.ray_address and settings.ray_address not in ("auto", "local"):
        return control.address_of(settings, settings.ray_address)
    try:
        cluster = control.only_cluster(control.records_of(settings), None)
    except NotFoundError:
        raise NotFoundError(
            "this process is connected to no cluster; call ray.init() first, or start a cluster "
            "with `stenopool cluster up NAME`"
        ) from None
    if cluster.address is None:
        raise ClusterError(f"cluster '{cluster.name}' is still starting")
    return cluster.address


def _own_cluster(settings: Settings) -> Cluster:
    """The cluster meant, which has a keeper."""
    address = _address(settings)
    if found := control.by_address(control.records_of(settings), address):
        return found
    node: Any = ray._private.worker._global_node  # noqa: SLF001 - likewise
    if ray.is_initialized() and node is not None and node.head:
        return control.adopt(settings, address)
    raise control.refuse_foreign(address)
