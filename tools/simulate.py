"""Simulates the scheduler of a run on a thousand GPUs: who reads and transcribes what, and when.

    make simulate
    .venv/bin/python tools/simulate.py --json > benchmarks/results/simulate-DATE.jsonl

The plan is the real one: the order, the blocks of the reading tasks, the units of long recordings,
what goes into an engine's call, how often something is tried. Nodes are a model (`Model`), and
everything that Ray, a network and a storage do besides costs nothing here. A case is one way to
schedule the same recordings; each is compared with the least that the work could take.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import platform
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from stenopool.asr.ctranslate2_backend import GPU_BATCH
from stenopool.audio.units import SEARCH_SHARE, UNIT_S
from stenopool.distributed.cluster import plan_layout
from stenopool.distributed.collecting import COMMIT_EVERY_S, COMMIT_ROWS
from stenopool.distributed.pipeline import IN_FLIGHT
from stenopool.distributed.planning import cut_blocks, longest_first
from stenopool.distributed.reading import BLOCK_SAMPLES_BYTES
from stenopool.model import SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

READ, HEARD, UP, JOINED, LOST, DRIVER_LOST = range(6)
"""What happens: a call is read, a call is heard, an engine is up, a node comes, a node goes, …"""


BLOCK_WINDOWS = plan_layout(cpus=16, gpus=1, memory_bytes=0, model_bytes=0).block_windows
"""That an engine on a GPU takes in one call, and recordings that a task reads."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """What the simulation assumes; none of it was measured on such a cluster.

    Attributes:
        gpus: nodes, each with one GPU and one engine.
        cores: of a node; the engine has one of them, each other one reads.
        read_speed: seconds of audio that a core reads, decodes and searches for speech a second.
        open_s: seconds to open a recording.
        window_s: seconds of an engine for one more window in a batch.
        batch_s: seconds of an engine for a batch, however full.
        waiting_calls: that lie read in a node's memory before reading waits for the engines.
        start_s: from a node's start, or a new pass, to an engine that works.
        replace_s: from a node's loss to the one that takes its place.
        restart_s: from the driver's loss to the next one's first task.
        speech_share: of each recording.
        window_speech_s: speech in a window.
        gpu_hour_price: of a node (dollars an hour), from its start to the run's end.
    """

    gpus: int = 1000
    cores: int = 16
    read_speed: float = 150.0
    open_s: float = 0.05
    window_s: float = 0.22
    batch_s: float = 1.0
    waiting_calls: int = 200
    start_s: float = 60.0
    replace_s: float = 300.0
    restart_s: float = 60.0
    speech_share: float = 0.7
    window_speech_s: float = 25.0
    gpu_hour_price: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way to schedule the recordings.

    Attributes:
        name: for people.
        sorted_: whether the longest come first, as in a run; else as they are listed.
        in_units: whether long recordings are cut in units, as in a run.
        nodes_lost: how many nodes go at a random time.
        drivers_lost: how many times the driver goes, evenly spread.
    """

    name: str
    sorted_: bool = True
    in_units: bool = True
    nodes_lost: int = 0
    drivers_lost: int = 0


