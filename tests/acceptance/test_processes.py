"""Promises that need processes of their own: at the same time, and interrupted."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from contextlib import suppress

import pytest

from acceptance.conftest import AUDIO

pytestmark = [pytest.mark.integration, pytest.mark.proof]

DEADLINE_S = 240
COUNT = 60


@pytest.fixture
def digits(tmp_path):
    folder = tmp_path / "digits"
    folder.mkdir()
    for file in sorted((AUDIO / "digits").glob("*_lucas_*.wav"))[:COUNT]:
        shutil.copy(file, folder)
    return folder


def test_two_runs_into_two_tables_and_a_reader_at_once_all_succeed(start, digits, command, select):
    command(
        "stage", "create", "X"
    )  # the catalog is there, so that the reader has one from the start
    options = ["--engine", "fake", "--model", "fake:slow=0.02"]
    runs = [start("transcribe", digits, "--to", table, *options) for table in ("A", "B")]
    asked = 0
    deadline = time.monotonic() + DEADLINE_S
    while any(run.poll() is None for run in runs) and time.monotonic() < deadline:
        known = {row["name"] for row in json.loads(command("tables", "--json")[1])}
        for table in ("A", "B"):
            if f"STENOPOOL.PUBLIC.{table}" in known:
                [row] = select(f"SELECT count(*) AS n FROM {table}")
                assert row["n"] in (0, COUNT)  # all or nothing
                asked += 1
        with suppress(subprocess.TimeoutExpired):
            runs[0].wait(timeout=1)  # leaves the cores to the runs between two questions
    for run in runs:
        _, err = run.communicate(timeout=1)
        assert run.returncode == 0, err
    assert asked > 2
    for table in ("A", "B"):
        assert select(f"SELECT count(*) AS n, count(DISTINCT path) AS p FROM {table}") == [
            {"n": COUNT, "p": COUNT}
        ]


def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(start, digits, select):
    arguments = ("transcribe", digits, "--to", "T", "--engine", "fake", "--model", "fake:slow=0.1")
    first = start(*arguments)
    seen = ""
    while "real time" not in seen:
        line = first.stderr.readline()
        assert line, f"it ended before it was interrupted: {seen}"
        seen += line
    first.send_signal(signal.SIGINT)
    out, err = first.communicate(timeout=DEADLINE_S)
    assert first.returncode == 130
    assert "the same command goes on" in err
    assert "Traceback" not in err + out
    assert select("SELECT count(*) AS n FROM t") == [{"n": 0}]
    second = start(*arguments)
    out, err = second.communicate(timeout=DEADLINE_S)
    assert second.returncode == 0, err
    assert select("SELECT count(*) AS n, count(DISTINCT path) AS p FROM t") == [
        {"n": COUNT, "p": COUNT}
    ]
