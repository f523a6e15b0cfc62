"""The command line in this process, over a fresh home for every test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest

from stenopool.catalog import open_catalog
from stenopool.catalog.transcripts import transcript_schema
from stenopool.cli.app import run
from stenopool.settings import Settings

PROGRAM = "from stenopool.cli import main; main()"


@dataclass(frozen=True)
class Result:
    """What a command gave: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def lines(self):
        return self.out.splitlines()

    @property
    def rows(self):
        return [line.split("\t") for line in self.lines]

    @property
    def answer(self):
        return json.loads(self.out)


@pytest.fixture(scope="session")
def new_home(tmp_path_factory):
    """A home in which nothing was done yet but to make its catalog, which takes a while."""
    home = tmp_path_factory.mktemp("new") / "home"
    open_catalog(Settings.from_env({"STENOPOOL_HOME": str(home)})).close()
    return home


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch, new_home):
    """An empty working folder and an empty home."""
    shutil.copytree(new_home, tmp_path / "home")
    for name in list(os.environ):
        if name.startswith("STENOPOOL_") or name in ("RAY_ADDRESS", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STENOPOOL_HOME", str(tmp_path / "home"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def steno(capfd):
    """Run a command; an expected failure is one line on standard error."""

    def call(*arguments):
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        result = Result(int(code), *capfd.readouterr())
        assert "Traceback" not in result.err
        return result

    return call


@pytest.fixture
def fails(steno):
    """Run a command that ends with that exit code; gives its one error line."""

    def call(code, *arguments):
        result = steno(*arguments)
        errors = [line for line in result.err.splitlines() if line.startswith("error: ")]
        assert (result.code, len(errors)) == (code, 1), result
        return errors[0]

    return call


@pytest.fixture
def terminal(monkeypatch):
    """Let the commands believe that somebody looks at standard output."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def process():
    """Run the command as a process of its own, in the same home."""

    def call(*arguments, **options):
        command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, **options
        )

    return call


@pytest.fixture
def transcripts():
    """Make a table of transcripts of these rows, and give its name."""
    import pyarrow as pa

    def make(*rows, name="T", commits=1):
        with open_catalog(Settings.from_env()) as catalog:
            schema = transcript_schema()
            table = catalog.create_table(catalog.name(name), schema, if_not_exists=True)
            for index in range(commits):
                table.append(pa.Table.from_pylist(list(rows[index::commits]), schema=schema))
        return name

    return make


@pytest.fixture
def files(work):
    """Make files in the working folder, by path and content."""

    def make(contents):
        for name, content in contents.items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode())
        return work

    return make
