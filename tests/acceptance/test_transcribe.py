"""What a user is promised in the first two minutes, and at the first bad file."""

from __future__ import annotations

import csv
import json
import os
import shutil
from fractions import Fraction

import av
import jiwer
import numpy as np
import pytest

from acceptance.conftest import AUDIO
from stenopool.asr.models import demo_folder
from stenopool.cli.demo import normalised

pytestmark = pytest.mark.integration


def manifest():
    with (AUDIO / "manifest.csv").open(newline="") as file:
        return {row["path"]: row["transcript"] for row in csv.DictReader(file)}


@pytest.mark.proof
def test_pocketsphinx_reads_sentences_alike_in_three_formats(command, select):
    short = [f"LJ001-000{number}.*" for number in (2, 4, 6, 8)]  # all 24 take a minute more
    patterns = [word for pattern in short for word in ("--pattern", pattern)]
    code, _, err = command(
        "transcribe", AUDIO / "ljspeech", *patterns, "--engine", "pocketsphinx", "--to", "T"
    )
    assert code == 0, err
    found = {row["path"]: row["text"] for row in select("SELECT path, text FROM t")}
    assert len(found) == 12
    said = {path: normalised(manifest()[f"ljspeech/{path}"]) for path in found}
    assert jiwer.wer(list(said.values()), [normalised(found[path]) for path in said]) < 0.30
    for path, text in found.items():
        stem = path.rpartition(".")[0]
        assert found[f"{stem}.flac"] == found[f"{stem}.wav"]
        assert jiwer.wer(found[f"{stem}.wav"], text) < 0.5  # MP3 loses sound, not the sentence


@pytest.mark.proof
def test_the_demo_model_reads_real_digits_of_voices_and_rooms(command, select, tmp_path):
    chosen = sorted((AUDIO / "digits").glob("*_[0-4].wav"))[::4]
    for file in chosen:
        shutil.copy(file, tmp_path)
    code, out, err = command(
        "transcribe", tmp_path, "--pattern", "*.wav", "--model", "demo", "--language", "en",
        "--to", "D", "--json",
    )  # fmt: skip
    assert code == 0, err
    record = json.loads(out)
    assert (record["done"], record["failed"]) == (len(chosen), 0)
    found = {row["path"]: row["text"] for row in select("SELECT path, text FROM d")}
    said = [manifest()[f"digits/{path}"] for path in found]
    rate = jiwer.wer(said, [normalised(text) for text in found.values()])
    assert rate < 0.08
    code, out, _ = command(
        "transcribe", tmp_path, "--pattern", "*.wav", "--model", "demo", "--language", "en",
        "--to", "D",
    )  # fmt: skip
    assert code == 0
    assert "nothing is new" in out


@pytest.fixture
def broken(tmp_path):
    """A folder with ten kinds of broken file among three good ones; gives it and what is broken."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("LJ001-0008.wav", "LJ001-0008.flac", "LJ001-0008.mp3"):
        shutil.copy(AUDIO / "ljspeech" / name, folder)
    good = (folder / "LJ001-0008.wav").read_bytes()
    flac = (folder / "LJ001-0008.flac").read_bytes()
    kinds = {
        "empty.wav": b"",
        "one byte.mp3": b"\x00",
        "text.flac": b"this is not sound, whatever its name says\n" * 50,
        "picture.wav": picture(),
        "playlist.m3u8": b"#EXTM3U\n#EXTINF:5,\nLJ001-0008.wav\n",
        "zeros.ogg": bytes(10_000),
        "noise.mp4": np.random.default_rng(1).bytes(20_000),
        "header only.wav": good[:44],
        "head cut off.flac": flac[len(flac) // 2 :],
        "silent film.mp4": film(tmp_path / "film.mp4"),
    }
    for name, content in kinds.items():
        (folder / name).write_bytes(content)
    return folder, set(kinds)


def picture():
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 32, 32, "rgb24", Fraction(1)
    return bytes(codec.encode(av.VideoFrame(32, 32, "rgb24"))[0])


def film(path):
    """A short video without a sound track, as bytes."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 32, 32
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    return path.read_bytes()


