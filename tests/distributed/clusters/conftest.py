"""One cluster for the session, drivers on it, and an SSH server with hosts of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

import servers
from stenopool.distributed.clusters import control
from stenopool.distributed.clusters.processes import marked
from stenopool.distributed.clusters.records import ClusterRecords, NodeSpec
from stenopool.settings import Settings

WAIT_S = 120
"""How long anything may take that a test waits for (s)."""

SPEC = NodeSpec(cpus=2, gpus=1, memory_bytes=10**9, object_store_bytes=128 * 2**20)


def wait_for(condition, what):
    """Wait until a condition holds, and give its value."""
    deadline = time.monotonic() + WAIT_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {WAIT_S} s for {what}"
        time.sleep(0.05)
    return value


@pytest.fixture(scope="session")
def installation(tmp_path_factory):
    """A home that all clusters of this session share."""
    return Settings.from_env({"STENOPOOL_HOME": str(tmp_path_factory.mktemp("clusters") / "home")})


@pytest.fixture(scope="session")
def records(installation):
    return ClusterRecords(installation.clusters)


@pytest.fixture(scope="session")
def five(installation, records):
    """The name of a cluster that may have five nodes, with one declared GPU each."""
    made = control.new_cluster("five", SPEC, max_nodes=5)
    control.start(installation, replace(made, drain_s=4.0))
    yield "five"
    marker = records.get("five").marker
    control.end(installation, "five")
    assert not marked(marker)


@pytest.fixture
def sized(installation, five):
    """`sized(n)`: that cluster with n nodes."""

    def give(size):
        asked = control.ask(installation, five, size)
        return control.wait_until_settled(installation, asked)

    return give


@pytest.fixture(scope="session")
def environment(installation):
    """What a driver or a command needs to find the clusters of this session."""
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return kept | {"STENOPOOL_HOME": str(installation.home), "PYTHONWARNINGS": "ignore"}


@pytest.fixture
def script(environment, records, five):
    """`script(code)`: start a driver on the cluster, in a process of its own."""
    started = []

    def start(code, *, joined=True, **variables):
        address = {"RAY_ADDRESS": control.dialled(records.get(five).address)} if joined else {}
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            env=environment | {"RAY_AUTH_MODE": "token"} | address | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process):
    """What a driver printed, once it has ended well."""
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, err
    return out


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory):
    """An SSH server on this machine that takes one key; gives the `ssh` options to reach it."""
    sshd = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(sshd).exists():
        if os.environ.get("CI"):
            pytest.fail("sshd is not installed; run: apt-get install openssh-server")
        pytest.skip("sshd is not installed; run: apt-get install openssh-server")
    with servers.ssh_server(sshd, tmp_path_factory.mktemp("ssh")) as config:
        yield config


@pytest.fixture
def hosts(ssh_server, tmp_path, monkeypatch):
    """Let `ssh` on the path know the hosts `one`, `two` and `gone`; nobody answers at the last."""
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {ssh_server} "$@"\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return ("one", "two")