def main() -> None:
    """Simulate every case; prints a table, or a line of JSON for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=int, default=10_000_000)
    parser.add_argument("--gpus", type=int, default=Model.gpus)
    parser.add_argument("--price", type=float, default=Model.gpu_hour_price, help="$ a GPU-hour")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="a line for each case")
    asked = parser.parse_args()
    model = Model(gpus=asked.gpus, gpu_hour_price=asked.price)
    recordings = Recordings.drawn(asked.recordings, asked.seed)
    if not asked.json:
        print(f"{asked.recordings:,} recordings, {recordings.lengths_s.sum() / 3600:,.0f} hours")
        print(HEADER, flush=True)
    for case in cases(asked.gpus):
        began = time.process_time()
        found = simulate(recordings, model, case, asked.seed)
        spent = {"cpu_s": time.process_time() - began}
        line = about(asked, recordings, model) | {"scheduled": asdict(case)} | found | spent
        print(json.dumps(line) if asked.json else row(case, found), flush=True)


def cases(gpus: int) -> list[Case]:
    """What is compared: the run as it is, and what each of its choices is good for."""
    lost = max(1, gpus // 50)
    ways = [(True, True), (False, True), (True, False), (False, False)]
    names = ["as it is", "listing order", "recordings whole", "both"]
    return [
        *(
            Case(name=name, sorted_=sorted_, in_units=in_units, nodes_lost=nodes)
            for nodes in (lost, 0)
            for name, (sorted_, in_units) in zip(names, ways, strict=True)
        ),
        Case(name="as it is", nodes_lost=lost, drivers_lost=1),
    ]


HEADER = (
    f"{'':17}{'nodes':>6}{'driver':>7}{'wall':>9}{'bound':>9}{'busy':>8}{'tail':>7}{'twice':>8}"
    f"{'GPU-h':>8}{'$':>8}"
)


def row(case: Case, found: dict[str, float]) -> str:
    """A case as a line of the table."""
    return (
        f"{case.name:17}{-case.nodes_lost:>6}{-case.drivers_lost:>7}"
        f"{found['wall_s']:>8,.0f}s{found['bound_s']:>8,.0f}s{found['busy_share']:>8.2%}"
        f"{found['tail_s']:>6,.0f}s{found['twice_share']:>8.3%}"
        f"{found['gpu_hours']:>8,.0f}{found['cost']:>8,.0f}"
    )


def about(asked: argparse.Namespace, recordings: Recordings, model: Model) -> dict[str, object]:
    """What a result file says beside the figures."""
    names = ("numpy", "ray", "stenopool")
    words = f"--recordings {asked.recordings} --gpus {asked.gpus} --price {asked.price:g}"
    lengths = recordings.lengths_s
    return {
        "case": "simulate",
        "command": f"tools/simulate.py {words} --seed {asked.seed} --json",
        "machine": {"cores": os.cpu_count()},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in names},
        "recordings": len(lengths),
        "audio_hours": float(lengths.sum() / 3600),
        "median_s": float(np.median(lengths)),
        "over_an_hour": int((lengths > 3600).sum()),
        "longest_s": float(lengths.max()),
        "model": asdict(model),
    }


@dataclass(frozen=True)
class Recordings:
    """Lengths (s) and sizes (bytes), both shape (n,), in the order of the listing."""

    lengths_s: NDArray[np.float64]
    sizes: NDArray[np.int64]

    @classmethod
    def drawn(cls, count: int, seed: int) -> Recordings:
        """Calls with a heavy tail, in four codecs.

        Ninety-nine in a hundred are lognormal (median two minutes, sigma 1); the rest are Pareto
        from ten minutes with exponent 1.2. All are between one second and ten hours long, and
        have 2, 4, 8 or 16 kB a second, so that the size is not the length.
        """
        random = np.random.default_rng(seed)
        body = random.lognormal(np.log(120), 1, count)
        tail = 600 * (1 + random.pareto(1.2, count))
        lengths = np.where(random.random(count) < 0.99, body, tail).clip(1, 36_000)
        bytes_a_second = random.choice([2000, 4000, 8000, 16_000], count)
        return cls(lengths, (lengths * bytes_a_second).astype(int))

    def order(self, *, sorted_: bool) -> NDArray[np.int64]:
        """The numbers of the recordings in the order of the plan."""
        if not sorted_:
            return np.arange(len(self.sizes))
        paths = pa.repeat("", len(self.sizes))
        numbers = np.arange(len(self.sizes))
        table = pa.table({"path": paths, "size_bytes": self.sizes, "number": numbers})
        return longest_first(table)["number"].to_numpy()


@dataclass(frozen=True)
class Units:
    """The units of all recordings, those of one after another.

    Attributes:
        first: the first unit of each recording, and the number of units; shape (n + 1,).
        lengths_s: of each unit; likewise below, shape (units,).
        windows: in each unit.
        sample_bytes: what travels to the engine.
    """

    first: NDArray[np.int64]
    lengths_s: NDArray[np.float64]
    windows: NDArray[np.int64]
    sample_bytes: NDArray[np.int64]

    @classmethod
    def cut(cls, lengths_s: NDArray[np.float64], model: Model, *, in_units: bool) -> Units:
        """Cut recordings as `read_units` does, where each is cut in the middle of its search."""
        middle = UNIT_S * (1 - SEARCH_SHARE / 2) if in_units else np.inf
        longest = UNIT_S if in_units else np.inf
        more = np.ceil(np.maximum(0, lengths_s - longest) / middle).astype(int)
        first = np.concatenate(([0], np.cumsum(more + 1)))
        lengths = np.full(first[-1], middle)
        lengths[first[1:] - 1] = lengths_s - (more * middle if in_units else 0.0)
        speech = lengths * model.speech_share
        windows = np.maximum(1, np.ceil(speech / model.window_speech_s)).astype(int)
        return cls(first, lengths, windows, (speech * 2 * SAMPLE_RATE).astype(int))


@dataclass(frozen=True)
class Tasks:
    """The reading tasks of one pass, and the calls of engines that each of them gives.

    Attributes:
        first_call: of each task, and the number of calls.
        units: of all calls, one call's after another.
        first_unit: where in `units` each call begins, and their number.
        read_s: what a task takes to have a call ready, after the one before.
        engine_s: what an engine takes for a call.
        batches: of the engine, in all calls.
    """

    first_call: list[int]
    units: NDArray[np.int64]
    first_unit: NDArray[np.int64]
    read_s: list[float]
    engine_s: list[float]
    batches: int

    @classmethod
    def cut(
        cls,
        recordings: NDArray[np.int64],
        cuts: list[int],
        units: Units,
        heard: NDArray[np.bool_],
        model: Model,
    ) -> Tasks:
        """Cut a plan into tasks and calls.

        Args:
            recordings: their numbers, in the plan's order.
            cuts: how many of them go into each task.
            units: of all recordings.
            heard: which units are done; they are read once more, but not handed on.
            model: what reading and hearing takes.
        """
        counts = units.first[recordings + 1] - units.first[recordings]
        starts = np.concatenate(([0], np.cumsum(counts)))
        chosen = np.arange(starts[-1]) + np.repeat(units.first[recordings] - starts[:-1], counts)
        spent = units.lengths_s[chosen] / model.read_speed
        spent[starts[:-1]] += model.open_s
        read = np.cumsum(spent)
        ends = starts[np.cumsum(cuts)]
        read_ends = read[ends - 1]
        left = np.flatnonzero(~heard[chosen])
        chosen, read = chosen[left], read[left]
        ends = np.searchsorted(left, ends)
        last = call_ends(units.windows[chosen], units.sample_bytes[chosen], ends)
        first_unit = np.concatenate(([0], last))
        first_call = np.concatenate(([0], np.searchsorted(last, ends) + 1))
        ready = read[last - 1]
        ready[first_call[1:] - 1] = read_ends  # what is left goes on when the task has read all
        windows = np.diff(np.concatenate(([0], np.cumsum(units.windows[chosen])))[first_unit])
        batches = -(-windows // GPU_BATCH)
        read_s = np.diff(ready, prepend=0.0)
        engine_s = windows * model.window_s + batches * model.batch_s
        return cls(
            first_call.tolist(), chosen, first_unit, read_s.tolist(), engine_s.tolist(),
            int(batches.sum()),
        )  # fmt: skip


def call_ends(
    windows: NDArray[np.int64], sample_bytes: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Where each engine's call ends: what `reading.is_full` says, for all tasks at once.

    Args:
        windows: of each unit, shape (n,).
        sample_bytes: of each unit, shape (n,).
        ends: where each task ends, rising.
    """
    most = BLOCK_WINDOWS
    until_windows = np.concatenate(([0], np.cumsum(windows)))
    until_bytes = np.concatenate(([0], np.cumsum(sample_bytes)))
    start = np.concatenate(([0], ends[:-1]))
    found = []
    while len(start):
        full = np.minimum(
            np.searchsorted(until_windows, until_windows[start] + most),
            np.searchsorted(until_bytes, until_bytes[start] + BLOCK_SAMPLES_BYTES),
        )
        end = np.minimum(np.minimum(full, start + most), ends)
        found.append(end)
        more = end < ends
        start, ends = end[more], ends[more]
    return np.sort(np.concatenate(found))


