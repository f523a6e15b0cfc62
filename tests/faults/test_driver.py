"""Work done stays done, and comes once, when the process that drives the run is killed."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from distributed.conftest import speech
from faults.conftest import SAME, clips, committed, ends, wait_until
from stenopool.catalog import open_catalog
from stenopool.distributed.collecting import Collector
from stenopool.distributed.planning import reference_table
from stenopool.distributed.reading import UnitReader
from stenopool.errors import RunFailedError
from stenopool.storage import open_storage

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SLOW = ("--engine", "fake", "--model", "fake:slow=0.25", "--no-vad")


def all_rows(rows):
    return rows(f"SELECT {SAME} FROM t ORDER BY path")


@pytest.mark.proof
def test_a_killed_run_goes_on_from_its_last_commit_and_every_row_comes_once(
    command, rows, settings, folder
):
    # Guard: the ledger is read before the plan is made (`Run._count_own`).
    clips(folder, 120)
    killed = command("transcribe", folder, "--to", "T", *SLOW)
    wait_until(lambda: committed(settings), "the first commit")
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    kept = committed(settings)
    assert rows("SELECT count(*) FROM t") == [(0,)]  # readers see none of it
    ends(command("resume"))
    assert rows("SELECT count(*), count(DISTINCT transcript_id) FROM t") == [(120, 120)]
    with open_catalog(settings) as catalog:
        [record] = catalog.runs()
    assert record.listed == record.done == 120
    assert record.details["report"]["tries"]["1"] <= 120 + 120 - len(kept)
    again = rows("SELECT max(transcribed_at) FROM t WHERE transcript_id IN ({})".format(
        ", ".join(f"'{key}'" for key in sorted(kept))
    ))  # fmt: skip
    later = rows("SELECT max(transcribed_at) FROM t")
    assert again < later  # what was committed is older than what came after it
    assert "nothing to go on with" in ends(command("resume"))


@pytest.mark.proof
def test_live_rows_are_seen_while_the_run_goes_on_and_come_once(command, rows, folder, settings):
    clips(folder, 120)
    run = command("transcribe", folder, "--to", "T", "--live", *SLOW)

    def shown():
        with open_catalog(settings) as catalog:
            return bool(catalog.table_names()) and rows("SELECT count(*) FROM t")[0][0] > 0

    wait_until(shown, "the first rows on main")
    assert run.poll() is None
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    ends(command("resume"))
    assert rows("SELECT count(*), count(DISTINCT transcript_id) FROM t") == [(120, 120)]


@pytest.mark.proof
def test_a_row_that_is_lost_on_the_way_fails_the_run_and_names_it(run, folder, monkeypatch):
    # Guard: `Run._left`, which asks the ledger and trusts no count.
    clips(folder, 3)
    add = Collector.add

    def losing(self, parts):
        import pyarrow.compute as pc

        return add(self, parts.filter(pc.not_equal(parts["path"], "001.wav")))

    monkeypatch.setattr(Collector, "add", losing)
    with pytest.raises(RunFailedError, match=r"1 of 3 recordings have no row, such as '001\.wav'"):
        run(folder)


def test_units_that_are_done_are_not_handed_out_again(folder, settings):
    clips(folder, 1, long=np.tile(speech(60), 25))
    file = next(f for f in open_storage(str(folder)).list() if f.path == "long.wav")
    references = reference_table([(file, "0" * 32)])
    reader = UnitReader(str(folder), vad=False, block_windows=100, settings=settings)

    def units(references):
        return [row["unit"] for table in reader(references) for row in table.to_pylist()]

    every = units(references)
    assert every == [0, 1, 2]
    done = references.set_column(4, "units_done", [[[0, 1]]]).cast(references.schema)
    assert units(done) == [2]


@pytest.mark.proof
def test_parts_of_a_long_recording_survive_the_driver(command, rows, settings, folder):
    # Guard: `PartStore`, which keeps the units of a recording that is not complete.
    clips(folder, 1, long=np.tile(speech(60), 25))
    slow = ("--engine", "fake", "--model", "fake:slow=0.6", "--no-vad")
    killed = command("transcribe", folder, "--to", "T", *slow)
    kept = settings.home / "tables" / "STENOPOOL" / "PUBLIC" / "T-runs"
    wait_until(lambda: list(kept.glob("*/*.parquet")), "the first part")
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    ends(command("resume"))
    ends(
        command(
            "transcribe", folder, "--to", "GOOD", "--engine", "fake", "--no-vad", "--model", "fake"
        )
    )
    query = "SELECT path, text, round(duration_s, 6), to_json(segments) FROM {} ORDER BY path"
    assert rows(query.format("t")) == rows(query.format("good"))
    assert not list(kept.glob("*/*.parquet"))
