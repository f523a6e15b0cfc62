"""One bad recording costs one recording, also one that takes its process with it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
import pytest

from distributed.conftest import speech, write_wav
from faults.conftest import SAME, clips, ends, loud, wait_until
from stenopool.errors import RunFailedError

pytestmark = [pytest.mark.integration, pytest.mark.slow]

BREAKING = Path(__file__).parent / "breaking"


def by_path(rows):
    return {path: rest for path, *rest in rows(f"SELECT {SAME} FROM t")}


@pytest.mark.proof
def test_recordings_that_crash_hang_or_eat_the_reader_are_rows_and_the_rest_is_done(
    command, rows, folder
):
    # Guards: `max_retries=0` and `max_errored_blocks` (else Ray tries for ever), the guard's
    # deadline (else the hang stays), the memory limit, and the three tries of `Passes`.
    names = {"crash": "crashed", "hang": "timed_out", "hungry": "out_of_memory"}
    clips(folder, 30, **{name: speech(0.5, 90 + i) for i, name in enumerate(names)})
    run = command(
        "transcribe", folder, "--to", "T", "--engine", "fake", "--model", "fake", "--no-vad",
        PYTHONPATH=os.pathsep.join([str(BREAKING), os.environ.get("PYTHONPATH", "")]),
        STENOPOOL_STALL_S="5",
    )  # fmt: skip
    said = ends(run, 1)
    found = by_path(rows)
    assert {path: row[-1] for path, row in found.items() if row[-1]} == {
        f"{name}.wav": error_class for name, error_class in names.items()
    }
    assert len(found) == 33
    assert all(row[0] for path, row in found.items() if not row[-1])
    assert "1 crashed, 1 out_of_memory, 1 timed_out" in said


@pytest.mark.proof
def test_a_run_whose_first_workers_die_goes_on(command, rows, folder):
    # Guard: `RAY_prestart_worker_first_driver`, without which Ray's start never ends.
    clips(folder, 3)
    run = command(
        "transcribe", folder, "--to", "T", "--engine", "fake", "--model", "fake", "--no-vad",
        RAY_worker_register_timeout_seconds="5",  # a minute, until Ray starts others
    )  # fmt: skip

    def first_workers_are_dead():
        workers = [
            one for one in psutil.Process(run.pid).children(recursive=True) if is_worker(one)
        ]
        for worker in workers:
            worker.kill()
        return bool(workers)

    wait_until(first_workers_are_dead, "a worker of Ray's")
    ends(run)
    assert rows("SELECT count(*), count(error) FROM t") == [(3, 0)]


def is_worker(process):
    """Whether a process is a worker of Ray's that does not run anything yet."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return any(word.endswith("default_worker.py") for word in words[1:3])


@pytest.mark.proof
@pytest.mark.parametrize(
    ("behaviour", "error_class"), [("exit-on-loud", "crashed"), ("hang-on-loud", "timed_out")]
)
def test_a_recording_that_ends_the_engine_is_a_row_and_the_others_are_done(
    command, rows, folder, behaviour, error_class
):
    # Guards: `max_task_retries=0`, and the guard's deadline around the engine.
    clips(folder, 20, killer=loud(99))
    run = command(
        "transcribe", folder, "--to", "T", "--engine", "fake", "--model", f"fake:{behaviour}",
        "--no-vad", "--json", STENOPOOL_STALL_S="3",
    )  # fmt: skip
    said = ends(run, 1)
    found = by_path(rows)
    assert found["killer.wav"][-1] == error_class
    assert sum(bool(row[0]) for row in found.values()) == 20
    report = json.loads(said[said.index("{") : said.rindex("}") + 1])["details"]["report"]
    assert report["tries"]["3"] < 20  # it was not all of them that were tried alone


@pytest.mark.proof
def test_an_engine_that_dies_of_every_recording_ends_the_run_and_not_each_recording(run, folder):
    # Guard: `Passes.require_one`.
    for i in range(8):
        write_wav(folder / f"{i}.wav", loud(i))
    with pytest.raises(RunFailedError, match="no recording came through"):
        run(folder, model="fake:exit-on-loud", vad=False)


@pytest.mark.proof
def test_failures_are_done_again_by_class_and_they_alone(command, run, rows, folder):
    clips(folder, 4)
    (folder / "text.wav").write_text("no sound")
    gone = folder / "001.wav"
    content = gone.read_bytes()

    def remove(progress):
        if progress.total:
            gone.unlink(missing_ok=True)

    run(folder, vad=False, on_progress=remove)
    before = by_path(rows)
    assert (before["001.wav"][-1], before["text.wav"][-1]) == ("vanished", "not_audio")
    gone.write_bytes(content)
    said = ends(command("retry", "last", "--class", "vanished"))
    assert "1 transcribed" in said
    after = by_path(rows)
    assert after["001.wav"][0]
    assert {path: row for path, row in after.items() if path != "001.wav"} == {
        path: row for path, row in before.items() if path != "001.wav"
    }
    assert "no such failure" in ends(command("retry", "last", "--class", "vanished"))
    assert "the classes are" in ends(command("retry", "last", "--class", "nonsense"), 2)
