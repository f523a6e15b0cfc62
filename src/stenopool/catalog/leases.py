"""Who is at what: a lease keeps two processes from doing the same run at the same time.

A lease is alive as long as its holder is: on this machine its process is looked at, elsewhere its
beats are. No clock is compared: a beat is a number that grows, and whoever wants the lease watches
whether it does.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from sqlalchemy import delete, insert, select, update

from stenopool.catalog.engine import patiently, reading, writing
from stenopool.catalog.schema import leases
from stenopool.errors import CatalogBusyError, RunBusyError
from stenopool.processes import ProcessId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

BEAT_S: Final = 5.0
"""Seconds between two beats."""

WATCH_S: Final = 30.0
"""A holder on another machine that does not beat for so long is gone (s)."""

POLL_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lease.

    Attributes:
        owner: unlike that of any other taking of any lease.
        run_id: what for.
        process: who.
        beat: grows while the holder is at it.
    """

    owner: str
    run_id: str
    process: ProcessId
    beat: int


class Lease:
    """A lease that this process has taken.

    Args:
        engine: the catalog's database.
        name: of the lease.
        owner: of this taking.
    """

    def __init__(self, engine: Engine, name: str, owner: str) -> None:
        self._engine = engine
        self._mine = (leases.c.name == name) & (leases.c.owner == owner)

    def is_mine(self) -> bool:
        """Whether nobody has taken it since."""
        with reading(self._engine) as connection:
            return connection.execute(select(leases).where(self._mine)).first() is not None

    def beat(self) -> None:
        """Show that the holder is there."""
        with writing(self._engine) as connection:
            connection.execute(update(leases).where(self._mine).values(beat=leases.c.beat + 1))

    def release(self) -> None:
        """Let others have it."""
        with writing(self._engine) as connection:
            connection.execute(delete(leases).where(self._mine))


@contextmanager
def holding(engine: Engine, name: str, run_id: str) -> Iterator[Lease]:
    """Hold a lease for as long as the block lasts.

    Raises:
        RunBusyError: another process holds it and is alive.
    """
    lease = take(engine, name, run_id)
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_S):
            try:
                lease.beat()
            except CatalogBusyError:
                continue  # it is away for everybody

    thread = threading.Thread(target=beat, name="stenopool-lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()
        patiently(lease.release)


def take(engine: Engine, name: str, run_id: str, *, watch_s: float = WATCH_S) -> Lease:
    """Take a lease that is free, or whose holder is gone.

    Args:
        engine: the catalog's database.
        name: of the lease.
        run_id: what for.
        watch_s: how long a holder on another machine is watched (s).

    Raises:
        RunBusyError: another process holds it and is alive.
    """
    with reading(engine) as connection:
        held = _holder(connection, name)
    if held is not None and _is_alive(engine, name, held, watch_s):
        raise _busy(held)
    owner, process = uuid4().hex, ProcessId.current()
    with writing(engine) as connection:
        now = _holder(connection, name)
        if now is not None and now != held:
            raise _busy(now)  # somebody was faster
        connection.execute(delete(leases).where(leases.c.name == name))
        values = {"host": process.host, "pid": process.pid, "process_started": process.started}
        values |= {"name": name, "owner": owner, "run_id": run_id, "beat": 0}
        connection.execute(insert(leases).values(values))
    return Lease(engine, name, owner)


def _busy(held: Holder) -> RunBusyError:
    return RunBusyError(
        f"run {held.run_id} is doing just this: process {held.process.pid} on "
        f"{held.process.host}; `stenopool show {held.run_id}` says how far it is, and when it has "
        "ended, the same command does what is left"
    )


def _is_alive(engine: Engine, name: str, held: Holder, watch_s: float) -> bool:
    if held.process.is_here:
        return held.process.is_alive()
    deadline = time.monotonic() + watch_s
    while time.monotonic() < deadline:
        time.sleep(POLL_S)
        with reading(engine) as connection:
            if _holder(connection, name) != held:
                return True
    return False


def _holder(connection: Connection, name: str) -> Holder | None:
    row = connection.execute(select(leases).where(leases.c.name == name)).one_or_none()
    if row is None:
        return None
    process = ProcessId(host=row.host, pid=row.pid, started=row.process_started)
    return Holder(owner=row.owner, run_id=row.run_id, process=process, beat=row.beat)
