"""Real servers for tests, each a process of its own on a free port of 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START_S = 60
"""How long a server may take to answer (s)."""


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], what: str) -> None:
    """Wait for a server's first answer; fail where its process ends or the time is over."""
    deadline = time.monotonic() + START_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not start (exit status {process.poll()})")
        time.sleep(0.05)


@contextmanager
def process_of(
    command: list[str], *, stop: signal.Signals = signal.SIGTERM, **options
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server and end it afterwards with the signal that it takes for that."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options
    )
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def s3_server() -> Iterator[str]:
    """Run moto's S3 server and yield its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with process_of(command, env=os.environ | {"AWS_ACCESS_KEY_ID": "x"}) as process:
        wait_until(lambda: answers(f"{url}/moto-api/"), process, "moto's server")
        yield url


def postgres_binary(name: str) -> Path | None:
    """One of PostgreSQL's programs, from PATH or Debian's package; None without it."""
    if found := shutil.which(name):
        return Path(found)
    return max(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), default=None)


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run PostgreSQL with its data in a temporary folder, and yield its SQLAlchemy URL.

    It refuses to run as root, who therefore runs it as `nobody`; pytest's own temporary folders
    are closed to other users, and closed again by every session that starts.
    """
    with tempfile.TemporaryDirectory(prefix="stenopool-postgres-") as folder:
        options: dict[str, object] = {"cwd": folder}
        if os.geteuid() == 0:
            options |= {"user": "nobody", "group": "nogroup", "extra_groups": ()}
            shutil.chown(folder, "nobody", "nogroup")
        data, port = Path(folder, "data"), free_port()
        initialise(data, **options)
        command = [postgres_binary("postgres"), "-D", data]
        for setting in (
            f"port={port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
        ):
            command += ["-c", setting]
        # At once: it would wait for its clients on SIGTERM, and for its disk on SIGINT.
        with process_of(command, stop=signal.SIGQUIT, **options) as process:
            wait_until(lambda: listens(port), process, "PostgreSQL")
            yield f"postgresql+psycopg://stenopool@127.0.0.1:{port}"


def initialise(data: Path, **options) -> None:
    """Make PostgreSQL's folder of data, with one user who needs no password."""
    command = [postgres_binary("initdb"), "-D", data, "-U", "stenopool", "-A", "trust"]
    command += ["--no-sync", "--locale=C", "-E", "UTF8"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, **options)
    if done.returncode:
        raise RuntimeError(f"initdb failed: {done.stderr}")


def listens(port: int) -> bool:
    """Whether PostgreSQL takes a connection on a port."""
    import psycopg

    try:
        psycopg.connect(f"host=127.0.0.1 port={port} user=stenopool dbname=postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def answers(url: str) -> bool:
    """Whether an HTTP server answers at all, with whatever status."""
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310  the tests' own URL
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False


@contextmanager
def ssh_server(sshd: str, folder: Path) -> Iterator[Path]:
    """Run an SSH server with keys of its own; yields the client's configuration.

    It knows `one` and `two`, which are this machine, and `gone`, where nothing listens. What the
    server runs finds the sources that these tests run from.
    """
    port = free_port()
    for name in ("host", "user"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name]
        subprocess.run(key, check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it when it runs as root
    known = f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}"
    (folder / "known").write_text(known)
    sources = Path(__file__).parents[1] / "src"
    settings = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {folder}/host",
        f"AuthorizedKeysFile {folder}/authorized",
        "StrictModes no",
        "PasswordAuthentication no",
        f"PidFile {folder}/pid",
        f"SetEnv PYTHONPATH={sources} PYTHONWARNINGS=ignore",
    ]
    (folder / "sshd_config").write_text("\n".join(settings) + "\n")
    common = (
        f"  HostName 127.0.0.1\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {folder}/known\n  StrictHostKeyChecking yes\n"
    )
    config = folder / "config"
    config.write_text(
        f"Host one two\n  Port {port}\n{common}\nHost gone\n  Port {free_port()}\n{common}"
    )
    with process_of([sshd, "-D", "-e", "-f", str(folder / "sshd_config")]) as process:
        wait_until(lambda: takes_connections(port), process, "sshd")
        yield config


def takes_connections(port: int) -> bool:
    """Whether something listens on a port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
