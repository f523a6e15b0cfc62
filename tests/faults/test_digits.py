"""Two thousand real recordings, and neither three dead drivers nor four dead nodes lose one."""

from __future__ import annotations

import os
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from distributed.conftest import AUDIO
from faults.conftest import wait_until
from stenopool.catalog import open_catalog
from stenopool.distributed.clusters import control
from stenopool.distributed.clusters.processes import MARK, marked, sweep
from stenopool.distributed.clusters.records import ClusterRecords, NodeSpec

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.proof,
    pytest.mark.timeout(3000),
]

COUNTING = Path(__file__).parent / "counting"
RECORDINGS = 2000
VICTIMS = ("node", "driver", "node", "driver", "node", "driver", "node")
"""Killed one after another, each after an eighth more of the recordings."""

MOST_TWICE = 0.05
"""Of the windows, those that an engine may do once more."""

NODE = NodeSpec(cpus=1, gpus=0, memory_bytes=2 * 10**9, object_store_bytes=128 * 2**20)


@pytest.fixture
def heard(tmp_path, monkeypatch):
    """What the engines have done: how often each window; nodes and drivers are told where."""
    file = tmp_path / "heard"
    monkeypatch.setenv("COUNTED", str(file))
    path = [str(COUNTING), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
    return lambda: Counter(file.read_text().split())


@pytest.fixture
def cluster(settings, heard, monkeypatch):
    """A cluster of three nodes; gives its marker."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    made = control.new_cluster("digits", NODE, max_nodes=3)
    control.start(settings, replace(made, drain_s=4.0))
    control.wait_until_settled(settings, control.ask(settings, "digits", 3))
    yield ClusterRecords(settings.clusters).get("digits").marker
    control.end(settings, "digits")


def test_digits_with_three_drivers_and_four_nodes_killed_come_once_with_little_done_twice(
    command, rows, settings, cluster, heard
):
    # Guards: the ledger's branch (else a driver's end costs all that it did) and the tries of
    # `Passes` (else a node's end costs the recordings that it had).
    words = (
        "transcribe", AUDIO / "digits", "--pattern", "*.wav", "--to", "D", "--language", "en",
        "--engine", "counted", "--model", "demo", "--cluster", "digits",
    )  # fmt: skip
    driver = command(*words)
    for number, victim in enumerate(VICTIMS, start=1):
        wait_until(lambda n=number: done(settings) >= n * RECORDINGS / 8, f"{number} eighths")
        if victim == "driver":
            os.kill(driver.pid, signal.SIGKILL)
            driver.communicate()
            driver = command(*words)
        else:
            kill_node(cluster)
    out, err = driver.communicate(timeout=1200)
    assert driver.returncode == 0, out + err
    assert rows("SELECT count(*), count(DISTINCT path), count(error) FROM d") == [
        (RECORDINGS, RECORDINGS, 0)
    ]
    with open_catalog(settings) as catalog:
        [record] = catalog.runs()
    assert (record.listed, record.done) == (RECORDINGS, RECORDINGS)
    windows = heard()
    twice = windows.total() - len(windows)
    print(f"{windows.total()} windows done, {twice} of them once more; {record.details}")  # noqa: T201
    assert twice < MOST_TWICE * len(windows), f"{twice} of {len(windows)}"


def done(settings):
    """Recordings that the newest run had in its last commit."""
    with open_catalog(settings) as catalog:
        runs = catalog.runs()
    return runs[0].done if runs else 0


def kill_node(marker):
    """Kill all processes of the youngest node, which is not the head."""
    numbers = []
    for process in marked(marker):
        with suppress(psutil.Error):  # it may end meanwhile
            numbers.append(int(process.environ()[MARK].partition(".")[2]))
    youngest = max(numbers)
    assert youngest > 1
    sweep(marker, youngest)
