"""Hosts over SSH: the check of their environment, and a cluster on a real SSH server."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from distributed.clusters.conftest import SPEC, wait_for
from stenopool.distributed.clusters import control
from stenopool.distributed.clusters.environment import versions
from stenopool.distributed.clusters.processes import marked
from stenopool.distributed.clusters.ssh import check_hosts, compare, remote_command
from stenopool.errors import ClusterError, InvalidOptionError


def test_every_difference_of_versions_is_named_with_the_host():
    here = versions()
    there = json.dumps(here | {"ray": "1.0", "python": "3.8.1"})
    with pytest.raises(InvalidOptionError) as refused:
        compare("gpu-7", "python3", 0, f"Welcome!\n{there}\n", "")
    assert "gpu-7" in str(refused.value)
    assert f"python 3.8.1 (here {here['python']})" in str(refused.value)
    assert f"ray 1.0 (here {here['ray']})" in str(refused.value)
    assert "stenopool" not in str(refused.value)


def test_the_same_versions_pass():
    compare("gpu-7", "python3", 0, json.dumps(versions()), "a warning")


@pytest.mark.parametrize(
    ("status", "errors", "kind", "says"),
    [
        (255, "x\nssh: no route to host\n", ClusterError, "gpu-7 cannot be reached: ssh: no route"),
        (127, "sh: not found", InvalidOptionError, "gpu-7 has no python3; .* --python"),
        (1, "No module named 'ray'", InvalidOptionError, "gpu-7: python3 cannot run .*'ray'"),
    ],
)
def test_a_host_that_does_not_work_is_named_with_the_reason(status, errors, kind, says):
    with pytest.raises(kind, match=says):
        compare("gpu-7", "python3", status, "", errors)


def test_a_remote_word_is_a_word_for_the_shell_there():
    command = remote_command("h", ["/opt/my python", "-m", "x; rm -rf /"])
    assert command[-2:] == ["h", "exec '/opt/my python' -m 'x; rm -rf /'"]
    assert command[command.index("--") + 1] == "h"


@pytest.mark.parametrize(
    ("hosts", "says"),
    [
        ((), "needs hosts"),
        (("a", "b", "a"), "a is named twice"),
        (("-oProxy",), "cannot be a host"),
    ],
)
def test_hosts_that_cannot_be_are_refused(hosts, says):
    with pytest.raises(InvalidOptionError, match=says):
        check_hosts(hosts, "python3")


@pytest.mark.integration
def test_an_unreachable_host_is_named_and_nothing_is_started(hosts, installation, records):
    made = control.new_cluster("far", SPEC, provider="ssh", nodes=3, hosts=(*hosts, "gone"))
    with pytest.raises(ClusterError, match=r"host gone cannot be reached: .*refused"):
        control.start(installation, made)
    assert records.find("far") is None


@pytest.mark.integration
def test_a_host_without_that_python_is_named(hosts):
    with pytest.raises(InvalidOptionError, match=r"host one has no /opt/none/python"):
        check_hosts(hosts[:1], "/opt/none/python")


@pytest.mark.integration
@pytest.mark.proof
@pytest.mark.timeout(300)
def test_a_cluster_over_ssh_starts_scales_and_ends(hosts, installation, records):
    made = control.new_cluster("far", SPEC, provider="ssh", nodes=2, hosts=hosts)
    made = replace(made, python=sys.executable, drain_s=3.0)
    cluster = control.start(installation, made)
    try:
        nodes = control.alive_nodes(cluster.address)
        assert [(node.name, node.cpus) for node in nodes] == [
            (made.node_name(1), 2),
            (made.node_name(2), 2),
        ]
        asked = control.ask(installation, "far", 1)
        assert control.wait_until_settled(installation, asked).alive == 1
        with pytest.raises(InvalidOptionError, match="at most 2"):
            control.ask(installation, "far", 3)
    finally:
        control.end(installation, "far")
    wait_for(lambda: not marked(made.marker), "the end of what ran over there")
