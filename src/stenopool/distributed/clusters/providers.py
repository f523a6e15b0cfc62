"""How a node's runner is started: on this machine, on a host over SSH, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from stenopool.distributed.clusters.gcs import own_token
from stenopool.distributed.clusters.node import Order
from stenopool.distributed.clusters.processes import MARK
from stenopool.distributed.clusters.ssh import check_hosts, remote_command
from stenopool.errors import InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stenopool.distributed.clusters.records import Cluster

RUNNER = "stenopool.distributed.clusters.node"


class NodeProvider(Protocol):
    """Where nodes come from. A cluster's keeper asks it for one node after the other."""

    def check(self, cluster: Cluster) -> None:
        """See that nodes can be started, before any is.

        Raises:
            UsageError: they cannot; the text says why.
            ClusterError: a host does not answer.
        """

    def places(self, cluster: Cluster) -> Sequence[str]:
        """Where nodes can be, in the order in which they are taken; one place, one node."""

    def order(self, cluster: Cluster, number: int, place: str) -> Order:
        """What the runner of a node is told."""

    def command(self, cluster: Cluster, number: int, place: str) -> list[str]:
        """The command that starts a node's runner and is connected to its input and output."""


def node_order(
    cluster: Cluster,
    number: int,
    *,
    ip: str | None,
    shared: bool,
    token: str | None,
    log_monitor: bool,
) -> Order:
    """The order that the providers have in common; the first node without a head is the head.

    Paths of sockets may have 107 characters, so the folders' names are short.
    """
    folder = f"/tmp/stenopool-{cluster.marker[:8]}-{number}"  # noqa: S108 - Ray's own place
    return Order(
        node_name=cluster.node_name(number),
        spec=cluster.spec,
        head=cluster.address,
        sockets=f"{folder}.s",
        ip=ip,
        temporary=None if shared else folder,
        dashboard=cluster.dashboard,
        token=token,
        log_monitor=log_monitor,
    )


class LocalProvider:
    """Nodes are processes on this machine. They listen on 127.0.0.1 only, and share it."""

    def check(self, cluster: Cluster) -> None:
        """Nothing can be missing."""

    def places(self, cluster: Cluster) -> Sequence[str]:
        """Names that nothing depends on."""
        return [f"this machine, node {number}" for number in range(1, cluster.max_nodes + 1)]

    def order(self, cluster: Cluster, number: int, place: str) -> Order:
        """The head has a folder of its own, which the others share."""
        is_head = cluster.address is None
        order = node_order(
            cluster, number, ip="127.0.0.1", shared=not is_head, token=None, log_monitor=is_head
        )
        return replace(order, slot=self.places(cluster).index(place))

    def command(self, cluster: Cluster, number: int, place: str) -> list[str]:
        """The runner in this interpreter."""
        return [sys.executable, "-m", RUNNER]


class SshProvider:
    """Nodes are on hosts, one each, reached with the user's own `ssh`, keys and configuration."""

    def check(self, cluster: Cluster) -> None:
        """Each host has to answer, with the versions that this process has."""
        check_hosts(cluster.hosts, cluster.python)

    def places(self, cluster: Cluster) -> Sequence[str]:
        """The hosts."""
        return cluster.hosts

    def order(self, cluster: Cluster, number: int, place: str) -> Order:
        """The token travels in the order, where no list of processes shows it."""
        return node_order(
            cluster, number, ip=None, shared=False, token=own_token(), log_monitor=True
        )

    def command(self, cluster: Cluster, number: int, place: str) -> list[str]:
        """The runner on the host; its input is the connection, and it ends with it."""
        mark = f"{MARK}={cluster.marker}.{number}"
        return remote_command(place, ["env", mark, cluster.python, "-m", RUNNER])


class ExistingProvider:
    """A cluster that somebody else started: it can be used and looked at, and no more."""

    def check(self, cluster: Cluster) -> None:
        """It cannot be changed from here."""
        raise InvalidOptionError(cannot_change(cluster.address or cluster.name))

    def places(self, cluster: Cluster) -> Sequence[str]:
        """None."""
        return []

    def order(self, cluster: Cluster, number: int, place: str) -> Order:
        """It cannot be changed from here."""
        raise InvalidOptionError(cannot_change(cluster.address or cluster.name))

    def command(self, cluster: Cluster, number: int, place: str) -> list[str]:
        """It cannot be changed from here."""
        raise InvalidOptionError(cannot_change(cluster.address or cluster.name))


def cannot_change(address: str) -> str:
    """Why a cluster of others cannot be started, scaled or ended."""
    return (
        f"the cluster at {address} was not started by `stenopool cluster up`, so it can be used, "
        "but not started, scaled or ended from here; ask whoever started it"
    )


PROVIDERS: dict[str, NodeProvider] = {
    "local": LocalProvider(),
    "ssh": SshProvider(),
    "existing": ExistingProvider(),
}


def provider_of(cluster: Cluster) -> NodeProvider:
    """The provider of a cluster.

    Raises:
        InvalidOptionError: there is none of that name.
    """
    try:
        return PROVIDERS[cluster.provider]
    except KeyError:
        known = ", ".join(PROVIDERS)
        raise InvalidOptionError(
            f"there is no provider '{cluster.provider}'; there are: {known}"
        ) from None


def start_runner(cluster: Cluster, number: int, place: str, log: Path) -> subprocess.Popen[bytes]:
    """Start a node's runner and give it its order; closing its input ends it."""
    provider = provider_of(cluster)
    order = provider.order(cluster, number, place)
    environment = os.environ | {MARK: f"{cluster.marker}.{number}"}  # handed on to its children
    with log.open("ab") as errors:
        process = subprocess.Popen(  # noqa: S603 - a list of arguments; no shell reads it here
            provider.command(cluster, number, place),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            start_new_session=True,
        )
    assert process.stdin  # noqa: S101 - for the type checker; it is a pipe
    try:
        process.stdin.write(order.line())
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it has ended; whoever waits for its answer finds out why
    return process
