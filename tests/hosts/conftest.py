"""Three hosts with an S3 server on a fourth, and one cluster over them, for the whole session."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from hosts.lab import DEADLINE_S, Host, is_possible, lab, wait_until

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
AUDIO = ROOT.parent / "shared" / "audio"
S3_PORT = 5000
SSH_PORT = 2222


@dataclass(kw_only=True)
class Lab:
    """What the tests work with.

    Attributes:
        hosts: `host1`, where commands are given, and the others.
        ssh_folder: keys and settings of SSH, the same on all hosts.
    """

    hosts: list[Host]
    ssh_folder: Path

    @property
    def driver(self) -> Host:
        """The host on which commands are given."""
        return self.hosts[0]

    def stenopool(self, *words: object) -> str:
        """Run a command on the driver; gives what it printed."""
        done = self.driver.run(BIN / "stenopool", *words)
        assert done.returncode == 0, f"stenopool {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *words: object) -> subprocess.Popen[str]:
        """Start a command on the driver; its output can be read while it runs."""
        return self.driver.start(
            BIN / "stenopool", *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def revive(self, host: Host) -> None:
        """Boot a host that was killed, with nothing of before on it."""
        host.boot()
        serve_ssh(host, self.ssh_folder)


@pytest.fixture(scope="session")
def hosts_lab(tmp_path_factory):
    """Three hosts with SSH between them and a bucket server on a fourth."""
    require_tools()
    folder = tmp_path_factory.mktemp("ssh")
    make_keys(folder)
    with lab(4, environment(folder)) as (*hosts, store):
        serve_s3(store)
        for host in hosts:
            serve_ssh(host, folder)
        yield Lab(hosts=hosts, ssh_folder=folder)


def require_tools():
    """Skip where this machine or user cannot have hosts; in CI, what is missing is an error."""
    missing = [name for name in ("unshare", "nsenter", "ip", "sshd") if not found(name)]
    if missing:
        reason = f"{', '.join(missing)} not installed; run: apt-get install iproute2 openssh-server"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    if not is_possible():
        pytest.skip("hosts are made of namespaces, which needs root; run: sudo make test-hosts")


def found(name):
    """The place of a program, also of those that only root has on the path."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def environment(ssh_folder):
    """The variables of every command on every host."""
    return {
        "PATH": f"{ssh_folder}:{BIN}:{os.environ['PATH']}:/usr/sbin:/sbin",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": f"http://10.77.0.4:{S3_PORT}",
        "STENOPOOL_WAREHOUSE": "s3://warehouse",
        "RAY_USAGE_STATS_ENABLED": "0",
        # A lost host is noticed after four seconds instead of half a minute.
        "RAY_health_check_initial_delay_ms": "2000",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "1000",
        "RAY_health_check_failure_threshold": "3",
    }


def make_keys(folder):
    """A key for the hosts, one for their user, and an `ssh` that knows both."""
    for name in ("host_key", "user_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    (folder / "config").write_text(
        f"Port {SSH_PORT}\nIdentityFile {folder}/user_key\n"
        f"UserKnownHostsFile {folder}/known_hosts\nStrictHostKeyChecking yes\n"
        "BatchMode yes\nConnectTimeout 5\n"
    )
    public = (folder / "host_key.pub").read_text()
    (folder / "known_hosts").write_text(f"[10.77.0.*]:{SSH_PORT} {public}")
    wrapper = folder / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
    wrapper.chmod(0o755)


def serve_ssh(host, folder):
    """Run a host's SSH server; its sessions have the host's home and variables."""
    variables = {**host.environment, "HOME": host.home, "TMPDIR": f"{host.home}/tmp"}
    settings = [
        f"Port {SSH_PORT}",
        f"ListenAddress {host.address}",
        f"HostKey {folder}/host_key",
        f"AuthorizedKeysFile {folder}/authorized_keys",
        "StrictModes no",
        "UsePAM no",
        "PidFile none",
        "SetEnv " + " ".join(f'"{name}={value}"' for name, value in variables.items()),
    ]
    place = folder / f"sshd-{host.name}"
    place.write_text("\n".join(settings) + "\n")
    host.run("mkdir", "-p", "/run/sshd")
    host.serve(found("sshd"), "-D", "-f", place)
    wait_until(lambda: answers(host, host.address, SSH_PORT), f"{host.name} answers to SSH")


def serve_s3(store):
    """Run moto's S3 server, with a bucket for recordings and one for tables."""
    words = (sys.executable, "-m", "moto.server", "-H", store.address, "-p", S3_PORT)
    store.serve(*words)
    wait_until(lambda: answers(store, store.address, S3_PORT), "the S3 server answers")


def answers(host, address, port):
    """Whether a port takes connections, seen from a host."""
    script = f"import socket; socket.create_connection(({address!r}, {port}), timeout=2).close()"
    return host.run(sys.executable, "-c", script, timeout=DEADLINE_S).returncode == 0
