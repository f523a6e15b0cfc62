"""A recording's parts become one row, whatever order they come in."""

from datetime import UTC, datetime

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from stenopool.catalog.transcripts import (
    is_complete,
    join_parts,
    join_text,
    main_language,
    part_schema,
    transcript_schema,
)
from stenopool.model import SAMPLE_RATE


def part(unit, *, last=False, text="a", error_class=None, speech=((0.0, 0.5),), **more):
    """A part of a second; `speech` is from its start, in seconds."""
    spans = [
        {"start": round((unit + start) * SAMPLE_RATE), "end": round((unit + end) * SAMPLE_RATE)}
        for start, end in speech or ()
    ]
    said = {"start_s": float(unit), "end_s": unit + 0.5, "text": text}
    said["language"] = more.get("language", "en")
    segments = [] if error_class else [said]
    columns = dict.fromkeys(part_schema().names)
    return columns | {
        "path": "x.wav",
        "transcript_id": "k",
        "unit": unit,
        "last": last,
        "segments": segments,
        "text": None if error_class else text,
        "language": None if error_class else "en",
        "language_probability": None if error_class else 0.5 + unit / 10,
        "duration_s": 1.0,
        "speech_s": 0.5,
        "speech": None if speech is None else spans,
        "options": '{"task": "transcribe"}',
        "warnings": [f"w{unit}"],
        "error_class": error_class,
        "error": error_class and "it broke",
        "wall_s": 2.0,
        "transcribed_at": datetime(2026, 1, 1, 0, 0, unit, tzinfo=UTC),
        **more,
    }


@given(st.integers(1, 8), st.randoms(use_true_random=False))
def test_parts_in_any_order_give_the_same_row(count, random):
    parts = [part(unit, last=unit == count - 1, text=f"t{unit}") for unit in range(count)]
    random.shuffle(parts)
    for taken in range(count):
        assert not is_complete(parts[:taken])
    assert is_complete(parts)
    row = join_parts(parts)
    assert row["text"] == " ".join(f"t{unit}" for unit in range(count))
    assert [segment["start_s"] for segment in row["segments"]] == list(range(count))
    assert row["duration_s"] == count
    assert row["speech_s"] == count / 2
    assert row["warnings"] == [f"w{unit}" for unit in range(count)]
    assert row["coverage"] == 1.0
    assert row["transcribed_at"].second == count - 1


def test_joined_row_has_the_columns_of_the_table():
    row = join_parts([part(0), part(1, last=True)])
    assert set(row) == set(transcript_schema().names)
    pa.Table.from_pylist([part(0)], part_schema())


def test_what_repeats_itself_from_part_to_part_is_found():
    row = join_parts([part(unit, last=unit == 11, text="So it is.") for unit in range(12)])
    assert row["warnings"][-1].startswith("the same text 12 times in a row from 0:00:00")
    assert row["compression_ratio"] > 2.4
    assert row["coverage"] == 1.0


def test_a_warning_of_several_parts_is_given_once():
    parts = [part(n, last=n == 2, warnings=["cut off"]) for n in range(3)]
    assert join_parts(parts)["warnings"].count("cut off") == 1


def test_coverage_is_of_the_speech_of_all_parts():
    parts = [part(0, speech=((0.0, 0.5),)), part(1, last=True, speech=((0.25, 1.0),))]
    assert join_parts(parts)["coverage"] == 0.6
    unchecked = [part(0, speech=None), part(1, last=True, speech=None)]
    assert join_parts(unchecked)["coverage"] is None


def test_a_failed_part_fails_the_recording_and_leaves_no_half_text():
    parts = [part(0), part(1, last=True, error_class="unreadable")]
    assert is_complete(parts)
    row = join_parts(parts)
    assert (row["text"], row["segments"], row["error_class"]) == (None, [], "unreadable")


def test_a_row_is_in_the_language_in_which_most_is_said():
    parts = [
        part(0, language="de", speech_s=4.0),
        part(1, language="en", speech_s=2.0),
        part(2, language="en", speech_s=2.5),
        part(3, language=None, speech_s=0.0, last=True),
    ]
    row = join_parts(parts)
    assert (row["language"], row["language_probability"]) == ("en", 0.7)
    assert [one["language"] for one in row["segments"]] == ["de", "en", "en", None]


def test_where_nothing_is_heard_there_is_no_language():
    assert main_language([]) == (None, None)
    assert main_language([(None, None, 0.0)]) == (None, None)


def test_texts_are_joined_as_their_scripts_are_written():
    assert join_text([("你好", "zh"), ("世界", "zh")], translated=False) == "你好世界"
    assert (
        join_text([("hello", "en"), ("", "zh"), ("world", "en")], translated=False) == "hello world"
    )
    assert (
        join_text([("hello", "en"), ("世界", "zh"), ("ok", "en")], translated=False)
        == "hello 世界 ok"
    )
    assert join_text([("a", None), ("b", None)], translated=False) == "a b"
    assert join_text([("hello", "zh"), ("world", "zh")], translated=True) == "hello world"
