"""The command line as a user has it: a fresh home, real recordings, real models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import commands
from stenopool.cli.app import run as run_command

AUDIO = Path(__file__).parents[3] / "shared" / "audio"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home that nobody has used."""
    monkeypatch.setenv("STENOPOOL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def command(home, ray_cluster, capfd):
    """`command("tables", …)`: exit code, standard output and standard error; Ray is shared."""

    def call(*arguments):
        capfd.readouterr()
        code = run_command([str(argument) for argument in arguments])
        said = capfd.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def select(command):
    """`select("SELECT …")`: the rows as dictionaries."""

    def fetch(statement):
        code, out, err = command("sql", statement, "--format", "json")
        assert code == 0, err
        return json.loads(out)

    return fetch


@pytest.fixture
def start(home):
    """`start("transcribe", …)`: the command as a process of its own, with a Ray of its own."""
    with commands(home) as begin:
        yield begin
