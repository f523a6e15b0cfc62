"""The example of the guide runs as its README says, on five nodes of this machine."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jiwer
import pytest

from acceptance.conftest import AUDIO

pytestmark = [pytest.mark.integration, pytest.mark.slow]

GUIDE = Path(__file__).parents[2] / "examples" / "guide"
MODEL = AUDIO.parent / "models" / "digits"
STEPS_S = 400


@pytest.fixture
def shell(tmp_path):
    """`shell("stenopool", …)`: a command of the README, in a fresh home; gives what it printed."""
    environment = {
        **os.environ,
        "STENOPOOL_HOME": str(tmp_path / "home"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "WHISPER_MODEL": str(MODEL),
        "HF_HUB_OFFLINE": "1",
    }

    def call(*words, **more):
        done = subprocess.run(
            list(map(str, words)), cwd=GUIDE, env={**environment, **more}, capture_output=True,
            text=True, timeout=STEPS_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


@pytest.mark.proof
def test_the_guides_journey_ends_with_a_table_of_what_was_said(shell, tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    for file in sorted((AUDIO / "digits").glob("*_[0-4].wav"))[::12]:
        shutil.copy(file, folder)
    count = len(list(folder.iterdir()))
    shell("./upload.sh", folder)
    up = shell("stenopool", "cluster", "up", "GUIDE", "--cpus", "2", "--gpus", "1", "--json")
    try:
        said = shell(
            sys.executable,
            "transcribe_audio.py",
            RAY_ADDRESS=json.loads(up)["address"],
            RAY_AUTH_MODE="token",
        ).splitlines()
    finally:
        shell("stenopool", "cluster", "down", "GUIDE")
    assert "5 nodes, 5 GPUs" in said
    assert f"{count} recordings" in said
    query = "SELECT path, outputs FROM AUDIO_DB.TRANSCRIPTION.TRANSCRIPTS"
    rows = json.loads(shell("stenopool", "sql", query, "--format", "json"))
    assert len({row["path"] for row in rows}) == len(rows) == count
    with (AUDIO / "manifest.csv").open(newline="") as file:
        texts = {row["path"]: row["transcript"] for row in csv.DictReader(file)}
    truth = [texts[f"digits/{row['path']}"] for row in rows]
    assert jiwer.wer(truth, [row["outputs"] for row in rows]) < 0.1
