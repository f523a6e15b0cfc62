"""The runner: one Ray node of a cluster, in the foreground, for as long as its input is open.

``python -m stenopool.distributed.clusters.node`` reads its order, one line of JSON, from standard
input, answers with one line of JSON on standard output, and ends the node when its input ends.
Whoever holds the other end of that pipe (a keeper, or an SSH connection) may be killed at any
moment: the pipe ends with it, and so does the node. Where a link between hosts is cut, the pipe
does not end; therefore the keeper sends an empty line every few seconds, and silence is an end too.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from stenopool.distributed.clusters.environment import RAY_ENVIRONMENT
from stenopool.distributed.clusters.processes import MARK, sweep
from stenopool.settings import ssh_address

if TYPE_CHECKING:
    from types import FrameType

    from stenopool.distributed.clusters.records import NodeSpec

LOOK_EVERY_S = 0.2
"""How often the node's processes are looked at."""

SILENCE_S = 60.0
"""How long the keeper may be silent before it counts as gone (s)."""

STOP_S = 15.0
"""How long the node may take to end by itself."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a keeper orders.

    Attributes:
        node_name: under which Ray knows the node.
        spec: what it has.
        head: the address of the cluster's head; None makes this node the head.
        ip: the address that the node gives to the others; None for the one by which SSH reached
            this host, or the one that a packet to the head would leave from.
        sockets: folder for the node's sockets, removed at the end. Ray would take the first free
            name in a folder that several nodes share, and two that start at once the same one.
        temporary: folder for Ray's other files, removed at the end; None takes the head's.
        dashboard: whether Ray's dashboard runs, on 127.0.0.1.
        token: what nodes and drivers of the cluster know each other by; None without.
        slot: the node's place among those on this machine, which share its GPUs; None for one that
            has them all.
        log_monitor: whether what tasks print is sent to the driver; one a host.
    """

    node_name: str
    spec: NodeSpec
    head: str | None
    sockets: str
    ip: str | None = None
    temporary: str | None = None
    dashboard: bool = False
    token: str | None = None
    slot: int | None = None
    log_monitor: bool = True

    def line(self) -> bytes:
        """As it is sent."""
        return json.dumps(asdict(self)).encode() + b"\n"


def main() -> None:
    """Read the order, run the node, and leave nothing of it behind."""
    answers = _own_output()
    order = json.loads(_first_line())
    end = threading.Event()
    threading.Thread(target=_end_with_input, args=(end,), daemon=True).start()
    signal.signal(signal.SIGTERM, _leave)
    node = None
    try:
        node = start(order)
        answer = {"node_id": node.node_id, "address": node.address, "dashboard": node._webui_url}  # noqa: SLF001 - it has no other name
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        while not end.wait(LOOK_EVERY_S) and not node.dead_processes():
            pass
    finally:
        if node is not None:
            node.kill_all_processes(check_alive=False, allow_graceful=True)
        clean(order)
        os._exit(0 if end.is_set() else 1)  # Ray's own handlers would kill once more, slowly


def _own_output() -> TextIO:
    """Standard output for the answer alone; what libraries print goes to the log."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _first_line() -> bytes:
    """The order; read past Python's buffer, which would hide from `select` what it holds."""
    line = b""
    while not line.endswith(b"\n"):
        if not (more := os.read(0, 1)):
            raise SystemExit(1)  # the keeper ended before it said anything
        line += more
    return line


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(1)


def _end_with_input(end: threading.Event) -> None:
    """Wait until the input ends or is silent; end the process even where the main thread hangs."""
    while select.select([0], [], [], SILENCE_S)[0] and os.read(0, 4096):
        pass
    end.set()
    threading.Event().wait(STOP_S)
    _sweep_own()
    os._exit(1)


def _sweep_own() -> None:
    marker, _, number = os.environ[MARK].partition(".")  # set by the provider for this process
    sweep(marker, int(number))


def clean(order: dict[str, Any]) -> None:
    """Remove the node's processes and files."""
    _sweep_own()
    for folder in (order["sockets"], order["temporary"]):
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def devices() -> list[str]:
    """The NVIDIA GPUs that are really here and that this process may use."""
    if chosen := os.environ.get("CUDA_VISIBLE_DEVICES"):  # the driver's own variable
        return chosen.split(",")
    folder = Path("/proc/driver/nvidia/gpus")
    return [str(index) for index in range(len(list(folder.iterdir())))] if folder.is_dir() else []


def device_share(slot: int, gpus: int, real: list[str]) -> dict[str, str]:
    """The variable that gives a node its GPUs; nodes share one where there are not enough.

    Empty where there is nothing to give: without GPUs, or for a node that declares none, or more
    than there are, which Ray would refuse.
    """
    if not 0 < gpus <= len(real):
        return {}
    chosen = [real[(slot * gpus + index) % len(real)] for index in range(gpus)]
    return {"CUDA_VISIBLE_DEVICES": ",".join(chosen)}


def start(order: dict[str, Any]) -> Any:  # noqa: ANN401 - a class of Ray's own
    """Start the node as `ray start` does.

    That command itself would exchange 127.0.0.1 for an address that others reach, listen there,
    and make the cluster the default of every `ray.init()` on this machine.
    """
    environment = dict(RAY_ENVIRONMENT)
    if order["token"]:
        environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": order["token"]}
    os.environ.update(environment)  # read by Ray here and in the processes that it starts
    if order["slot"] is not None:
        os.environ.update(device_share(order["slot"], order["spec"]["gpus"], devices()))
    os.environ.pop("RAY_OVERRIDE_RESOURCES", None)  # of the script, not of its further nodes
    from ray._private.node import Node
    from ray._private.parameter import RayParams
    from ray._private.resource_isolation_config import ResourceIsolationConfig
    from ray._private.services import get_node_ip_address

    head, spec, sockets = order["head"], order["spec"], Path(order["sockets"])
    sockets.mkdir(mode=0o700)
    parameters = RayParams(
        node_ip_address=order["ip"] or ssh_address() or get_node_ip_address(head),
        node_name=order["node_name"],
        gcs_address=head,
        gcs_server_port=None if head else 0,
        num_cpus=spec["cpus"],
        num_gpus=spec["gpus"],
        memory=spec["memory_bytes"],
        object_store_memory=spec["object_store_bytes"],
        include_dashboard=None if head else order["dashboard"],
        dashboard_host="127.0.0.1",
        include_log_monitor=order["log_monitor"],
        no_monitor=True,  # Ray's autoscaler; the keeper is ours
        temp_dir=order["temporary"],
        plasma_store_socket_name=str(sockets / "store"),
        raylet_socket_name=str(sockets / "raylet"),
        resource_isolation_config=ResourceIsolationConfig(enable_resource_isolation=False),
    )
    return Node(parameters, head=not head, shutdown_at_exit=False, spawn_reaper=True)


if __name__ == "__main__":
    main()
