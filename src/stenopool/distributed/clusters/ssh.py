"""Hosts over the user's own `ssh`: how a command is run there, and whether a node can run there."""

from __future__ import annotations

import json
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from stenopool.distributed.clusters.environment import versions
from stenopool.errors import ClusterError, InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECT_S = 10
"""How long a host may take to take the connection (s)."""

CHECK_S = 60
"""How long a host may take to say its versions (s)."""

NO_CONNECTION = 255
"""The exit status of `ssh` itself; any other is the remote command's."""

NOT_FOUND = (126, 127)
"""The exit statuses of a shell that does not find a command or may not run it."""


def remote_command(host: str, command: Sequence[str]) -> list[str]:
    """A local command that runs one on a host; nobody is asked for a password.

    The connection's end is noticed within half a minute on either side.
    """
    options = ["BatchMode=yes", f"ConnectTimeout={CONNECT_S}", "ServerAliveInterval=10"]
    flags = [word for option in options for word in ("-o", option)]
    # ssh hands one text to the login shell there: every word of it is quoted for that shell.
    return ["ssh", "-T", *flags, "--", host, f"exec {shlex.join(command)}"]


def check_hosts(hosts: Sequence[str], python: str) -> None:
    """Check that each host answers and has the versions of this process.

    Raises:
        InvalidOptionError: no host is named, or one twice, or an interpreter is missing there or
            has other versions.
        ClusterError: a host does not answer. Nothing was started on any.
    """
    if not hosts:
        raise InvalidOptionError("an SSH cluster needs hosts; give them with --hosts a,b,c")
    if twice := sorted({host for host in hosts if hosts.count(host) > 1}):
        raise InvalidOptionError(f"host {twice[0]} is named twice; one host takes one node")
    if odd := [host for host in hosts if host.startswith("-") or not host.strip()]:
        raise InvalidOptionError(f"'{odd[0]}' cannot be a host")
    with ThreadPoolExecutor(len(hosts)) as pool:
        for _ in pool.map(lambda host: check_host(host, python), hosts):
            pass


def check_host(host: str, python: str) -> None:
    """Check one host.

    Raises:
        InvalidOptionError: the interpreter is missing there, or has other versions.
        ClusterError: the host does not answer.
    """
    command = remote_command(host, [python, "-m", "stenopool.distributed.clusters.environment"])
    try:
        done = subprocess.run(  # noqa: S603 - a list of arguments; no shell reads it here
            command, capture_output=True, text=True, timeout=CHECK_S, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:
        raise InvalidOptionError(
            "`ssh` is not installed here; Debian: apt-get install openssh-client"
        ) from None
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"host {host} did not answer within {CHECK_S} s") from error
    compare(host, python, done.returncode, done.stdout, done.stderr)


def compare(host: str, python: str, status: int, answer: str, errors: str) -> None:
    """Compare what a host said with the versions of this process.

    Raises:
        InvalidOptionError: the interpreter is missing there, or has other versions.
        ClusterError: the host does not answer.
    """
    last = (errors.strip().splitlines() or ["it gave no reason"])[-1]
    if status == NO_CONNECTION:
        raise ClusterError(f"host {host} cannot be reached: {last}")
    if status in NOT_FOUND:
        raise InvalidOptionError(
            f"host {host} has no {python}; name the interpreter there with --python"
        )
    if status:
        raise InvalidOptionError(f"host {host}: {python} cannot run stenopool: {last}")
    there, here = json.loads(answer.strip().splitlines()[-1]), versions()
    differ = [f"{name} {there.get(name)} (here {here[name]})" for name in here
              if there.get(name) != here[name]]  # fmt: skip
    if differ:
        raise InvalidOptionError(
            f"host {host} has {', '.join(differ)}; the nodes of a cluster need the same versions"
        )