@dataclass(slots=True, eq=False)
class Node:
    """A node, and what its engine and its reading tasks are at.

    Attributes:
        joined: when it came.
        left: when it went.
        alive: whether it is there.
        up_at: when its engine is up.
        call: that its engine works on; -1 for none.
        began: when it began with that.
        next_call: that it has at hand; -1 for none.
        reading: its reading tasks.
    """

    joined: float
    left: float = np.inf
    alive: bool = True
    up_at: float = np.inf
    call: int = -1
    began: float = 0.0
    next_call: int = -1
    reading: set[int] = field(default_factory=set)


class Cluster:
    """Nodes that work on the tasks of one pass after another, and all that is counted.

    Args:
        model: of its nodes.
        losses: when a node goes.
        driver_losses: when the driver goes.
        seed: decides which node goes.
    """

    def __init__(
        self, model: Model, losses: list[float], driver_losses: list[float], seed: int
    ) -> None:
        assert IN_FLIGHT == 2  # the call that an engine works on, and one at hand
        self._model = model
        self._most = model.waiting_calls * model.gpus
        self._random = np.random.default_rng(seed)
        self.nodes = [Node(0.0) for _ in range(model.gpus)]
        self._events = [(at, LOST, 0) for at in losses]
        self._events += [(at, DRIVER_LOST, 0) for at in driver_losses]
        heapq.heapify(self._events)
        self.now = 0.0
        self.busy_s = self.lost_s = self.idle_from = 0.0
        self.nodes_lost = 0
        self._happens = {
            READ: self._read, HEARD: self._heard, UP: self._up, JOINED: self._joined,
            LOST: self._lose_node, DRIVER_LOST: self._lose_driver,
        }  # fmt: skip

    def work(self, tasks: Tasks) -> NDArray[np.int64]:
        """Work on all tasks of a pass until each is done or lost.

        Returns:
            How often each call was heard and kept.
        """
        self._begin(tasks)
        while self.driver_lives and (
            self._task < self._count or self._reading or self._waiting or self._in_flight
        ):
            at, what, which = heapq.heappop(self._events)
            self.now = max(self.now, at)
            self._happens[what](which)
        return np.array(self._done)

    def _begin(self, tasks: Tasks) -> None:
        calls, count = len(tasks.engine_s), len(tasks.first_call) - 1
        self._tasks = tasks
        self._task = self._reading = self._in_flight = 0
        self.driver_lives = True
        self._done = [0] * calls
        self._count = count
        self._paused: deque[int] = deque()
        self._next = tasks.first_call[:-1]
        self._node: list[Node | None] = [None] * count
        self._task_of = np.repeat(np.arange(count), np.diff(tasks.first_call)).tolist()
        self._waiting: deque[int] = deque()
        self._idle: deque[Node] = deque()
        self._open: deque[Node] = deque()
        self._slots: deque[Node] = deque()
        self._uncommitted: list[int] = []
        self._committed_at = self.now
        # What dead nodes and the pass before were at comes to nothing.
        outside = {JOINED, LOST, DRIVER_LOST}
        self._events = [event for event in self._events if event[1] in outside]
        heapq.heapify(self._events)
        self._engine: dict[int, Node] = {}
        alive = [number for number, node in enumerate(self.nodes) if node.alive]
        self._slots.extend(self.nodes[n] for _ in range(self._model.cores - 1) for n in alive)
        for number in alive:
            self._start(number)
        self._read_more()

    def _start(self, number: int) -> None:
        node = self.nodes[number]
        node.up_at = self.now + self._model.start_s
        heapq.heappush(self._events, (node.up_at, UP, number))

    def _read_more(self) -> None:
        """Give tasks to the cores that are free, in the plan's order."""
        while self._slots and self._task < self._count and len(self._waiting) < self._most:
            node = self._slots.popleft()
            if node.alive:
                node.reading.add(self._task)
                self._node[self._task] = node
                self._reading += 1
                self._read_on(self._task)
                self._task += 1

    def _read_on(self, task: int) -> None:
        at = self.now + self._tasks.read_s[self._next[task]]
        heapq.heappush(self._events, (at, READ, task))

    def _read(self, task: int) -> None:
        """A task has read enough for a call."""
        node = self._node[task]
        if node is None or not node.alive:
            return
        call = self._next[task]
        self._next[task] += 1
        self._waiting.append(call)
        if self._next[task] == self._tasks.first_call[task + 1]:
            node.reading.discard(task)
            self._reading -= 1
            self._slots.append(node)
            self._read_more()
        elif len(self._waiting) < self._most:
            self._read_on(task)
        else:
            self._paused.append(task)
        self._hand_out()

    def _hand_out(self) -> None:
        """Calls that wait go to idle engines, then to those that have none at hand."""
        while self._waiting and self._idle:
            node = self._idle.popleft()
            if node.alive and node.call < 0:
                self._listen(node, self._taken())
                self._open.append(node)
        while self._waiting and self._open:
            node = self._open.popleft()
            if node.alive and node.call >= 0 and node.next_call < 0:
                node.next_call = self._taken()

    def _taken(self) -> int:
        """The call that waits longest; where there is room again, reading goes on."""
        call = self._waiting.popleft()
        self._in_flight += 1
        if len(self._waiting) < self._most:
            while self._paused:
                task = self._paused.popleft()
                node = self._node[task]
                if node is not None and node.alive:
                    self._read_on(task)
                    return call
            self._read_more()
        return call

    def _listen(self, node: Node, call: int) -> None:
        node.call, node.began = call, self.now
        at = self.now + self._tasks.engine_s[call]
        heapq.heappush(self._events, (at, HEARD, call))
        self._engine[call] = node

    def _heard(self, call: int) -> None:
        """An engine is through with a call."""
        node = self._engine.pop(call)
        if not node.alive or node.call != call:
            return
        self._done[call] += 1
        self.busy_s += self._tasks.engine_s[call]
        self._in_flight -= 1
        self._commit_if_due(call)
        node.call = -1
        if node.next_call >= 0:
            self._listen(node, node.next_call)
            node.next_call = -1
            self._open.append(node)
        else:
            self._idle.append(node)
        self._hand_out()
        if node.call < 0 and not self.idle_from and self._task == self._count:
            self.idle_from = self.now

    def _commit_if_due(self, call: int) -> None:
        self._uncommitted.append(call)
        due = self.now - self._committed_at >= COMMIT_EVERY_S
        if due or len(self._uncommitted) >= COMMIT_ROWS:
            self._uncommitted, self._committed_at = [], self.now

    def _up(self, number: int) -> None:
        node = self.nodes[number]
        if node.alive and node.up_at == self.now:
            self._idle.append(node)
            self._hand_out()

    def _joined(self, _: int) -> None:
        self.nodes.append(Node(self.now))
        self._slots.extend([self.nodes[-1]] * (self._model.cores - 1))
        self._start(len(self.nodes) - 1)
        self._read_more()

    def _lose_node(self, _: int) -> None:
        """A node goes, with the calls that its engine has and all that its tasks have read."""
        node = self._random.choice([node for node in self.nodes if node.alive])
        node.alive, node.left = False, self.now
        self.nodes_lost += 1
        self._stop(node)
        self._reading -= len(node.reading)
        node.reading.clear()
        kept = [call for call in self._waiting if self._node[self._task_of[call]] is not node]
        self._waiting = deque(kept)
        heapq.heappush(self._events, (self.now + self._model.replace_s, JOINED, 0))

    def _stop(self, node: Node) -> None:
        """An engine stops; what it is at was for nothing."""
        self._in_flight -= (node.call >= 0) + (node.next_call >= 0)
        if node.call >= 0:
            self.busy_s += self.now - node.began
            self.lost_s += self.now - node.began
        node.call = node.next_call = -1

    def _lose_driver(self, _: int) -> None:
        """The driver goes: all stops, and what was not committed was for nothing."""
        for node in self.nodes:
            if node.alive:
                self._stop(node)
                node.reading.clear()
        for call in self._uncommitted:
            self._done[call] -= 1
            self.lost_s += self._tasks.engine_s[call]
        self.driver_lives = False
        self.idle_from = 0.0
        self.now += self._model.restart_s

    def paid_s(self) -> float:
        """Seconds of all nodes together, from the start of each to its loss or to now."""
        return sum(max(0.0, min(node.left, self.now) - node.joined) for node in self.nodes)


