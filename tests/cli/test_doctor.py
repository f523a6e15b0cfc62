import json
import sys
import time
from pathlib import Path

import pytest

from stenopool.cli import checks
from stenopool.cli.checks import State
from stenopool.cli.probing import PROBES, has_gpu, main, probe
from stenopool.settings import Settings

NAMES = [
    "python",
    "cpu",
    "memory",
    "gpu",
    "ctranslate2",
    "ffmpeg",
    "vad",
    "pocketsphinx",
    "models",
    "home",
    "catalog",
    "tables",
    "stages",
]


def child(code):
    """A child process that runs this code in place of a probe."""
    return probe("ctranslate2", 30.0, (sys.executable, "-c", code))


def test_this_machine_is_well(steno):
    told = steno("doctor", "--fast", "--json")
    states = {check["name"]: check["state"] for check in told.answer["checks"]}
    assert (told.code, told.answer["ok"]) == (0, True)
    assert list(states) == NAMES
    assert set(states.values()) <= {State.OK, State.WARNING}


@pytest.mark.integration
def test_ray_starts_and_ends():
    check = probe("ray", 300.0)
    assert check.state is State.OK, check
    assert "started in" in check.text


def test_home_that_cannot_be_made_fails_with_what_to_do(steno, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STENOPOOL_HOME", str(tmp_path / "file/home"))
    monkeypatch.setattr("stenopool.cli.doctor.probe", lambda _name, _s: checks.python())
    told = steno("doctor", "--fast")
    assert told.code == 3
    failed = {cells[1]: cells[3] for cells in told.rows if cells[0] == "failed"}
    assert set(failed) == {"home", "catalog", "tables", "stages"}
    assert "STENOPOOL_HOME" in failed["home"]
    assert "4 checks failed" in told.err


def test_person_sees_a_line_a_check(steno, terminal, monkeypatch):
    monkeypatch.setattr("stenopool.cli.doctor.probe", lambda _name, _s: checks.python())
    told = steno("doctor", "--fast")
    assert [line.split()[:2] for line in told.lines if not line.startswith(" ")] == [
        ["ok", name]
        if name not in ("ctranslate2", "ffmpeg", "vad", "pocketsphinx")
        else ["ok", "python"]
        for name in NAMES
    ]


def test_child_that_aborts_is_a_failure_that_says_where():
    check = child(
        """if True:
        import os
        print('{"probe": {"doing": "loading [cublas]"}}', flush=True)
        print('libcublas.so.12 not found', file=__import__('sys').stderr, flush=True)
        os.abort()
        """
    )
    assert check.state is State.FAILED
    for part in ("SIGABRT", "while loading [cublas]", "libcublas.so.12 not found"):
        assert part in check.text
    assert "stenopool[gpu]" in check.advice


def test_child_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    code = f"""if True:
        import pathlib, subprocess, sys
        child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
        pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(child.pid))
        child.wait()
    """
    check = probe("ray", 3.0, (sys.executable, "-c", code))
    assert check.state is State.FAILED
    assert "no answer within 3 s" in check.text
    status = Path("/proc") / (tmp_path / "pid").read_text() / "status"
    deadline = time.monotonic() + 30
    while is_alive(status):
        assert time.monotonic() < deadline


def is_alive(status):
    """Whether a process lives; one that nobody waited for is still listed, as a zombie."""
    try:
        return "(zombie)" not in status.read_text()
    except OSError:
        return False


@pytest.mark.parametrize("code", ["raise SystemExit(5)", "print('hello')", "1/0"])
def test_child_without_an_answer_is_a_failure(code):
    assert child(code).state is State.FAILED


def test_what_libraries_print_is_no_answer():
    check = child(
        """if True:
        print('noise')
        print('{"probe": {"state": "warning", "text": "so so", "advice": "rest"}}')
        print('more noise')
        """
    )
    assert (check.state, check.text, check.advice) == (State.WARNING, "so so", "rest")


def test_folder_of_the_user_does_not_shadow_a_library(work):
    (work / "av.py").write_text("raise SystemExit(9)")
    assert probe("ffmpeg", 60.0).state is State.OK


@pytest.mark.parametrize("name", sorted(set(PROBES) - {"ray"}))
def test_probe_says_in_one_line_what_it_found(capfd, name):
    main(name)
    answer = json.loads(capfd.readouterr().out.splitlines()[-1])["probe"]
    assert answer["state"] == State.OK
    assert answer["text"]


def test_probe_that_raises_says_why(capfd):
    main("no such library")
    assert '"state": "failed", "text": "\'no such library\'"' in capfd.readouterr().out


def test_every_probe_has_advice():
    from stenopool.cli.probing import ADVICE

    assert set(ADVICE) == set(PROBES)


@pytest.mark.parametrize(
    ("cpuinfo", "text", "state"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_vnni\n", "AVX2, AVX-512, VNNI", State.OK),
        ("flags\t\t: fpu avx2\nflags\t\t: fpu\n", "AVX2", State.OK),
        ("flags\t\t: fpu sse2\n", "no AVX2", State.WARNING),
        ("Features\t: fp asimd\n", "NEON", State.OK),
        ("nothing\n", "cannot be read", State.OK),
    ],
)
def test_cpu_features_are_read(tmp_path, cpuinfo, text, state):
    place = tmp_path / "cpuinfo"
    place.write_text(cpuinfo)
    check = checks.cpu(place)
    assert text in check.text
    assert check.state is state


@pytest.mark.parametrize(
    ("script", "text", "state"),
    [
        (
            "echo 'NVIDIA H200, 143771 MiB, 570.1'",
            "NVIDIA H200 with 143771 MiB; driver 570.1",
            State.OK,
        ),
        ("echo 'no driver'; exit 9", "no driver", State.WARNING),
        ("true", "no GPU", State.WARNING),
    ],
)
def test_gpus_are_told_as_the_driver_names_them(tmp_path, script, text, state):
    program = tmp_path / "smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    check = checks.gpu(str(program))
    assert text in check.text
    assert check.state is state


def test_machine_without_gpus_is_fine(tmp_path):
    assert checks.gpu("no-such-program").state is State.OK
    assert not has_gpu(tmp_path / "nothing")
    (tmp_path / "0000:01:00.0").mkdir()
    assert has_gpu(tmp_path)


def test_catalog_that_does_not_answer_is_told_without_its_password(monkeypatch):
    monkeypatch.setenv("STENOPOOL_CATALOG", "postgresql+psycopg://me:secret@127.0.0.1:1/x")
    check = checks.catalog(Settings.from_env())
    assert check.state is State.FAILED
    assert "secret" not in check.text
    assert "STENOPOOL_CATALOG" in check.advice


def test_place_is_left_as_it_was(tmp_path):
    place = tmp_path / "place"
    assert checks.place("tables", str(place)).state is State.OK
    assert list(place.iterdir()) == []
    assert checks.place("stages", "ftp://x").state is State.FAILED
