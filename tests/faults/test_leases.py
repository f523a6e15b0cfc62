"""A run belongs to one process at a time, and to the next one as soon as that is gone."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from sqlalchemy import update

from stenopool.catalog import leases, open_catalog
from stenopool.catalog.engine import writing
from stenopool.catalog.schema import leases as table
from stenopool.errors import RunBusyError
from stenopool.processes import ProcessId


@pytest.fixture
def engine(settings):
    with open_catalog(settings) as catalog:
        yield catalog.iceberg.engine


def elsewhere(engine):
    """Make the lease one of another machine's process."""
    with writing(engine) as connection:
        connection.execute(update(table).values(host="elsewhere"))


def test_a_lease_that_is_held_is_refused_and_names_its_holder(engine):
    with leases.holding(engine, "what", "run-1"), pytest.raises(RunBusyError, match="run-1"):
        leases.take(engine, "what", "run-2")
    leases.take(engine, "what", "run-2")


def test_the_lease_of_a_process_that_is_gone_is_free(engine, monkeypatch):
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    dead = replace(ProcessId.current(), pid=gone.pid, started=1.0)
    gone.wait()
    with monkeypatch.context() as patch:
        patch.setattr(ProcessId, "current", lambda: dead)
        former = leases.take(engine, "what", "run-1")
    leases.take(engine, "what", "run-1")
    assert not former.is_mine()


def test_a_holder_elsewhere_that_beats_is_alive_and_one_that_does_not_is_gone(engine, monkeypatch):
    # No clock is compared: only whether the number moves while it is watched.
    lease = leases.take(engine, "what", "run-1")
    elsewhere(engine)
    look = leases._holder

    def look_and_beat(connection, name):
        held = look(connection, name)
        lease.beat()
        return held

    monkeypatch.setattr(leases, "POLL_S", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(leases, "_holder", look_and_beat)
        with pytest.raises(RunBusyError):
            leases.take(engine, "what", "run-2", watch_s=5)
    leases.take(engine, "what", "run-2", watch_s=0.3)
    assert not lease.is_mine()
