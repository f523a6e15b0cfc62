"""Whatever is killed, and whenever, the table is the old one or the new one."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import ray
import ray.data

from stenopool.distributed.clusters.gcs import own_token
from stenopool.distributed.clusters.node import Order
from stenopool.distributed.clusters.processes import MARK, sweep
from stenopool.distributed.clusters.providers import RUNNER
from stenopool.distributed.clusters.records import NodeSpec
from stenopool.distributed.datasinks import TableDatasink

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.proof]

OLD, NEW = 30, 200

DRIVER = """
import inspect, os, signal, sys
import pyarrow as pa
from ray.data.datasource import WriteResult
from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy.orm import Session
from stenopool.catalog import writing
from stenopool.distributed.datasinks import TableDatasink

moment, override = sys.argv[1], sys.argv[2] == "True"


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def dies(owner, name, when):
    original = getattr(owner, name)
    static = isinstance(inspect.getattr_static(owner, name), staticmethod)

    def wrapped(*args, **kwargs):
        if when == "before":
            die()
        result = original(*args, **kwargs)
        die()
        return result

    setattr(owner, name, staticmethod(wrapped) if static else wrapped)


POINTS = {
    "before the note": (writing.TableWrite, "_leave_note", "before"),
    "after the note": (writing.TableWrite, "_leave_note", "after"),
    "before the commit": (writing.TableWrite, "commit", "before"),
    "before the manifest": (writing.TableWrite, "_append", "before"),
    "after the manifest": (writing.TableWrite, "_append", "after"),
    "after the metadata": (SqlCatalog, "_write_metadata", "after"),
    "in the catalog's commit": (Session, "commit", "before"),
    "after the catalog's commit": (Session, "commit", "after"),
    "before clearing up": (writing.TableWrite, "_clear", "before"),
    "after clearing up": (writing.TableWrite, "_clear", "after"),
}
sink = TableDatasink("t", override=override)
rows = pa.table({"id": list(range(200))})
if moment in POINTS:
    dies(*POINTS[moment])
sink.on_write_start(rows.schema)
written = []
for number in range(4):
    if moment == f"at task {number}":
        die()
    written.append(sink.write([rows.slice(50 * number, 50)], None))
sink.on_write_complete(WriteResult(200, 0, written))
"""

DRIVER_MOMENTS = (
    "before the note", "after the note", "at task 0", "at task 3", "before the commit",
    "before the manifest", "after the manifest", "after the metadata", "in the catalog's commit",
    "after the catalog's commit", "before clearing up", "after clearing up",
)  # fmt: skip

WORKER_MOMENTS = (
    (0, "before"),
    (0, "after"),
    (1, "before"),
    (2, "before"),
    (2, "after"),
    (3, "after"),
)


class Deadly(TableDatasink):
    """Kills what runs its task, once, before it writes or after it has written."""

    min_bytes_per_write = 1  # a task a block

    def __init__(self, *args, marker, task, when, victim="worker", **more):
        super().__init__(*args, **more)
        self.marker, self.task, self.when, self.victim = marker, task, when, victim

    def write(self, blocks, ctx):
        if self.when == "before":
            self._die(ctx)
        written = super().write(blocks, ctx)
        self._die(ctx)
        return written

    def _die(self, ctx):
        if ctx.task_idx != self.task or self.marker.exists():
            return
        self.marker.touch()
        if self.victim == "node":
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def table(rows, ray_cluster):
    """A table with the old rows; gives the function that looks at it."""
    dataset(OLD).write_datasink(TableDatasink("t", auto_create_table=True))
    return lambda: rows("SELECT count(*), count(DISTINCT id) FROM t")


def dataset(count):
    return ray.data.range(count, override_num_blocks=4)


def states(override):
    """The table before and after."""
    new = NEW if override else OLD + NEW
    return [(OLD, OLD)], [(new, NEW)]


@pytest.mark.proof
@pytest.mark.parametrize("moment", DRIVER_MOMENTS)
def test_a_driver_killed_at_any_moment_leaves_the_old_table_or_the_new(moment, table, orphans):
    override = DRIVER_MOMENTS.index(moment) % 2 == 0
    old, new = states(override)
    done = drive(moment, override)
    assert done.returncode == -signal.SIGKILL, done.stderr
    committed = moment in DRIVER_MOMENTS[-3:]
    assert table() == (new if committed else old)
    assert table() in (old, new)
    if not committed:
        again = drive("never", override)
        assert again.returncode == 0, again.stderr
        assert table() == new
    else:
        drive("never", override=True)  # clears up after the dead one
    assert orphans() == []


def drive(moment, override):
    command = [sys.executable, "-c", DRIVER, moment, str(override)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


WITH_WORKERS = """
import sys, time
from pathlib import Path
import ray
from stenopool.distributed.cluster import start_ray
from stenopool.distributed.datasinks import TableDatasink

