"""What a person at a real terminal sees and answers."""

import os
import pty
import subprocess
import sys

import pytest

from cli.conftest import PROGRAM
from cli.making import tree


@pytest.fixture
def at_terminal():
    """Run a command on a terminal of its own, and type an answer; gives exit code and screen."""

    def call(*arguments, answer=""):
        child, screen = pty.fork()
        if child == 0:
            os.execv(sys.executable, [sys.executable, "-c", PROGRAM, *arguments])  # noqa: S606
        os.write(screen, answer.encode())
        seen = b""
        try:
            while part := os.read(screen, 4096):
                seen += part
        except OSError:  # Linux says so when the child has closed its terminal
            pass
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status), seen.decode()

    return call


@pytest.fixture(autouse=True)
def stage(steno, files, tmp_path):
    files({"rec/a [b].wav": "a", "rec/b.wav": "b"})
    steno("stage", "create", "calls")
    steno("put", "rec", "@calls", "-r")
    return tmp_path / "home/stages/STENOPOOL/PUBLIC/CALLS"


def test_no_keeps_the_files(at_terminal, stage):
    code, seen = at_terminal("rm", "@calls", "-r", answer="n\n")
    assert "Remove 2 files (2 B) from @calls?" in seen
    assert code == 130
    assert len(tree(stage)) == 2


def test_yes_removes_them(at_terminal, stage):
    code, seen = at_terminal("stage", "drop", "calls", answer="y\n")
    assert "with its 2 files (2 B)?" in seen
    assert (code, tree(stage)) == (0, {})


@pytest.mark.parametrize("line", [("ls", "@calls"), ("put", "rec", "@calls", "-r", "--json")])
def test_pipe_gets_the_answer_while_a_person_watches(steno, line):
    screen, side = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, *line]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=side, text=True, check=True)
    os.close(side)
    os.close(screen)
    assert done.stdout == steno(*line).out


def test_bar_is_gone_when_the_work_is_done(at_terminal, work):
    code, seen = at_terminal("get", "@calls", "out", "-r")
    assert code == 0
    assert "2 files copied to out (2 B)" in seen
    assert len(tree(work / "out")) == 2