def test_ten_kinds_of_broken_file_are_ten_rows_and_spoil_nothing(command, select, broken):
    folder, names = broken
    code, out, err = command(
        "transcribe", folder, "--engine", "fake", "--model", "fake", "--to", "B"
    )
    assert code == 1, err
    rows = {row["path"]: row for row in select("SELECT path, text, error_class, error FROM b")}
    assert set(rows) == names | {f"LJ001-0008.{kind}" for kind in ("wav", "flac", "mp3")}
    for path, row in rows.items():
        if path in names:
            assert row["error_class"] in {"not_audio", "unreadable", "no_audio_stream"}
            assert path in row["error"]
            assert row["text"] is None
        else:
            assert row["text"]
            assert row["error_class"] is None
    assert "10 failed" in out
    assert "stenopool retry 2" in out  # with the run's id, which begins with the year


def test_a_truncated_recording_is_read_as_far_as_it_goes_and_says_so(command, select, tmp_path):
    whole = (AUDIO / "ljspeech" / "LJ001-0001.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 3])
    code, _, err = command(
        "transcribe", tmp_path / "cut.wav", "--engine", "fake", "--model", "fake", "--to", "C"
    )
    assert code == 0, err
    [row] = select("SELECT text, warnings, duration_s FROM c")
    assert row["text"]
    assert any("truncated" in warning for warning in row["warnings"])
    assert row["duration_s"] == pytest.approx(9.655 / 3, abs=0.1)


def test_a_dry_run_says_how_much_and_does_nothing(command, home):
    code, out, _ = command(
        "transcribe", AUDIO / "ljspeech", "--model", "demo", "--to", "N", "--dry-run"
    )
    assert code == 0
    assert "24 recordings" in out
    assert "0:02:31" in out
    short = command(
        "transcribe", AUDIO / "digits", "--model", "demo", "--to", "N", "--dry-run", "--json"
    )[1]
    # Each of two thousand clips is a window of its own, however short.
    assert json.loads(short)["wall_s"] == pytest.approx(2_000 * 15 / 100 / os.cpu_count())
    assert command("tables", "--json")[1].strip() == "[]"
    assert command("runs", "--json")[1].strip() == "[]"


WRONG = {
    "a folder that is not there": (["nowhere/", "--to", "T"], "nowhere"),
    "a stage that is not there": (["@NOPE", "--to", "T"], "stage create NOPE"),
    "a model that is not there": ([AUDIO, "--to", "T", "--model", "larg-v3"], "larg-v3"),
    "an engine that is not there": ([AUDIO, "--to", "T", "--engine", "nemo"], "pocketsphinx"),
    "a language that is none": (
        [AUDIO, "--to", "T", "--model", "demo", "--language", "xx"], "xx"
    ),
    "an allowed language that is none": (
        [AUDIO, "--to", "T", "--model", "demo", "--languages", "en,xx"], "'xx'"
    ),
    "a language and others": (
        [AUDIO, "--to", "T", "--model", "demo", "--language", "en", "--languages", "en,de"],
        "language and languages do not go together",
    ),
    "no hotwords": ([AUDIO, "--to", "T", "--model", "demo", "--hotwords", ""], "hotwords"),
    "a table name with too many parts": ([AUDIO, "--to", "A.B.C.D", "--model", "demo"], "A.B.C.D"),
    "translation by pocketsphinx": (
        [AUDIO, "--to", "T", "--engine", "pocketsphinx", "--translate"], "pocketsphinx"
    ),
    "a limit of nothing": ([AUDIO, "--to", "T", "--limit", "0"], "limit"),
    "no table": ([AUDIO], "--to"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_use_is_one_line_that_names_the_thing(command, wrong):
    arguments, named = WRONG[wrong]
    code, out, err = command("transcribe", *arguments)
    assert code == 2
    assert out == ""
    assert named in err
    assert "Traceback" not in err


def test_an_engine_that_cannot_load_is_one_line_and_exit_code_3(command, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(demo_folder(), folder)
    weights = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(weights[: len(weights) // 2])
    sentence = AUDIO / "ljspeech" / "LJ001-0008.wav"
    code, out, err = command("transcribe", sentence, "--model", folder, "--to", "T")
    assert code == 3
    assert out == ""
    [line] = [line for line in err.splitlines() if line.startswith("error: ")]
    assert f"stenopool models verify {folder}" in line
    assert "Traceback" not in err