start_ray(sys.argv[1])
started = Path(sys.argv[2])


class Waiting(TableDatasink):
    min_bytes_per_write = 1

    def write(self, blocks, ctx):
        written = super().write(blocks, ctx)
        if ctx.task_idx == 1:
            started.touch()
            time.sleep(600)  # it is killed before
        return written


ray.data.range(200, override_num_blocks=4).write_datasink(Waiting("t", override=True))
"""


@pytest.mark.proof
def test_a_driver_killed_while_its_workers_write_leaves_the_old_table(table, orphans, tmp_path):
    address = ray.get_runtime_context().gcs_address
    started = tmp_path / "started"
    driver = subprocess.Popen([sys.executable, "-c", WITH_WORKERS, address, str(started)])
    try:
        deadline = time.monotonic() + 120
        while not started.exists():
            assert driver.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        driver.kill()
        driver.wait()
    old, new = states(override=True)
    assert table() == old
    assert drive("never", override=True).returncode == 0
    assert table() == new
    assert orphans() == []


@pytest.mark.parametrize(("task", "when"), WORKER_MOMENTS)
def test_a_worker_killed_at_any_moment_costs_no_row_and_doubles_none(
    task, when, table, orphans, tmp_path
):
    override = task % 2 == 0
    sink = Deadly("t", override=override, marker=tmp_path / "dead", task=task, when=when)
    dataset(NEW).write_datasink(sink)
    assert (tmp_path / "dead").exists()
    assert table() == states(override)[1]
    assert orphans() == []


@pytest.mark.proof
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_node_killed_at_any_moment_costs_no_row_and_doubles_none(when, table, orphans, tmp_path):
    override = when == "before"
    with two_nodes(tmp_path):
        sink = Deadly(
            "t", override=override, marker=tmp_path / "dead", task=1, when=when, victim="node"
        )
        dataset(NEW).write_datasink(sink, ray_remote_args={"num_gpus": 1})
    assert (tmp_path / "dead").exists()
    assert table() == states(override)[1]
    assert orphans() == []


@contextmanager
def two_nodes(folder):
    """Two more nodes of this session's Ray, the only ones with a GPU, for tasks that ask for one.

    Started as a cluster's are, each with sockets of its own: those of `ray start` lie in the
    session's folder, where the next node stumbles over what a killed one leaves.
    """
    marker = secrets.token_hex(16)
    spec = NodeSpec(cpus=1, gpus=1, memory_bytes=500_000_000, object_store_bytes=80_000_000)
    nodes = []
    try:
        for number in (1, 2):
            place = f"/tmp/stenopool-{marker[:8]}-{number}"
            order = Order(
                node_name=f"mortal-{number}",
                spec=spec,
                head=ray.get_runtime_context().gcs_address,
                sockets=f"{place}.s",
                temporary=place,
                token=own_token(),
            )
            node = subprocess.Popen(
                [sys.executable, "-m", RUNNER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, MARK: f"{marker}.{number}"},
                start_new_session=True,
            )
            nodes.append(node)
            node.stdin.write(order.line())
            node.stdin.flush()
            assert node.stdout.readline(), "the node did not start"
        yield
    finally:
        for node in nodes:
            node.stdin.close()
            node.wait(timeout=100)
            node.stdout.close()
        sweep(marker)
