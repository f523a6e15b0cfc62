"""`make demo` and the README's example do what they say."""

from __future__ import annotations

import re
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

README = Path(__file__).parents[2] / "README.md"
DATA = Path(str(files("stenopool"))) / "data"


def test_the_demo_prints_table_error_rate_speed_and_what_to_try_next(command):
    code, out, err = command("demo")
    assert code == 0, err
    rate = float(re.search(r"word error rate +([\d.]+)%", out).group(1))
    assert rate < 5
    assert re.search(r"speed +[\d.]+ seconds of audio a second", out)
    assert out.count("\n  stenopool ") == 3
    code, out, _ = command("demo")
    assert code == 0
    assert "nothing is new" in out


def test_the_readmes_example_runs_as_printed(home, ray_cluster, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "recordings"
    folder.mkdir()
    for file in sorted((DATA / "recordings").rglob("*.flac"))[:2]:
        shutil.copy(file, folder)
    monkeypatch.chdir(tmp_path)
    [example] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - the README is ours
    counts, *table = capsys.readouterr().out.splitlines()
    assert counts.startswith("2 0 ")
    assert len(table) == 3
    assert "path" in table[0]
    assert "text" in table[0]


def test_every_command_of_the_readme_exists(command):
    commands = re.findall(r"^stenopool ([a-z]+)", README.read_text(), re.MULTILINE)
    assert len(commands) >= 4
    for name in commands:
        assert command(name, "--help")[0] == 0
