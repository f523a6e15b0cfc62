import os
import socket
from dataclasses import replace

import psutil
import pytest

from cli.making import NOON, later
from stenopool.catalog import open_catalog
from stenopool.model import RunRecord, TranscribeOptions
from stenopool.settings import Settings

DONE = RunRecord(
    run_id="20261123T120000-aaaaaa",
    source="@STENOPOOL.PUBLIC.CALLS/2024 *.flac",
    target="STENOPOOL.PUBLIC.T",
    state="succeeded",
    options=TranscribeOptions(model="demo", language="en").canonical_json(),
    started_at=NOON,
    ended_at=later(60),
    listed=20,
    skipped=5,
    done=12,
    failed=3,
    audio_s=600.0,
    wall_s=60.0,
    details={"failed_by_class": {"not_audio": 1, "vanished": 2}, "overwrite": False},
)


@pytest.fixture
def keep():
    def save(*runs):
        with open_catalog(Settings.from_env()) as catalog:
            for run in runs:
                catalog.save_run(run)

    return save


def at(run_id, seconds, **changes):
    return replace(DONE, run_id=run_id, started_at=later(seconds), **changes)


def test_newest_runs_come_first_and_no_more_than_asked_for(steno, keep):
    keep(*(at(f"run-{number}", number) for number in range(5)))
    found = steno("runs", "--limit", "2", "--json").answer
    assert [run["run_id"] for run in found] == ["run-4", "run-3"]
    assert [cells[0] for cells in steno("runs").rows[1:]] == [f"run-{n}" for n in (4, 3, 2, 1, 0)]


def test_without_runs_the_next_step_is_told(steno, fails):
    assert "transcribe" in steno("runs").err
    assert steno("runs", "--json").answer == []
    assert "transcribe" in fails(2, "show", "last")


def test_run_shows_what_it_did_and_what_failed(steno, keep):
    keep(DONE)
    shown = dict(steno("show", DONE.run_id).rows)
    assert shown["state"] == "succeeded"
    assert shown["source"] == DONE.source
    assert shown["table"] == DONE.target
    assert shown["failed"] == "2 vanished, 1 not_audio"
    assert shown["audio"] == "0:10:00"
    assert shown["speed"].startswith("10.0 ")
    assert (shown["started"], shown["ended"]) == (
        "2026-11-23 12:00:00 UTC",
        "2026-11-23 12:01:00 UTC",
    )
    for figure in ("20 listed", "5 skipped", "12 transcribed", "3 failed"):
        assert figure in shown["recordings"]
    assert "model demo" in shown["options"]


def test_program_gets_every_figure(steno, keep):
    keep(DONE)
    found = steno("show", "last", "--json").answer
    assert (found["recordings"], found["speed"], found["listed"]) == (15, 10.0, 20)
    assert found["options"]["model"] == "demo"
    assert found["started_at"] == NOON.isoformat()
    assert found == steno("runs", "--json").answer[0]


def test_last_is_the_newest_and_a_start_of_an_id_is_enough(steno, fails, keep):
    keep(at("abc-1", 1), at("abd-2", 2))
    assert steno("show", "last", "--json").answer["run_id"] == "abd-2"
    assert steno("show", "abc", "--json").answer["run_id"] == "abc-1"
    assert "abd-2" in fails(2, "show", "ab")
    assert "stenopool runs" in fails(2, "show", "zz")
    assert "stenopool runs" in fails(2, "show", "")


def test_id_that_starts_another_one_can_be_shown(steno, keep):
    keep(at("run-1", 1), at("run-10", 2))
    assert steno("show", "run-1", "--json").answer["run_id"] == "run-1"


def test_run_whose_process_is_gone_is_not_running(steno, keep):
    here = {"host": socket.gethostname(), "pid": os.getpid()}
    here["process_started"] = psutil.Process().create_time()
    gone = here | {"pid": 2**22 + 1}
    keep(
        at("gone", 1, state="running", ended_at=None, details=gone),
        at("here", 2, state="running", ended_at=None, details=here),
    )
    shown = dict(steno("show", "gone").rows)
    assert shown["state"] == "stopped"
    assert "same command" in shown["error"]
    assert dict(steno("show", "here").rows)["state"] == "running"


def test_error_of_a_failed_run_is_on_one_line(steno, keep):
    keep(at("bad", 1, state="failed", error="first [line]\nsecond"))
    assert dict(steno("show", "bad").rows)["error"] == r"first [line]\nsecond"


def test_limit_must_be_a_number_above_zero(fails):
    assert "--limit" in fails(2, "runs", "--limit", "0")
    assert "--limit" in fails(2, "runs", "--limit", "many")
