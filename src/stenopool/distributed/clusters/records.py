"""What is known of each cluster: one JSON file a cluster, replaced as a whole, under a lock."""

from __future__ import annotations

import fcntl
import json
import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from stenopool.errors import AlreadyExistsError, InvalidNameError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True, kw_only=True)
class NodeSpec:
    """What one node has.

    Attributes:
        cpus: cores that tasks may take; declared, not enforced.
        gpus: GPUs, likewise; a machine without any may declare some to try a script out.
        memory_bytes: memory that tasks may declare.
        object_store_bytes: memory of its object store.
    """

    cpus: int
    gpus: int
    memory_bytes: int
    object_store_bytes: int


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One cluster as its file has it. Commands write what is wanted, its keeper what is.

    Attributes:
        name: letters, digits, `-` and `_`; at most 40.
        provider: `local`, `ssh` or `existing`.
        marker: in the environment of every process of its nodes, and of no other.
        spec: of each node.
        max_nodes: the head counts.
        hosts: of an SSH cluster; the first one has the head.
        python: the interpreter on those hosts.
        dashboard: whether Ray's dashboard runs.
        wanted: nodes that it shall have; the head counts.
        request: how often `wanted` was set.
        before: nodes to go back to when `deadline` passes.
        deadline: seconds since 1970, UTC; None when there is none.
        drain_s: seconds that a node may go on working when it has to leave.
        ending: whether it shall end.
        address: of its head; None while that starts.
        dashboard_url: None without one.
        keeper: process id and start time (s since 1970) of its keeper.
        parent: likewise of the script whose end is its end; None for a cluster of its own.
        alive: nodes that Ray counts as alive and that shall stay.
        settled: the last request that was fulfilled.
        problem: why the last request was given up, or why it ended.
    """

    name: str
    provider: str
    marker: str
    spec: NodeSpec
    max_nodes: int
    hosts: tuple[str, ...] = ()
    python: str = ""
    dashboard: bool = False
    wanted: int = 1
    request: int = 1
    before: int | None = None
    deadline: float | None = None
    drain_s: float = 30.0
    ending: bool = False
    address: str | None = None
    dashboard_url: str | None = None
    keeper: tuple[int, float] | None = None
    parent: tuple[int, float] | None = None
    alive: int = 0
    settled: int = 0
    problem: str | None = None

    def node_name(self, number: int) -> str:
        """The name under which Ray knows a node."""
        return f"{self.name}-{self.marker[:6]}-{number}"

    def owns(self, node_name: str) -> bool:
        """Whether a node of that name is one of this cluster's."""
        return node_name.startswith(f"{self.name}-{self.marker[:6]}-")


class ClusterRecords:
    """The folder with the records.

    Args:
        folder: made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def log(self, name: str) -> Path:
        """Where the keeper and the nodes write what goes wrong."""
        return self.folder / f"{name}.log"

    def all(self) -> list[Cluster]:
        """All clusters, by name."""
        paths = sorted(self.folder.glob("*.json"))
        return [cluster for path in paths if (cluster := self.find(path.stem))]

    def find(self, name: str) -> Cluster | None:
        """The cluster of that name, or None."""
        if not NAME.fullmatch(name):
            return None
        try:
            values = json.loads((self.folder / f"{name}.json").read_text())
        except FileNotFoundError:
            return None
        return _from_json(values)

    def get(self, name: str) -> Cluster:
        """The cluster of that name.

        Raises:
            NotFoundError: there is none.
        """
        if found := self.find(name):
            return found
        known = ", ".join(cluster.name for cluster in self.all())
        raise NotFoundError(
            f"there is no cluster '{name}'; "
            + (f"there are: {known}" if known else "start one with `stenopool cluster up NAME`")
        )

    def add(self, cluster: Cluster) -> None:
        """Write down a new cluster.

        Raises:
            AlreadyExistsError: its name is taken.
            InvalidNameError: its name cannot be one.
        """
        if not NAME.fullmatch(cluster.name):
            raise InvalidNameError(
                f"'{cluster.name}' cannot name a cluster; use at most 40 letters, digits, - and _"
            )
        with self._locked():
            if self.find(cluster.name):
                raise AlreadyExistsError(
                    f"cluster '{cluster.name}' is there already; "
                    f"`stenopool cluster down {cluster.name}` ends it"
                )
            self._write(cluster)

    def change(self, name: str, **values: Any) -> Cluster:  # noqa: ANN401 - a field's value
        """Change fields of a record; gives what it is then.

        Raises:
            NotFoundError: there is no such cluster.
        """
        with self._locked():
            changed = replace(self.get(name), **values)
            self._write(changed)
        return changed

    def ask(self, name: str, wanted: int, *, deadline: float | None) -> Cluster:
        """Write down that a cluster shall have another size.

        A request that takes the place of one under way keeps the size to go back to.
        """
        with self._locked():
            now = self.get(name)
            under_way = now.before is not None and now.settled < now.request
            changed = replace(
                now,
                wanted=wanted,
                request=now.request + 1,
                before=now.before if under_way else now.wanted,
                deadline=deadline,
                problem=None,
            )
            self._write(changed)
        return changed

    def settle(self, name: str, request: int, alive: int) -> None:
        """Write down that a request was fulfilled, unless another came meanwhile."""
        with self._locked():
            now = self.get(name)
            if now.request == request:
                now = replace(now, settled=request, before=None, deadline=None)
            self._write(replace(now, alive=alive))

    def give_up(self, name: str, request: int, problem: str) -> None:
        """Take a request back, unless another came meanwhile: its size is again that before."""
        with self._locked():
            now = self.get(name)
            if now.request == request and now.before:
                self._write(
                    replace(now, wanted=now.before, before=None, deadline=None, problem=problem)
                )

    def remove(self, name: str) -> None:
        """Forget a cluster."""
        with self._locked():
            (self.folder / f"{name}.json").unlink(missing_ok=True)
            for log in (self.log(name), *self.folder.glob(f"{name}.*.log")):
                log.unlink(missing_ok=True)

    def _write(self, cluster: Cluster) -> None:
        path = self.folder / f"{cluster.name}.json"
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(cluster), indent=1))
        new.replace(path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _from_json(values: dict[str, Any]) -> Cluster:
    pairs = {name: tuple(values[name]) for name in ("keeper", "parent") if values[name]}
    spec, hosts = NodeSpec(**values["spec"]), tuple(values["hosts"])
    return Cluster(**{**values, **pairs, "spec": spec, "hosts": hosts})