def simulate(recordings: Recordings, model: Model, case: Case, seed: int) -> dict[str, float]:
    """Transcribe all recordings in the model; gives what it took and what it could have taken.

    Raises:
        AssertionError: a unit was not heard, or counted twice.
    """
    units = Units.cut(recordings.lengths_s, model, in_units=case.in_units)
    window_s = model.window_s + model.batch_s / GPU_BATCH
    bound_s = float(units.windows.sum()) * window_s / model.gpus
    random = np.random.default_rng(seed)
    losses = random.uniform(0, bound_s, case.nodes_lost).tolist()
    driver_losses = np.linspace(0, bound_s, case.drivers_lost + 2)[1:-1].tolist()
    cluster = Cluster(model, losses, driver_losses, seed)
    heard = np.zeros(len(units.windows), np.int64)
    left = recordings.order(sorted_=case.sorted_)
    first, passes, one_by_one = None, [], False
    while len(left):
        sizes = recordings.sizes[left]
        cuts = (
            [1] * len(left)
            if one_by_one
            else cut_blocks(sizes, 8 * model.gpus, files=BLOCK_WINDOWS)
        )
        tasks = Tasks.cut(left, cuts, units, heard > 0, model)
        began, tried = cluster.now, len(left)
        done = cluster.work(tasks)
        heard[tasks.units] += np.repeat(done, np.diff(tasks.first_unit))
        left = left[np.minimum.reduceat(heard, units.first[:-1])[left] == 0]
        one_by_one = cluster.driver_lives
        first = first or tasks
        passes.append({"recordings": tried, "tasks": len(cuts), "wall_s": cluster.now - began})
    assert (heard == 1).all()
    wall_s, paid_s = cluster.now, cluster.paid_s()
    calls = len(first.engine_s)
    return {
        "wall_s": wall_s,
        "bound_s": bound_s,
        "over_bound": wall_s / bound_s - 1,
        "busy_share": cluster.busy_s / paid_s,
        "tail_s": wall_s - cluster.idle_from,
        "twice_share": cluster.lost_s / (cluster.busy_s - cluster.lost_s),
        "gpu_hours": paid_s / 3600,
        "cost": paid_s / 3600 * model.gpu_hour_price,
        "bound_cost": bound_s * model.gpus / 3600 * model.gpu_hour_price,
        "nodes_lost": cluster.nodes_lost,
        "calls": calls,
        "windows_a_call": float(units.windows.sum()) / calls,
        "batch_fill": float(units.windows.sum()) / (first.batches * GPU_BATCH),
        "tasks_a_second": (passes[0]["tasks"] + calls) / wall_s,
        "passes": passes,
    }


if __name__ == "__main__":
    main()
