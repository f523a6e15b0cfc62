"""Hosts for tests, made of Linux namespaces: each with its own address, processes and home.

A host is a process tree in a network, a PID, a mount, a UTS and an IPC namespace of its own.
Killing its first process kills all of it, as pulling a plug does. The hosts' links end in one
switch, which is a namespace too; nothing of this is connected to the machine's own network. It
needs root.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NETWORK = "10.77.0"
DEADLINE_S = 60
NAMESPACES = ("--net", "--pid", "--mount", "--uts", "--ipc")

SET_UP = """
hostname {name}
mount -t tmpfs tmpfs {home}
mkdir {home}/tmp
mount -t tmpfs tmpfs /dev/shm
ip link set lo up
echo ready
exec cat
"""
"""The first process of a host: it waits for the end of its input, which comes with its maker's."""


@dataclass(kw_only=True)
class Host:
    """One host of the lab; it runs after `boot`.

    Attributes:
        name: what `hostname` says there.
        address: in the lab's network.
        home: its home folder: the same path on each host, and on each a file system of its own.
        environment: variables of every command there.
        switch: the first process of the switch.
        process: its own first process.
        servers: what `serve` started on it.
    """

    name: str
    address: str
    home: Path
    environment: dict[str, str]
    switch: subprocess.Popen[str]
    process: subprocess.Popen[str] | None = None
    servers: list[subprocess.Popen[str]] = field(default_factory=list)

    def boot(self) -> None:
        """Start it, with an empty home, and plug it in."""
        self.process = start_namespaces(SET_UP.format(name=self.name, home=self.home))
        plug_in(self)

    def command(self, *words: object) -> list[str]:
        """A command line that runs these words on this host."""
        own = [f"{name}={value}" for name, value in self.environment.items()]
        return [
            *("nsenter", "--target", str(first_child(self.process)), *NAMESPACES),
            *("env", f"HOME={self.home}", f"TMPDIR={self.home}/tmp", *own),
            *map(str, words),
        ]

    def run(self, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; its output is in the result."""
        chosen = {"capture_output": True, "text": True, "check": False, "timeout": 300, **options}
        return subprocess.run(self.command(*words), **chosen)

    def start(self, *words: object, **options: Any) -> subprocess.Popen[str]:
        """Start a command that goes on; it ends with its host."""
        return subprocess.Popen(self.command(*words), text=True, **options)

    def serve(self, *words: object) -> None:
        """Start a server that goes on for as long as the host does."""
        self.servers.append(
            self.start(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )

    def kill(self) -> None:
        """Pull its plug: every process of the host is gone at once."""
        end(self.process)
        while self.servers:
            self.servers.pop().wait()

    def cut(self) -> None:
        """Take its link down; its processes go on."""
        in_switch(self.switch, "ip", "link", "set", self.name, "down")

    def mend(self) -> None:
        """Bring its link up again."""
        in_switch(self.switch, "ip", "link", "set", self.name, "up")


@contextmanager
def lab(count: int, environment: dict[str, str]) -> Iterator[list[Host]]:
    """So many hosts on one switch, `host1` with the address 10.77.0.1 and so on, all running.

    Args:
        count: how many.
        environment: variables of every command on every host.
    """
    with ExitStack() as stack:
        # Sockets of Ray lie below it, and their names may have 107 bytes.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="lab-", dir="/tmp"))
        home = Path(folder, "home")
        home.mkdir()
        switch = start_namespaces("ip link set lo up; echo ready; exec cat")
        stack.callback(end, switch)
        in_switch(switch, "ip", "link", "add", "bridge", "type", "bridge")
        in_switch(switch, "ip", "link", "set", "bridge", "up")
        hosts = [
            Host(
                name=f"host{number}",
                address=f"{NETWORK}.{number}",
                home=home,
                environment=environment,
                switch=switch,
            )
            for number in range(1, count + 1)
        ]
        for host in hosts:
            stack.callback(host.kill)
            host.boot()
        yield hosts


def start_namespaces(script: str) -> subprocess.Popen[str]:
    """Run a shell script as the first process of new namespaces; it has said `ready` by then."""
    command = ["unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc"]
    command += ["sh", "-ec", script]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdout.readline() != "ready\n":
        end(process)
        raise RuntimeError(f"namespaces were not made: {shlex.join(command)}")
    return process


def end(process: subprocess.Popen[str] | None) -> None:
    """Kill a first process, and with it all of its namespaces."""
    if process is not None and process.poll() is None:
        process.kill()
        process.communicate()


def plug_in(host: Host) -> None:
    """Connect a host with the switch and give it its address."""
    inside = str(first_child(host.process))
    in_switch(host.switch, "ip", "link", "add", host.name, "type", "veth", "peer", "name", "eth0")
    in_switch(host.switch, "ip", "link", "set", "eth0", "netns", f"/proc/{inside}/ns/net")
    in_switch(host.switch, "ip", "link", "set", host.name, "master", "bridge")
    in_switch(host.switch, "ip", "link", "set", host.name, "up")
    for words in (
        ("ip", "address", "add", f"{host.address}/24", "dev", "eth0"),
        ("ip", "link", "set", "eth0", "up"),
    ):
        done = host.run(*words)
        if done.returncode:
            raise RuntimeError(f"{host.name}: {shlex.join(words)}: {done.stderr}")


def in_switch(switch: subprocess.Popen[str], *words: str) -> None:
    """Run a command in the switch's network, where all processes can still be seen."""
    command = ["nsenter", "--target", str(first_child(switch)), "--net", *words]
    subprocess.run(command, check=True, capture_output=True)


def first_child(process: subprocess.Popen[str]) -> int:
    """The process number, out here, of the first process in there."""
    [child] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(child)


def wait_until(true: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait for something to become true, and say what did not."""
    end = time.monotonic() + deadline_s
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"after {deadline_s:.0f} s still not true: {what}")
        time.sleep(0.1)


def is_possible() -> bool:
    """Whether this user may make namespaces."""
    return os.geteuid() == 0
