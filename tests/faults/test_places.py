"""Full disk, locked catalog: a clear line or a wait, and nothing broken after it."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import threading
from dataclasses import replace

import pytest

from faults.conftest import clips
from stenopool.catalog import engine
from stenopool.distributed.planning import reference_table
from stenopool.distributed.reading import UnitReader
from stenopool.distributed.requesting import Request
from stenopool.distributed.run import transcribe
from stenopool.errors import StenopoolError
from stenopool.model import TranscribeOptions
from stenopool.storage import open_storage

pytestmark = pytest.mark.integration


def test_a_catalog_that_is_locked_for_a_while_only_makes_the_run_wait(
    run, rows, settings, folder, monkeypatch
):
    # Guard: `patiently`, and the ledger's own patience.
    monkeypatch.setattr(engine, "BUSY_S", 0.2)
    clips(folder, 4)
    locked = []

    def lock(progress):
        if progress.phase == "starting":
            other = sqlite3.connect(settings.home / "catalog.db", check_same_thread=False)
            other.execute("BEGIN IMMEDIATE")
            locked.append(threading.Timer(8, other.close))
            locked[0].start()

    record = run(folder, on_progress=lock)
    assert record.done == 4
    assert rows("SELECT count(*), count(DISTINCT transcript_id) FROM t") == [(4, 4)]
    locked[0].join()


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of a few hundred kilobytes."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("a small disk is a mount, which needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_ends_the_run_with_a_line_and_it_goes_on_when_there_is_room(
    ray_cluster, settings, rows, folder, small_disk
):
    # Guard: nothing is swallowed, and a commit that failed has left the table as it was.
    clips(folder, 6)
    settings = replace(settings, warehouse=str(small_disk))
    options = TranscribeOptions(engine="fake", model="fake")
    request = Request(source=str(folder), target="T", options=options)

    def fill(progress):
        if progress.phase == "starting":
            with (small_disk / "filler").open("wb", buffering=0) as file:
                try:
                    while file.write(b"x" * 1024):
                        pass
                except OSError:
                    return

    with pytest.raises((StenopoolError, OSError), match="No space left"):
        transcribe(request, settings, fill)
    (small_disk / "filler").unlink()
    record = transcribe(request, settings)
    assert record.done == 6
    assert rows("SELECT count(*), count(DISTINCT transcript_id) FROM t") == [(6, 6)]


def test_a_task_leaves_its_process_with_the_memory_limit_that_it_had(folder, settings):
    # Guard: `limited_memory`; Ray gives the process to the tasks of others.
    clips(folder, 1)
    file = next(open_storage(str(folder)).list())
    before = resource.getrlimit(resource.RLIMIT_DATA)
    reader = UnitReader(str(folder), vad=False, block_windows=4, settings=settings)
    blocks = reader(reference_table([(file, "0" * 32)]))
    next(blocks)
    within = resource.getrlimit(resource.RLIMIT_DATA)
    blocks.close()
    assert within != before
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
