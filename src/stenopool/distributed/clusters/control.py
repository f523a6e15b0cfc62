"""The verbs: start a cluster, find it, scale it, look at its nodes, end it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil

from stenopool.distributed.clusters.gcs import Head, dialled, same_head
from stenopool.distributed.clusters.processes import identity, is_running, sweep
from stenopool.distributed.clusters.providers import cannot_change, provider_of
from stenopool.distributed.clusters.records import Cluster, ClusterRecords, NodeSpec
from stenopool.errors import AlreadyExistsError, ClusterError, InvalidOptionError, NotFoundError

if TYPE_CHECKING:
    from stenopool.distributed.clusters.gcs import RayNode
    from stenopool.settings import Settings

ROLLBACK_AFTER_S = 720.0
"""After so long a size that was not reached is given up (s); the reference's figure."""

DEFAULT_MAX_NODES = 16
"""Nodes that a local cluster may have, unless its start says otherwise."""

LOOK_EVERY_S = 0.1

KEEPER_START_S = 60.0
"""How long a keeper may take to say that it is there (s)."""

KEEPER_END_S = 60.0
"""How long it may take to end all nodes before this process kills what is left (s)."""

MEMORY_SHARE = 0.1
"""Of this machine's memory: what tasks on one local node may declare, where nobody says."""

STORE_BYTES = (128 * 2**20, 2**30)
"""Least and most memory for a node's object store; a quarter of its memory in between."""

DETACH = """
import os, sys
if os.fork() == 0:
    os.setsid()
    os.execv(sys.argv[1], sys.argv[1:])
"""
"""A program that starts another, which is nobody's child then: it outlives whoever wanted it."""


def records_of(settings: Settings) -> ClusterRecords:
    """The records of this installation; what crashed clusters left behind is swept up first."""
    records = ClusterRecords(settings.clusters)
    for cluster in records.all():
        started = cluster.keeper is not None or cluster.problem is not None
        if started and not is_running(cluster.keeper):
            sweep(cluster.marker)
            records.remove(cluster.name)
    return records


