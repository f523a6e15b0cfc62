"""Long recordings by the way that a run takes: units, windows, the demo model, parts, one row."""

from __future__ import annotations

import jiwer
import numpy as np
import pyarrow as pa
import pytest

from asr.clips import DIGITS
from audio.making import Format, Spoken, at_rate, spoken, word, write_long
from distributed.conftest import write_wav
from stenopool.audio import read_units
from stenopool.catalog.transcripts import is_complete, join_parts
from stenopool.distributed.reading import UNIT_SCHEMA, unit_row
from stenopool.distributed.transcribing import Transcriber, Work
from stenopool.model import SAMPLE_RATE, ModelInfo, TranscribeOptions
from stenopool.settings import Settings

SPOKEN = "7_jackson_3"

RIGHT_TO_S = 0.021
"""20 ms, and a millisecond because times in rows are whole ones."""

STEP_S = 5.12
"""Ten of the VAD's batches, and a whole number of samples at any rate used here."""

AROUND = SAMPLE_RATE // 4
"""What a word that is read alone has around it (samples): its pauses are no shorter."""

MORE = 0.01
"""Share of the words beside seams that may be lost or doubled beyond what happens to them alone."""


@pytest.fixture(scope="module")
def row_of(tmp_path_factory):
    """`row_of(source, **how)`: the row of one recording; how it is read is `read_units`' affair."""
    work = Work(
        run_id="r",
        source="@A.B.C",
        options=TranscribeOptions(model="demo", language="en", word_timestamps=True),
        settings=Settings.from_env({"STENOPOOL_HOME": str(tmp_path_factory.mktemp("home"))}),
        model=ModelInfo(name="demo", revision="1"),
        threads=2,
    )
    transcriber = Transcriber(work)
    reference = {"path": "a.wav", "size_bytes": 0, "etag": "", "transcript_id": "a"}

    def row_of(source, **how):
        units = [unit_row(reference, unit, 0.0) for unit in read_units(source, **how)]
        parts = transcriber(pa.Table.from_pylist(units, UNIT_SCHEMA)).to_pylist()
        assert is_complete(parts)
        return join_parts(parts)

    return row_of


def miscounted(recording, row_of, path, unit_s):
    """Words that are lost in a recording's row, and words that are too many in it."""
    row = row_of(write_wav(path, recording.samples), unit_s=unit_s)
    found = jiwer.process_words(" ".join(recording.words), row["text"])
    return found.deletions + found.insertions


@pytest.mark.proof
def test_words_beside_seams_are_read_and_read_once(row_of, tmp_path):
    """Units of a breath, because the demo model loses its place among more than a few digits."""
    recordings = [spoken(seed, 24, (0.3, 1.0)) for seed in (4, 6)]
    assert sum(miscounted(one, row_of, tmp_path / "a.wav", 2.4) for one in recordings) <= 1


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.parametrize("noise", [0, 30])
def test_of_words_beside_seams_hardly_more_are_lost_than_of_words_alone(noise, row_of, tmp_path):
    seamed = alone = 0
    for seed in range(10, 15):
        recording = spoken(seed, 50, (0.3, 1.0), noise)
        seamed += miscounted(recording, row_of, tmp_path / "a.wav", 2 + seed % 5 / 3)
        for text, place in zip(recording.words, recording.places, strict=True):
            around = recording.samples[max(0, place.start - AROUND) : place.end + AROUND]
            alone += miscounted(Spoken(around, (text,), ()), row_of, tmp_path / "a.wav", 600)
    assert seamed <= alone + MORE * 250, (seamed, alone)


APART = ("7_jackson_3", "4_jackson_9", "9_george_12", "2_jackson_5", "8_george_20", "0_jackson_7")
"""Digits that the demo model reads when they are alone."""


@pytest.mark.parametrize(
    ("lead_s", "gaps_s"),
    [(0.3, [2.5, 0.2]), (3.2, [0.5]), (2, [16, 2.5]), (5, [3, 9]), (12.3, [4, 8, 27, 0.5, 19])],
)
def test_words_far_apart_are_all_read_where_they_are(lead_s, gaps_s, row_of, tmp_path):
    pauses = [np.zeros(round(gap * SAMPLE_RATE), np.int16) for gap in (lead_s, *gaps_s)]
    words = [word(name) for name in APART[: len(pauses)]]
    parts = [
        part for pause, (sound, _) in zip(pauses, words, strict=True) for part in (pause, sound)
    ]
    row = row_of(write_wav(tmp_path / "a.wav", np.concatenate(parts)))
    assert row["text"].split() == [DIGITS[int(name[0])] for name in APART[: len(pauses)]]
    ends = np.cumsum([len(part) for part in parts])[::2]
    begins = [
        (end + place.start) / SAMPLE_RATE for end, (_, place) in zip(ends, words, strict=True)
    ]
    found = [one["start_s"] for segment in row["segments"] for one in segment["words"]]
    assert found == pytest.approx(begins, abs=0.3)


def starts(row):
    return [segment["start_s"] for segment in row["segments"]]


def check_starts(form, hours, row_of, tmp_path):
    """The starts of a digit at some depths, beside its start near the beginning.

    In steps of the VAD's batches of frames, so that the model hears the same windows.
    """
    sound = at_rate(word(SPOKEN)[0], form.rate)
    alone = write_long(tmp_path / "alone", form, 0.01, {2 * STEP_S: sound})
    [first] = starts(row_of(alone))
    steps = [2, *(int(share * hours * 3_600 / STEP_S) for share in (0.1, 0.5, 0.998))]
    deep = write_long(
        tmp_path / "deep", form, hours, dict.fromkeys(np.array(steps) * STEP_S, sound)
    )
    expected = [first + (step - 2) * STEP_S for step in steps]
    assert starts(row_of(deep)) == pytest.approx(expected, abs=RIGHT_TO_S)


def test_a_segment_an_hour_deep_starts_where_it_would_alone(row_of, tmp_path):
    check_starts(Format("wav", "pcm_s16le", 16_000), 1.0, row_of, tmp_path)


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.parametrize(
    "form",
    [
        Format("wav", "pcm_s16le", 16_000),
        Format("wav", "pcm_s16le", 8_000),
        Format("flac", "flac", 44_100, repeats=False),
    ],
    ids=str,
)
def test_a_segment_ten_hours_deep_starts_where_it_would_alone(form, row_of, tmp_path):
    check_starts(form, 10.0, row_of, tmp_path)
