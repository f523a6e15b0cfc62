"""What a cluster's head tells: which nodes are alive, and what is free; and how a node is drained.

Ray's own client of its head, without being a driver: a keeper or a command is no job. Ray calls
these modules private; this is the only place that uses them for this.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray

from stenopool.distributed.clusters.environment import versions
from stenopool.errors import ClusterError, InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_S = 5.0
"""How long a head may take to answer (s)."""

LOOPBACK = "127.0.0.1"

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""How a client begins to speak HTTP/2 (RFC 9113, 3.4): a fixed text and empty settings."""

SETTINGS_FRAME = 4


@dataclass(frozen=True, kw_only=True)
class RayNode:
    """One node that Ray counts as alive.

    Attributes:
        node_id: Ray's, in hexadecimal digits.
        name: as it was started with.
        ip: the address that others reach it at.
        cpus: cores that it declares.
        gpus: GPUs that it declares.
        memory_bytes: memory that tasks may declare.
        is_head: whether it is the head.
        draining: whether it takes no more work.
        idle_s: seconds without work; 0 while it works.
    """

    node_id: str
    name: str
    ip: str
    cpus: int
    gpus: int
    memory_bytes: int
    is_head: bool
    draining: bool
    idle_s: float


def dialled(address: str) -> str:
    """An address as clients must give it to Ray.

    Ray exchanges `127.0.0.1` and `localhost` for an address that other machines reach, where a
    head that listens on this machine only is not to be found. It leaves this spelling alone.
    """
    host, _, port = address.rpartition(":")
    return f"LOCALHOST:{port}" if host in (LOOPBACK, "localhost", "LOCALHOST") else address


def same_head(one: str, other: str) -> bool:
    """Whether two addresses are the same head's."""
    return dialled(one) == dialled(other)


def check_answers(address: str) -> None:
    """Check within seconds that a Ray head listens at an address; Ray itself tries for a minute.

    Raises:
        InvalidOptionError: that is no address.
        ClusterError: nobody answers there, or something else does.
    """
    host, _, port = address.rpartition(":")
    host = LOOPBACK if host.lower() == "localhost" else host.strip("[]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidOptionError(f"'{address}' is neither a cluster's name nor HOST:PORT")
    try:
        with socket.create_connection((host, int(port)), timeout=ANSWER_S) as connection:
            connection.settimeout(ANSWER_S)
            connection.sendall(GREETING)
            answer = connection.recv(9)
    except OSError as error:
        raise ClusterError(
            f"no Ray cluster answers at {address}: {error.strerror or error}"
        ) from error
    if len(answer) < 9 or answer[3] != SETTINGS_FRAME:
        raise ClusterError(f"what answers at {address} is no Ray cluster")


def use_token(*, create: bool = False) -> None:
    """Let this process show the token that it has to the clusters that it joins.

    Ray does so by itself only where it finds a cluster without an address.

    Args:
        create: make a token for this user where there is none, as `ray.init()` does.
    """
    if "RAY_AUTH_MODE" in os.environ:  # Ray's own variable, read by it here and in children
        return
    raylet: Any = ray._raylet  # noqa: SLF001 - its type stubs leave most of it out
    known = raylet.AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True)
    if known or create:
        os.environ["RAY_AUTH_MODE"] = "token"
        raylet.Config.initialize("")  # it has read the variable before
    if create:
        from ray._private.authentication.authentication_token_setup import (
            ensure_token_if_auth_enabled,
        )

        ensure_token_if_auth_enabled(create_token_if_missing=True)


def own_token() -> str | None:
    """What nodes and drivers of clusters know each other by; None where Ray shall ask for none."""
    raylet: Any = ray._raylet  # noqa: SLF001 - its type stubs leave most of it out
    if raylet.get_authentication_mode() != raylet.AuthenticationMode.TOKEN:
        return None
    return str(raylet.AuthenticationTokenLoader.instance().get_raw_token())


class Head:
    """A connection to a cluster's head.

    Args:
        address: `HOST:PORT`.

    Raises:
        ClusterError: nobody answers there, or it runs other versions.
    """

    def __init__(self, address: str) -> None:
        check_answers(address)
        use_token()
        raylet: Any = ray._raylet  # noqa: SLF001 - its type stubs leave most of it out
        self.address = address
        try:
            self._client = raylet.GcsClient(address=dialled(address))
        except ray.exceptions.RayError as error:
            raise ClusterError(f"the Ray cluster at {address} refuses: {error}") from error

    def nodes(self) -> list[RayNode]:
        """All nodes that are alive.

        Raises:
            ClusterError: the head does not answer.
        """
        check_answers(self.address)  # Ray's client would wait for a head that is gone
        try:
            infos = self._client.get_all_node_info(timeout=ANSWER_S).values()
        except (ray.exceptions.RayError, TimeoutError) as error:
            raise ClusterError(f"the head at {self.address} does not answer: {error}") from error
        return [_node(info) for info in infos if info.state == info.ALIVE]

    def drain(self, node_id: str, *, deadline_s: float) -> None:
        """Let a node take no more work; what it has goes on until the deadline.

        Ray counts no attempt of a task against it when the node ends after this.

        Args:
            node_id: of the node.
            deadline_s: seconds from now.
        """
        from ray.core.generated import autoscaler_pb2

        messages: Any = autoscaler_pb2
        reason = messages.DRAIN_NODE_REASON_PREEMPTION
        deadline_ms = int((time.time() + deadline_s) * 1000)
        # A node that ended meanwhile cannot be drained, and need not be.
        with suppress(ray.exceptions.RayError, RuntimeError):
            self._client.drain_node(node_id, reason, "the cluster is made smaller", deadline_ms)

    def free(self) -> dict[str, float]:
        """What no task or actor has taken, by resource."""
        from ray.autoscaler.v2.sdk import get_cluster_status

        status = get_cluster_status(dialled(self.address), timeout=int(ANSWER_S))
        return {use.resource_name: use.total - use.used for use in status.cluster_resource_usage}

    def check_versions(self) -> None:
        """Check that the cluster runs on the versions of this process; Ray cannot mix them.

        Raises:
            ClusterError: it does not.
        """
        from ray._common.usage.usage_lib import get_cluster_metadata

        found = get_cluster_metadata(self._client)
        there = {"ray": found["ray_version"], "python": found["python_version"]}
        compare_versions(self.address, there, versions())


def compare_versions(address: str, there: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Compare a cluster's versions with others.

    Raises:
        ClusterError: some differ; the text names them.
    """
    differ = [f"{name} {there[name]} (here {here[name]})" for name in there
              if there[name] != here[name]]  # fmt: skip
    if differ:
        raise ClusterError(
            f"the cluster at {address} runs {', '.join(differ)}; both sides need the same versions"
        )


def _node(info: Any) -> RayNode:  # noqa: ANN401 - one of Ray's messages
    total, state = info.resources_total, info.state_snapshot
    return RayNode(
        node_id=info.node_id.hex(),
        name=info.node_name,
        ip=info.node_manager_address,
        cpus=int(total.get("CPU", 0)),
        gpus=int(total.get("GPU", 0)),
        memory_bytes=int(total.get("memory", 0)),
        is_head=info.is_head_node,
        draining=state.state == state.State.Value("DRAINING"),
        idle_s=state.idle_duration_ms / 1000,
    )