def node_spec(
    settings: Settings,
    *,
    cpus: int | None = None,
    gpus: int | None = None,
    memory_bytes: int | None = None,
) -> NodeSpec:
    """What a node has: as given, else as the settings say, else a share of this machine.

    Raises:
        InvalidOptionError: a number is negative, or nothing at all is left.
    """
    total = psutil.virtual_memory().total
    memory = memory_bytes or settings.node_memory_bytes or int(total * MEMORY_SHARE)
    spec = NodeSpec(
        cpus=settings.node_cpus if cpus is None else cpus,
        gpus=settings.node_gpus if gpus is None else gpus,
        memory_bytes=memory,
        object_store_bytes=min(max(memory // 4, STORE_BYTES[0]), STORE_BYTES[1]),
    )
    if min(spec.cpus, spec.gpus, spec.memory_bytes) < 0 or not (spec.cpus or spec.gpus):
        raise InvalidOptionError("a node needs a core or a GPU, and no number may be negative")
    return spec


def start(
    settings: Settings, cluster: Cluster, *, give_up_after_s: float = ROLLBACK_AFTER_S
) -> Cluster:
    """Start a cluster and wait until all its nodes are alive; when that fails, nothing is left.

    Args:
        settings: of this installation.
        cluster: what is wanted, as `new_cluster` makes it.
        give_up_after_s: seconds.

    Raises:
        UsageError: it cannot be started so; nothing was.
        ClusterError: it did not start.
    """
    records = records_of(settings)
    check_size(cluster.wanted, cluster.max_nodes)
    if records.find(cluster.name):
        raise AlreadyExistsError(
            f"cluster '{cluster.name}' is there already; "
            f"`stenopool cluster down {cluster.name}` ends it"
        )
    provider_of(cluster).check(cluster)
    records.add(replace(cluster, deadline=time.time() + give_up_after_s))
    try:
        launch_keeper(records, cluster.name)
        return wait_until_settled(settings, records.get(cluster.name))
    except BaseException:
        with suppress(NotFoundError):
            end(settings, cluster.name)
        raise


def new_cluster(
    name: str,
    spec: NodeSpec,
    *,
    provider: str = "local",
    nodes: int = 1,
    max_nodes: int | None = None,
    hosts: tuple[str, ...] = (),
) -> Cluster:
    """A cluster that nobody has started; an SSH cluster has at most one node a host."""
    most = min(max_nodes or len(hosts), len(hosts)) if provider == "ssh" else max_nodes
    return Cluster(
        name=name,
        provider=provider,
        marker=secrets.token_hex(16),
        spec=spec,
        max_nodes=most or (max(DEFAULT_MAX_NODES, nodes) if provider == "local" else 1),
        hosts=hosts,
        python=sys.executable,
        wanted=nodes,
    )


def launch_keeper(records: ClusterRecords, name: str) -> None:
    """Start a cluster's keeper; it goes on when this process ends.

    Raises:
        ClusterError: it does not come up.
    """
    command = [sys.executable, "-m", "stenopool.distributed.clusters.keeper"]
    command += [str(records.folder), name]
    # The environment of a keeper is that of the nodes; RAY_ADDRESS would mislead Ray there.
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    with records.log(name).open("ab") as log:
        subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-c", DETACH, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            check=True,
        )
    deadline = time.monotonic() + KEEPER_START_S
    while records.get(name).keeper is None:
        if time.monotonic() > deadline:
            raise ClusterError(
                f"the keeper of cluster '{name}' did not start: {last_line(records, name)}"
            )
        time.sleep(LOOK_EVERY_S)


def last_line(records: ClusterRecords, name: str) -> str:
    """The last line of a keeper's log."""
    lines = records.log(name).read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it ended without a word"


def ask(
    settings: Settings,
    name: str,
    size: int,
    *,
    rollback_after_s: float = ROLLBACK_AFTER_S,
    drain_s: float | None = None,
) -> Cluster:
    """Ask for another size; `wait_until_settled` waits for it.

    Nodes that go are the idle ones first; one that works may go on for the cluster's `drain_s`,
    then its work is done again on the others. The head always stays.

    Args:
        settings: of this installation.
        name: of the cluster.
        size: nodes; the head counts.
        rollback_after_s: seconds after which the keeper goes back to the size before.
        drain_s: another time for nodes that work; it stays for later.

    Raises:
        NotFoundError: there is no such cluster.
        InvalidOptionError: it cannot have that size.
        ClusterError: a host does not answer.
    """
    records = records_of(settings)
    cluster = records.get(name)
    check_size(size, cluster.max_nodes)
    if size > max(cluster.wanted, cluster.alive):
        provider_of(cluster).check(cluster)
    if drain_s is not None:
        records.change(name, drain_s=drain_s)
    return records.ask(name, size, deadline=time.time() + rollback_after_s)


def check_size(size: int, max_nodes: int) -> None:
    """Check that a cluster can have a size.

    Raises:
        InvalidOptionError: it cannot.
    """
    if isinstance(size, bool) or not isinstance(size, int):
        raise InvalidOptionError(f"a cluster's size is a whole number, not {size!r}")
    if not 1 <= size <= max_nodes:
        raise InvalidOptionError(
            f"a cluster of {size} nodes is not possible: the head counts, so there is at least 1, "
            f"and this cluster may have at most {max_nodes}"
        )


def wait_until_settled(
    settings: Settings, asked: Cluster, *, at_least: int | None = None
) -> Cluster:
    """Wait until a request is fulfilled, or given up and taken back.

    Args:
        settings: of this installation.
        asked: the cluster with the request, as `ask` gives it.
        at_least: come back as soon as so many nodes are there.

    Raises:
        ClusterError: it was given up, taken over by another, or the cluster ended.
    """
    records = ClusterRecords(settings.clusters)
    while True:
        now = records.find(asked.name)
        if now is None:
            raise ClusterError(f"cluster '{asked.name}' was ended meanwhile")
        if now.request != asked.request:
            raise ClusterError(
                f"cluster '{asked.name}' was told to have {now.wanted} nodes before it had "
                f"{asked.wanted}"
            )
        running = is_running(now.keeper)
        if now.problem and (now.alive == now.wanted or not running):
            raise ClusterError(now.problem)
        if not running:
            reason = last_line(records, asked.name)
            raise ClusterError(f"the keeper of cluster '{asked.name}' ended: {reason}")
        if now.settled == asked.request or (at_least and now.alive >= at_least):
            return now
        time.sleep(LOOK_EVERY_S)


def end(settings: Settings, name: str) -> None:
    """End a cluster: all its nodes, at once, and no process of it is left on this machine.

    Raises:
        NotFoundError: there is no such cluster.
    """
    records = ClusterRecords(settings.clusters)
    cluster = records.get(name)
    with suppress(NotFoundError):  # it may end by itself at this moment
        records.change(name, ending=True)
    deadline = time.monotonic() + KEEPER_END_S
    while is_running(cluster.keeper) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
    if cluster.keeper and is_running(cluster.keeper):
        with suppress(psutil.NoSuchProcess):
            psutil.Process(cluster.keeper[0]).kill()
    sweep(cluster.marker)
    records.remove(name)


def only_cluster(records: ClusterRecords, name: str | None) -> Cluster:
    """The cluster of that name; without a name the only one there is.

    Raises:
        NotFoundError: there is none.
        InvalidOptionError: there are several, and no name.
    """
    if name is not None:
        return records.get(name)
    found = records.all()
    if not found:
        raise NotFoundError("no cluster is running; start one with `stenopool cluster up NAME`")
    if len(found) > 1:
        names = ", ".join(cluster.name for cluster in found)
        raise InvalidOptionError(f"several clusters are running; name one of {names}")
    return found[0]


def address_of(settings: Settings, name_or_address: str) -> str:
    """The head's address of a cluster by its name, or an address as it is; somebody answers there.

    Raises:
        NotFoundError: there is no cluster of that name.
        ClusterError: nobody answers there, or it runs other versions.
    """
    address = name_or_address
    if ":" not in name_or_address:
        address = records_of(settings).get(name_or_address).address or ""
        if not address:
            raise ClusterError(f"cluster '{name_or_address}' is still starting")
    Head(address).check_versions()
    return dialled(address)


def by_address(records: ClusterRecords, address: str) -> Cluster | None:
    """The cluster of ours whose head is at an address, or None."""
    found = [cluster for cluster in records.all() if cluster.address]
    return next((one for one in found if same_head(one.address or "", address)), None)


def alive_nodes(address: str) -> list[RayNode]:
    """The nodes of whatever cluster is at an address: the head first, then by name.

    Raises:
        ClusterError: nobody answers there.
    """
    nodes = Head(address).nodes()
    return sorted(nodes, key=lambda node: (not node.is_head, len(node.name), node.name))


def adopt(settings: Settings, address: str) -> Cluster:
    """The cluster that this process started with `ray.init()`, with a keeper that ends with it.

    Further nodes are local ones; what they have comes from the settings.
    """
    records = records_of(settings)
    if found := by_address(records, address):
        return found
    made = replace(
        new_cluster(f"script-{os.getpid()}-{secrets.token_hex(2)}", node_spec(settings)),
        address=address,
        parent=identity(),
        settled=1,
        alive=1,
    )
    records.add(made)
    launch_keeper(records, made.name)
    return records.get(made.name)


def refuse_foreign(address: str) -> InvalidOptionError:
    """The error for a verb that cannot apply to a cluster of others."""
    return InvalidOptionError(cannot_change(address))
