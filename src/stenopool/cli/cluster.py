"""`stenopool cluster`: start, scale, look at and end clusters of Ray nodes."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stenopool.cli import console
from stenopool.cli.options import AsJson
from stenopool.errors import InvalidOptionError
from stenopool.settings import Settings

if TYPE_CHECKING:
    from stenopool.distributed.clusters.gcs import RayNode
    from stenopool.distributed.clusters.records import Cluster

app = typer.Typer(help="Start, scale and end clusters, here or on hosts over SSH.")

Name = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="The cluster; the only one there is when left out."),
]

GIB = 2**30


@app.command("up")
def up(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, - and _.")],
    provider: Annotated[
        str, typer.Option(help="local: nodes are processes here; ssh: nodes are hosts.")
    ] = "local",
    nodes: Annotated[
        int | None, typer.Option(min=1, help="How many; 1, or all hosts. The head counts.")
    ] = None,
    cpus: Annotated[int | None, typer.Option(min=0, help="Cores that each node declares.")] = None,
    gpus: Annotated[
        int | None, typer.Option(min=0, help="GPUs that each node declares; they may be imagined.")
    ] = None,
    memory: Annotated[
        float | None, typer.Option(min=0, help="GiB of memory that tasks on a node may declare.")
    ] = None,
    hosts: Annotated[
        str | None, typer.Option(help="a,b,c or a file with one a line; the first has the head.")
    ] = None,
    python: Annotated[
        str | None, typer.Option(help="The interpreter on the hosts; the path of this one if none.")
    ] = None,
    max_nodes: Annotated[
        int | None, typer.Option(min=1, help="The most that `scale` may ask for.")
    ] = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Run Ray's dashboard; needs ray[default].")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start a cluster that goes on until `down`. Local nodes listen on 127.0.0.1 only.

    Hosts are reached with your own ssh, keys and configuration, and need the same versions of
    Python, Ray and Stenopool.
    """
    from dataclasses import replace

    from stenopool.distributed.clusters import control
    from stenopool.distributed.clusters import hosts as reading

    settings = Settings.from_env()
    listed = reading.read_hosts(hosts) if hosts else ()
    if listed and provider != "ssh":
        raise InvalidOptionError("--hosts goes with --provider ssh")
    memory_bytes = int(memory * GIB) if memory else None
    spec = control.node_spec(settings, cpus=cpus, gpus=gpus, memory_bytes=memory_bytes)
    wanted = nodes or max(1, len(listed))
    made = control.new_cluster(
        name, spec, provider=provider, nodes=wanted, max_nodes=max_nodes, hosts=listed
    )
    made = replace(made, dashboard=dashboard, python=python or made.python)
    cluster = control.start(settings, made)
    if as_json:
        console.print_json(as_answer(cluster))
        return
    console.say(f"cluster {name}: {console.plural(cluster.alive, 'node')} at {shown(cluster)}")
    console.tell(f"use it with `stenopool transcribe … --cluster {name}`, or from any script with")
    console.tell(f"  export RAY_ADDRESS={shown(cluster)} RAY_AUTH_MODE=token")
    console.tell(f"end it with `stenopool cluster down {name}`")


@app.command("scale")
def scale(
    size: Annotated[int, typer.Argument(metavar="N", help="Nodes; the head counts.")],
    name: Name = None,
    drain: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds that a node which has to go may work on; 30 at first."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give a cluster so many nodes. Idle nodes go first; what is cut off is done again."""
    from stenopool.distributed.clusters import control

    settings = Settings.from_env()
    if name and ":" in name:
        raise control.refuse_foreign(name)
    found = control.only_cluster(control.records_of(settings), name)
    asked = control.ask(settings, found.name, size, drain_s=drain)
    cluster = control.wait_until_settled(settings, asked)
    if as_json:
        console.print_json(as_answer(cluster))
    else:
        console.say(f"cluster {cluster.name} has {console.plural(cluster.alive, 'node')}")


@app.command("nodes")
def nodes(name: Name = None, as_json: AsJson = False) -> None:
    """List the nodes of a cluster, by its name or its head's address."""
    from stenopool.distributed.clusters import control

    settings = Settings.from_env()
    if name and ":" in name:
        found = control.alive_nodes(control.address_of(settings, name))
    else:
        cluster = control.only_cluster(control.records_of(settings), name)
        found = control.alive_nodes(control.address_of(settings, cluster.name))
    if as_json:
        console.print_json([asdict(node) for node in found])
        return
    columns = ("node", "address", "cores", "GPUs", "memory", "state")
    rows = [
        (node.name, node.ip, node.cpus, node.gpus, console.size(node.memory_bytes), state_of(node))
        for node in found
    ]
    console.print_table(columns, rows)


@app.command("down")
def down(name: Name = None) -> None:
    """End a cluster, at once: what works on it is cut off."""
    from stenopool.distributed.clusters import control

    settings = Settings.from_env()
    if name and ":" in name:
        raise control.refuse_foreign(name)
    found = control.only_cluster(control.records_of(settings), name)
    control.end(settings, found.name)
    console.say(f"cluster {found.name} is ended")


@app.command("list")
def list_clusters(as_json: AsJson = False) -> None:
    """List the clusters that were started from this machine."""
    from stenopool.distributed.clusters import control

    found = control.records_of(Settings.from_env()).all()
    if as_json:
        console.print_json([as_answer(cluster) for cluster in found])
    elif found:
        columns = ("cluster", "provider", "nodes", "at most", "head")
        rows = [
            (one.name, one.provider, f"{one.alive} of {one.wanted}", one.max_nodes, shown(one))
            for one in found
        ]
        console.print_table(columns, rows)
    else:
        console.tell("no cluster yet; start one with `stenopool cluster up NAME`")


def shown(cluster: Cluster) -> str:
    """The head's address as a user gives it to Ray."""
    from stenopool.distributed.clusters.gcs import dialled

    return dialled(cluster.address) if cluster.address else "starting"


def as_answer(cluster: Cluster) -> dict[str, object]:
    """A cluster as JSON shows it."""
    return {
        "name": cluster.name,
        "provider": cluster.provider,
        "nodes": cluster.alive,
        "wanted": cluster.wanted,
        "max_nodes": cluster.max_nodes,
        "hosts": cluster.hosts,
        "address": shown(cluster) if cluster.address else None,
        "dashboard_url": cluster.dashboard_url,
        "node": asdict(cluster.spec),
    }


def state_of(node: RayNode) -> str:
    """What a node is doing, for a person."""
    if node.draining:
        return "leaving"
    return f"idle for {console.clock(node.idle_s)}" if node.idle_s else "working"
