"""The keeper: a process that starts and ends the nodes of one cluster until it is as wanted.

``python -m stenopool.distributed.clusters.keeper FOLDER NAME`` reads the cluster's record a few
times a second and acts on the difference. It ends with the cluster: when that is told to end, when
its head is gone, or when the script that it belongs to is. A keeper that is killed takes the nodes
with it, since each of their runners ends with its input.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stenopool.distributed.clusters.gcs import Head, use_token
from stenopool.distributed.clusters.processes import identity, is_running, sweep
from stenopool.distributed.clusters.providers import provider_of, start_runner
from stenopool.distributed.clusters.records import ClusterRecords
from stenopool.errors import ClusterError, StenopoolError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from stenopool.distributed.clusters.gcs import RayNode
    from stenopool.distributed.clusters.records import Cluster

LOOK_EVERY_S = 0.2
"""How often the record and the nodes are looked at (s)."""

BEAT_EVERY_S = 5.0
"""How often each runner hears that its keeper is there (s); a fraction of what it waits for."""

HEAD_START_S = 120.0
"""How long a head may take to start (s)."""

HEAD_LOST_S = 5.0
"""How long a head may be silent before it counts as gone (s)."""

END_S = 20.0
"""How long a runner may take to end its node before it is killed (s)."""

GIVE_UP_AFTER = 3
"""Failed starts in a row at one place, after which a request is given up before its time."""


@dataclass(eq=False)
class Member:
    """One node and its runner.

    Attributes:
        number: of the node in its cluster; none is given twice.
        place: where it runs.
        process: its runner, or the `ssh` that is connected to it.
        log: what the runner says on its standard error.
        answer: what it said when the node had started; None until then.
        leave_at: when it has to go (monotonic clock); None for one that stays.
        ended_at: when it was told to end; None while it runs.
        seen: whether Ray has counted it as alive.
    """

    number: int
    place: str
    process: subprocess.Popen[bytes]
    log: Path
    answer: dict[str, str] | None = None
    leave_at: float | None = None
    ended_at: float | None = None
    seen: bool = False

    @property
    def stays(self) -> bool:
        """Whether it is to be there in a moment."""
        return self.leave_at is None and self.ended_at is None

    @property
    def node_id(self) -> str:
        """Ray's id of it; empty until it has started."""
        return self.answer["node_id"] if self.answer else ""

    def attend(self) -> None:
        """Wait for the runner's answer, and let it hear that somebody is here, in threads."""
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout  # noqa: S101 - for the type checker; it is a pipe
        if line := self.process.stdout.readline():
            self.answer = json.loads(line)

    def _beat(self) -> None:
        assert self.process.stdin  # noqa: S101 - likewise
        with suppress(OSError, ValueError):  # it ended, or was told to
            while self.ended_at is None:
                self.process.stdin.write(b"\n")
                self.process.stdin.flush()
                time.sleep(BEAT_EVERY_S)

    def end(self) -> None:
        """Tell the runner to end; killed where it does not."""
        if self.ended_at is None:
            self.ended_at = time.monotonic()
            assert self.process.stdin  # noqa: S101 - likewise
            with suppress(BrokenPipeError):  # it has ended by itself
                self.process.stdin.close()
        elif time.monotonic() - self.ended_at > END_S:
            self.process.kill()

    def last_words(self) -> str:
        """The last line that the runner or `ssh` said."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return f"{self.place}: {lines[-1] if lines else 'it ended without a word'}"


@dataclass
class Keeper:
    """The loop, and what it knows of the nodes."""

    records: ClusterRecords
    name: str
    members: list[Member] = field(default_factory=list)
    _numbers: int = 0
    _failures: Counter[str] = field(default_factory=Counter)
    _not_before: dict[str, float] = field(default_factory=dict)
    _reason: str = ""
    _answered_at: float = 0.0

    def run(self) -> None:
        """Keep the cluster until its end; leave no process of it behind."""
        cluster = self.records.change(self.name, keeper=identity())
        problem: str | None = None
        try:
            use_token(create=True)
            if cluster.address is None:
                cluster = self._start_head(cluster)
            assert cluster.address  # noqa: S101 - for the type checker
            head = Head(cluster.address)
            self._answered_at = time.monotonic()
            while self.step(head):
                time.sleep(LOOK_EVERY_S)
        except StenopoolError as error:
            problem = str(error)
        finally:
            self._end_all()
            sweep(cluster.marker)
            self._close(problem)

    def _close(self, problem: str | None) -> None:
        if problem is None:
            self.records.remove(self.name)
        else:
            self.records.change(self.name, problem=problem)

    def _start_head(self, cluster: Cluster) -> Cluster:
        member = self._start(cluster, provider_of(cluster).places(cluster)[0])
        deadline = time.monotonic() + HEAD_START_S
        while member.answer is None:
            if member.process.poll() is not None:
                raise ClusterError(f"the head did not start: {member.last_words()}")
            if time.monotonic() > deadline or self.records.get(self.name).ending:
                raise ClusterError(f"the head did not start within {HEAD_START_S:.0f} s")
            time.sleep(LOOK_EVERY_S / 4)
        url = member.answer["dashboard"]
        return self.records.change(
            self.name,
            address=member.answer["address"],
            dashboard_url=f"http://{url}" if url else None,
        )

    def step(self, head: Head) -> bool:
        """Look once, act once; says whether to go on."""
        cluster = self.records.find(self.name)
        if cluster is None or cluster.ending:
            return False
        if cluster.parent and not is_running(cluster.parent):
            return False
        self._reap(cluster)
        try:
            nodes = {node.node_id: node for node in head.nodes()}
        except ClusterError:
            lost = time.monotonic() - self._answered_at > HEAD_LOST_S
            if lost and cluster.parent is None:
                raise
            return not lost  # a script that shuts its Ray down is done with the nodes
        self._answered_at = time.monotonic()
        self._let_go(nodes)
        self._approach(cluster, head, nodes)
        self._report(cluster, nodes)
        return True

    def _reap(self, cluster: Cluster) -> None:
        """Forget nodes whose runner has ended, with what they may have left."""
        for member in [member for member in self.members if member.process.poll() is not None]:
            sweep(cluster.marker, member.number)
            self.members.remove(member)
            if member.number == 1 and cluster.parent is None:
                raise ClusterError(f"the head ended: {member.last_words()}")
            if member.stays and not member.seen:
                self._failed(member)

    def _failed(self, member: Member) -> None:
        self._failures[member.place] += 1
        self._reason = member.last_words()
        wait_s = min(30, 2 ** self._failures[member.place])
        self._not_before[member.place] = time.monotonic() + wait_s

    def _let_go(self, nodes: Mapping[str, RayNode]) -> None:
        """End nodes whose time is over, and those that Ray has given up."""
        for member in self.members:
            if member.node_id in nodes:
                member.seen = True
                self._failures.pop(member.place, None)
            lost = member.seen and member.node_id not in nodes
            late = member.leave_at is not None and time.monotonic() > member.leave_at
            if lost or late or member.ended_at is not None:
                member.end()

    def _approach(self, cluster: Cluster, head: Head, nodes: Mapping[str, RayNode]) -> None:
        """Start what is missing, or let go what is too much."""
        others = sum(not cluster.owns(node.name) for node in nodes.values())
        staying = [member for member in self.members if member.stays]
        need = cluster.wanted - others
        taken = {member.place for member in self.members}
        for place in provider_of(cluster).places(cluster):
            ready = time.monotonic() >= self._not_before.get(place, 0)
            if len(staying) < need and place not in taken and ready:
                staying.append(self._start(cluster, place))
        for member in self._dispensable(cluster, staying, nodes)[: max(0, len(staying) - need)]:
            member.leave_at = time.monotonic() + cluster.drain_s
            if member.node_id in nodes:
                head.drain(member.node_id, deadline_s=cluster.drain_s)
            else:
                member.end()

    def _dispensable(
        self, cluster: Cluster, staying: list[Member], nodes: Mapping[str, RayNode]
    ) -> list[Member]:
        """Nodes that may go: first what has not started, then the idle, the newest first."""

        def rank(member: Member) -> tuple[bool, float, int]:
            node = nodes.get(member.node_id)
            return node is not None, -node.idle_s if node else 0.0, -member.number

        head = 1 if cluster.parent is None else 0
        return sorted((member for member in staying if member.number != head), key=rank)

    def _start(self, cluster: Cluster, place: str) -> Member:
        self._numbers += 1
        log = self.records.log(f"{cluster.name}.{self._numbers}")
        process = start_runner(cluster, self._numbers, place, log)
        member = Member(self._numbers, place, process, log)
        member.attend()
        self.members.append(member)
        return member

    def _report(self, cluster: Cluster, nodes: Mapping[str, RayNode]) -> None:
        """Write down how many nodes there are; close the request, or give it up."""
        alive, now = len(nodes), time.time()
        if alive == cluster.wanted and all(member.stays for member in self.members):
            if cluster.settled != cluster.request or cluster.alive != alive:
                self.records.settle(self.name, cluster.request, alive)
            return
        if cluster.alive != alive:
            self.records.change(self.name, alive=alive)
        if cluster.settled == cluster.request or cluster.problem:
            return
        late = cluster.deadline is not None and now > cluster.deadline
        if late or max(self._failures.values(), default=0) >= GIVE_UP_AFTER:
            self._give_up(cluster, alive)

    def _give_up(self, cluster: Cluster, alive: int) -> None:
        """Go back to the size before the request; a cluster without one ends."""
        text = f"cluster '{self.name}' came to {alive} of {cluster.wanted} nodes"
        reason = f" ({self._reason})" if self._reason else ""
        self._failures.clear()
        if not cluster.before:
            raise ClusterError(f"{text}{reason}; it was ended")
        self.records.give_up(
            self.name, cluster.request, f"{text}{reason}; it went back to {cluster.before}"
        )

    def _end_all(self) -> None:
        for member in self.members:
            member.end()
        deadline = time.monotonic() + END_S
        for member in self.members:
            try:
                member.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                member.process.kill()


def main() -> None:
    """Keep the cluster that the arguments name."""

    def leave(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(1)

    signal.signal(signal.SIGTERM, leave)
    Keeper(ClusterRecords(Path(sys.argv[1])), sys.argv[2]).run()


if __name__ == "__main__":
    main()
