"""A run over several hosts gives the rows of one host, whatever happens to a host or its link."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager

import pytest

from hosts.conftest import AUDIO
from hosts.lab import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

COUNT = 240
RUN_S = 400
CLUSTER = "LAB"
SAME = "path, text, duration_s, speech_s, language, to_json(segments) AS segments, error"

FILL = """
import sys, s3fs
from pathlib import Path
files = s3fs.S3FileSystem()
for bucket in ("recordings", "warehouse"):
    files.mkdir(bucket)
for path in sorted(Path(sys.argv[1]).glob("*.wav"))[: int(sys.argv[2])]:
    files.put_file(str(path), f"recordings/{path.name}")
"""


@pytest.fixture(scope="session")
def expected(hosts_lab):
    """The rows of a run on one host with a Ray of its own, over a bucket that is filled here."""
    filled = hosts_lab.driver.run(sys.executable, "-c", FILL, AUDIO / "digits", COUNT)
    assert filled.returncode == 0, filled.stderr
    hosts_lab.stenopool("transcribe", *words("ALONE"))
    return rows(hosts_lab, "ALONE")


def words(table, slow_s=0.0):
    """A run of the bucket: the words of `stenopool transcribe` without its cluster."""
    model = f"fake:slow={slow_s}" if slow_s else "fake"
    return ("s3://recordings", "--to", table, "--engine", "fake", "--model", model)


def rows(lab, table):
    """What a reader sees of a table, but for what differs between two runs by its nature."""
    found = lab.stenopool("sql", f"SELECT {SAME} FROM {table} ORDER BY path", "--format", "json")
    return json.loads(found)


def nodes_of(lab, table):
    """The hosts that transcribed, with their rows."""
    found = lab.stenopool(
        "sql", f"SELECT node, count(*) AS n FROM {table} GROUP BY node", "--format", "json"
    )
    return {row["node"]: row["n"] for row in json.loads(found)}


@contextmanager
def cluster(lab, hosts):
    """A cluster whose head is on the driver, with these hosts and no others to begin with."""
    addresses = ",".join(host.address for host in lab.hosts)
    lab.stenopool(
        "cluster", "up", CLUSTER, "--provider", "ssh", "--hosts", addresses, "--nodes", len(hosts),
        "--cpus", 2,
    )  # fmt: skip
    try:
        yield
    finally:
        lab.stenopool("cluster", "down", CLUSTER)


@contextmanager
def running(lab, table):
    """A run over the cluster that has its first rows and goes on for a while; ends well."""
    run = lab.start("transcribe", *words(table, slow_s=1.0), "--cluster", CLUSTER)
    try:
        seen = ""
        while "real time" not in seen:
            line = run.stderr.readline()
            assert line, f"it ended before its first rows: {seen}"
            seen += line
        yield
        _, err = run.communicate(timeout=RUN_S)
        assert run.returncode == 0, err
    finally:
        run.kill()
        run.communicate()


def alive(lab):
    """How many nodes of the cluster answer."""
    return len(json.loads(lab.stenopool("cluster", "nodes", CLUSTER, "--json")))


def test_a_run_over_three_hosts_gives_the_rows_of_one(hosts_lab, expected):
    with cluster(hosts_lab, hosts_lab.hosts), running(hosts_lab, "T1"):
        pass
    assert rows(hosts_lab, "T1") == expected
    assert set(nodes_of(hosts_lab, "T1")) == {"host1", "host2", "host3"}


def test_a_host_that_is_killed_in_the_middle_costs_no_row(hosts_lab, expected):
    lost = hosts_lab.hosts[2]
    with cluster(hosts_lab, hosts_lab.hosts):
        with running(hosts_lab, "T2"):
            lost.kill()
        assert rows(hosts_lab, "T2") == expected
        assert alive(hosts_lab) == 2
        hosts_lab.revive(lost)
        wait_until(lambda: alive(hosts_lab) == 3, "the host is back in the cluster", 120)


def test_a_host_that_joins_late_gets_work(hosts_lab, expected):
    with cluster(hosts_lab, hosts_lab.hosts[:2]):
        with running(hosts_lab, "T3"):
            hosts_lab.stenopool("cluster", "scale", 3, CLUSTER)
        assert rows(hosts_lab, "T3") == expected
        assert set(nodes_of(hosts_lab, "T3")) == {"host1", "host2", "host3"}


def test_a_link_that_is_cut_and_comes_back_costs_no_row(hosts_lab, expected):
    away = hosts_lab.hosts[1]
    with cluster(hosts_lab, hosts_lab.hosts):
        with running(hosts_lab, "T4"):
            away.cut()
            wait_until(lambda: alive(hosts_lab) == 2, "the cluster knows that a host is away")
            away.mend()
        assert rows(hosts_lab, "T4") == expected
        wait_until(lambda: alive(hosts_lab) == 3, "the host is back in the cluster", 120)
