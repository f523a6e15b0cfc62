"""References become units of about equal work; whatever keeps one from being read is its row."""

from __future__ import annotations

import os

import numpy as np
import pytest

from distributed.conftest import AUDIO, speech, write_wav
from stenopool.distributed.planning import reference_table
from stenopool.distributed.reading import UnitReader
from stenopool.distributed.transcribing import share, unit_windows
from stenopool.model import SAMPLE_RATE, FileRef
from stenopool.settings import Settings
from stenopool.storage import open_storage

BLOCK_WINDOWS = 10


def units_of(root, *, vad=True, files=None):
    """All rows that the reader gives for a folder."""
    chosen = list(open_storage(str(root)).list()) if files is None else files
    references = reference_table((file, file.path) for file in chosen)
    settings = Settings.from_env({"STENOPOOL_HOME": str(root)})
    reader = UnitReader(str(root), vad=vad, block_windows=BLOCK_WINDOWS, settings=settings)
    tables = list(reader(references))
    return tables, [row for table in tables for row in table.to_pylist()]


@pytest.fixture
def as_nobody():
    """The rest of the test runs without root's rights."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_blocks_of_units_hold_the_work_of_one_call():
    tables, rows = units_of(AUDIO / "ljspeech")
    assert len(rows) == 24
    assert all(
        sum(len(w) for w in table["windows"].to_pylist()) <= BLOCK_WINDOWS for table in tables
    )


def test_windows_of_a_row_are_its_audio(folder):
    samples = speech(70)
    write_wav(folder / "a.wav", samples)
    _, [row] = units_of(folder, vad=False)
    windows = unit_windows(row)
    assert len(windows) > 2
    assert all(window.dtype == np.float32 for window in windows)
    assert np.array_equal(np.concatenate(windows) * 32768, samples)
    assert row["decoded_samples"] == row["speech_samples"] == 70 * SAMPLE_RATE
    assert row["speech"] is None


def test_a_row_says_where_speech_is():
    _, rows = units_of(AUDIO / "jfk")
    spans = rows[0]["speech"]
    assert len(spans) > 1
    assert sum(span["end"] - span["start"] for span in spans) == rows[0]["speech_samples"]


def test_a_file_that_is_gone_is_a_row_with_its_class(folder):
    gone = FileRef(path="gone.wav", size_bytes=10, etag="e")
    _, [row] = units_of(folder, files=[gone])
    assert (row["error_class"], row["last"], row["samples"]) == ("vanished", True, b"")
    assert "gone.wav" in row["error"]


def test_a_file_that_may_not_be_read_is_a_row_with_its_class(folder, as_nobody_folder, as_nobody):
    _, rows = units_of(as_nobody_folder, files=[FileRef(path="a.wav", size_bytes=10, etag="e")])
    assert [row["error_class"] for row in rows] == ["permission"]


@pytest.fixture
def as_nobody_folder(tmp_path_factory):
    """A folder that anyone may enter, with a recording that nobody may read."""
    place = tmp_path_factory.mktemp("open")
    for parent in (place, *place.parents[:-2]):
        parent.chmod(parent.stat().st_mode | 0o711)
    write_wav(place / "a.wav", speech(1)).chmod(0)
    return place


def test_wall_clock_is_shared_by_work_and_adds_up():
    assert share(6.0, [1, 2, 3]) == [1.0, 2.0, 3.0]
    assert share(4.0, [0, 0]) == [2.0, 2.0]
    assert share(4.0, []) == []
