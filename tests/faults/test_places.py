"""What is wrong with a run's places is a clear line or a wait, and nothing is broken after it."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from faults.conftest import clips, ends
from stenopool.asr.models import RECORD, demo_folder
from stenopool.catalog import engine
from stenopool.distributed.planning import reference_table
from stenopool.distributed.reading import UnitReader
from stenopool.distributed.requesting import Request
from stenopool.distributed.run import transcribe
from stenopool.errors import StenopoolError
from stenopool.model import TranscribeOptions
from stenopool.storage import open_storage

pytestmark = [pytest.mark.integration, pytest.mark.proof]


def test_a_catalog_that_is_locked_for_a_while_only_makes_the_run_wait(
    run, rows, settings, folder, monkeypatch
):
    # Guard: `patiently`, and the ledger's own patience.
    monkeypatch.setattr(engine, "BUSY_S", 0.2)
    clips(folder, 4)
    locked = []

    def lock(progress):
        if progress.run.done and not locked:  # a commit is due, or will be at the end
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


def fill(place):
    """Leave no room on a disk; gives the file that takes it."""
    with (place / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 1024):
            pass
    return place / "filler"


def writable(place, can):
    how = f"remount,{'rw' if can else 'ro'}"
    subprocess.run(["mount", "-o", how, str(place)], check=True)


def test_a_home_that_is_read_only_is_one_clear_line_and_works_again_when_it_is_not(
    command, folder, small_disk
):
    # Guard: `disk_trouble`; without it the first that is written gives a traceback.
    clips(folder, 2)
    home = small_disk / "home"
    words = ("transcribe", folder, "--to", "T", "--engine", "fake", "--model", "fake")
    for made in (False, True):
        if made:
            ends(command("tables", STENOPOOL_HOME=str(home)))
        writable(small_disk, can=False)
        for line in (words, ("tables",), ("runs",)):
            said = ends(command(*line, STENOPOOL_HOME=str(home)), 3)
            assert len(said.splitlines()) == 1, said
            assert str(home) in said
        writable(small_disk, can=True)
    assert "2 transcribed" in ends(command(*words, STENOPOOL_HOME=str(home)))


def test_a_disk_that_is_full_is_one_clear_line_of_the_command(command, folder, small_disk):
    # Guard: `DISK_ERRORS` in `storage/translate.py`, else the line has no next step.
    clips(folder, 2)
    filler = fill(small_disk)
    words = ("transcribe", folder, "--to", "T", "--engine", "fake", "--model", "fake")
    said = ends(command(*words, STENOPOOL_WAREHOUSE=str(small_disk / "warehouse")), 3)
    assert len(said.splitlines()) == 1, said
    assert "could not be written: No space left on device; mend that, or name another" in said
    filler.unlink()
    done = ends(command(*words, STENOPOOL_WAREHOUSE=str(small_disk / "warehouse")))
    assert "2 transcribed" in done


@pytest.mark.parametrize("days", [-3, 3])
def test_a_clock_that_jumps_all_the_time_costs_no_row_and_no_wait(run, rows, folder, days):
    # Guard: waits are measured by the clock that no one sets; leases compare no times at all.
    clips(folder, 12)
    with time_machine.travel(datetime.now(UTC), tick=True) as clock:

        def jump(progress):
            clock.shift(timedelta(days=days))
            if progress.run.done >= 4 and not stopped:
                stopped.append(progress.run.run_id)
                raise KeyboardInterrupt

        stopped = []
        with pytest.raises(KeyboardInterrupt):
            run(folder, model="fake:slow=0.2", vad=False, on_progress=jump)
        record = run(folder, model="fake:slow=0.2", vad=False, on_progress=jump)
    assert record.run_id == stopped[0]  # it was taken up, whatever its date
    assert (record.listed, record.done) == (12, 12)
    assert 0 < record.wall_s < 200
    assert rows("SELECT count(*), count(DISTINCT transcript_id) FROM t") == [(12, 12)]


def test_a_model_that_fits_on_no_node_is_said_before_anything_starts(
    command, folder, settings, tmp_path
):
    # Guard: `require_memory`; without it the run waits for memory for ever.
    clips(folder, 1)
    model = tmp_path / "huge"
    shutil.copytree(demo_folder(), model)
    os.truncate(model / "model.bin", 10**13)  # a hole, not bytes
    (model / RECORD).write_text('{"revision": "huge"}')
    words = ("transcribe", folder, "--to", "T", "--model", model)
    said = ends(command(*words), 3)
    assert "no node has more than" in said
    assert "take a smaller model or larger nodes" in said


def test_a_full_disk_ends_the_run_with_a_line_and_it_goes_on_when_there_is_room(
    ray_cluster, settings, rows, folder, small_disk
):
    # Guard: nothing is swallowed, and a commit that failed has left the table as it was.
    clips(folder, 6)
    settings = replace(settings, warehouse=str(small_disk))
    options = TranscribeOptions(engine="fake", model="fake")
    request = Request(source=str(folder), target="T", options=options)

    def fill_when_it_starts(progress):
        if progress.phase == "starting":
            fill(small_disk)

    with pytest.raises((StenopoolError, OSError), match="No space left"):
        transcribe(request, settings, fill_when_it_starts)
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
