"""`stenopool cluster`, and `transcribe --cluster`: one line for each thing that cannot be."""

from __future__ import annotations

import pytest

import servers
from stenopool.distributed.clusters.processes import marked
from stenopool.distributed.clusters.records import ClusterRecords
from stenopool.settings import Settings


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (("nodes",), "no cluster is running; start one with `stenopool cluster up NAME`"),
        (("down", "calls"), "there is no cluster 'calls'; start one with"),
        (("scale", "3", "calls"), "there is no cluster 'calls'"),
        (("up", "a/b"), "'a/b' cannot name a cluster"),
        (("up", "a", "--nodes", "3", "--max-nodes", "2"), "this cluster may have at most 2"),
        (("up", "a", "--provider", "cloud"), "no provider 'cloud'; there are: local, ssh"),
        (("up", "a", "--provider", "ssh"), "an SSH cluster needs hosts"),
        (("up", "a", "--hosts", "b"), "--hosts goes with --provider ssh"),
        (("up", "a", "--cpus", "0"), "a node needs a core or a GPU"),
        (("up", "a", "--provider", "existing"), "can be used, but not started, scaled or ended"),
        (("down", "10.0.0.1:6379"), "10.0.0.1:6379 was not started by `stenopool cluster up`"),
        (("scale", "2", "10.0.0.1:6379"), "10.0.0.1:6379 was not started by"),
        (("nodes", "nowhere:"), "neither a cluster's name nor HOST:PORT"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_one_line(fails, line, says):
    assert says in fails(2, "cluster", *line)


def test_no_cluster_is_said_on_standard_error(steno):
    listed = steno("cluster", "list")
    assert (listed.out, listed.code) == ("", 0)
    assert "stenopool cluster up NAME" in listed.err
    assert steno("cluster", "list", "--json").answer == []


def test_a_run_says_before_it_starts_that_its_cluster_is_not_there(fails, files):
    files({"a.wav": "no sound"})
    assert "there is no cluster 'calls'" in fails(
        2, "transcribe", "a.wav", "--to", "T", "--cluster", "calls"
    )
    address = f"127.0.0.1:{servers.free_port()}"
    line = fails(3, "transcribe", "a.wav", "--to", "T", "--cluster", address)
    assert f"no Ray cluster answers at {address}" in line


@pytest.mark.integration
@pytest.mark.proof
@pytest.mark.timeout(300)
def test_a_cluster_from_start_to_end(steno, process, fails):
    up = process("cluster", "up", "calls", "--cpus", "2", "--gpus", "1", "--max-nodes", "2")
    assert up.returncode == 0, up.stderr
    [listed] = steno("cluster", "list", "--json").answer
    try:
        address = listed["address"]
        assert up.stdout == f"cluster calls: 1 node at {address}\n"
        assert f"export RAY_ADDRESS={address}" in up.stderr
        assert "--cluster calls" in up.stderr
        assert (listed["nodes"], listed["max_nodes"], listed["provider"]) == (1, 2, "local")
        marker = ClusterRecords(Settings.from_env().clusters).get("calls").marker
        for place in ("calls", address):
            [node] = steno("cluster", "nodes", place, "--json").answer
            assert (node["cpus"], node["gpus"], node["is_head"]) == (2, 1, True)
        assert steno("cluster", "scale", "2").out == "cluster calls has 2 nodes\n"
        assert [row[2:4] for row in steno("cluster", "nodes").rows[1:]] == [["2", "1"]] * 2
        assert "is there already" in fails(2, "cluster", "up", "calls")
        assert "at most 2" in fails(2, "cluster", "scale", "3")
    finally:
        down = steno("cluster", "down")
    assert down.out == "cluster calls is ended\n"
    assert not marked(marker)
    assert steno("cluster", "list", "--json").answer == []
