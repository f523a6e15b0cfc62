import json
import resource
import subprocess
import sys

import pytest

from stenopool.cli.app import ORDER, commands

ENGINES = ("ray", "torch", "ctranslate2", "duckdb", "pyarrow", "faster_whisper", "pandas")
HEAVY = (*ENGINES, "av", "onnxruntime", "pyiceberg", "sqlalchemy", "numpy", "huggingface_hub")


LINES = [(), *((name,) for name in commands().commands)]
for name, command in commands().commands.items():
    LINES += [(name, inner) for inner in getattr(command, "commands", {})]


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_help_says_what_the_command_does_and_what_its_options_mean(steno, monkeypatch, line):
    monkeypatch.setenv("COLUMNS", "100")
    told = steno(*line, "--help")
    assert (told.code, told.err) == (0, "")
    assert " ".join(("Usage: stenopool", *line)) in told.out
    assert steno(*line, "-h").out == told.out


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_every_option_is_explained(line):
    command = commands()
    for name in line:
        command = command.commands[name]
    assert command.help or command.short_help
    for parameter in command.params:
        assert getattr(parameter, "help", None) or parameter.name == "help", parameter.name


def test_commands_are_listed_in_the_order_of_work(steno):
    assert tuple(commands().commands) == ORDER


def test_help_is_quick_and_loads_no_engine(tmp_path):
    code = f"""if True:
        import json, sys, time
        began = time.process_time()
        from stenopool.cli.app import run
        for line in {[list(line) for line in LINES]!r}:
            assert run([*line, "--help"]) == 0
        took = time.process_time() - began
        print()
        print(json.dumps([took, sorted(set(sys.modules) & set({HEAVY!r}))]))
    """
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    took_s, loaded = json.loads(said.splitlines()[-1])
    assert loaded == []
    assert took_s < 2.0  # of the processor, for the help of every command


def test_help_comes_within_a_second_of_the_processor(process):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process("--help").returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (("nope",), "nope"),
        (("--nope",), "--nope"),
        (("stage", "nope"), "nope"),
        (("ls",), "SOURCE"),
        (("show", "a", "b"), "b"),
        (("runs", "--limit"), "--limit"),
    ],
)
def test_wrong_command_line_is_one_line_with_where_the_help_is(fails, line, told):
    error = fails(2, *line)
    assert told in error
    assert "--help`" in error


@pytest.mark.parametrize("line", [(), ("stage",), ("models",)])
def test_command_without_more_shows_its_help(steno, line):
    told = steno(*line)
    assert told.code == 2
    assert "Usage: stenopool" in told.out


def test_version_is_told(steno):
    from stenopool import __version__

    assert steno("--version").out == f"stenopool {__version__}\n"


@pytest.mark.parametrize("home", ["file", "file/below"])
def test_home_that_cannot_be_is_one_line(fails, tmp_path, monkeypatch, home):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STENOPOOL_HOME", str(tmp_path / home))
    assert str(tmp_path) in fails(2 if home == "file" else 3, "stage", "list")
