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


def part(unit, *, last=False, text="a", error_class=None, language="en", speech_s=0.5):
    said = {"start_s": float(unit), "end_s": unit + 0.5, "text": text, "language": language}
    segments = [] if error_class else [said]
    columns = dict.fromkeys(part_schema().names)
    return columns | {
        "path": "x.wav",
        "transcript_id": "k",
        "unit": unit,
        "last": last,
        "segments": segments,
        "text": None if error_class else text,
        "language": None if error_class else language,
        "language_probability": None if error_class else 0.5 + unit / 10,
        "duration_s": 1.0,
        "speech_s": speech_s,
        "warnings": [f"w{unit}"],
        "error_class": error_class,
        "error": error_class and "it broke",
        "wall_s": 2.0,
        "transcribed_at": datetime(2026, 1, 1, 0, 0, unit, tzinfo=UTC),
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
    assert row["transcribed_at"].second == count - 1


def test_joined_row_has_the_columns_of_the_table():
    row = join_parts([part(0), part(1, last=True)])
    assert set(row) == set(transcript_schema().names)
    pa.Table.from_pylist([part(0)], part_schema())


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
    assert join_text([("你好", "zh"), ("世界", "zh")]) == "你好世界"
    assert join_text([("hello", "en"), ("", "zh"), ("world", "en")]) == "hello world"
    assert join_text([("hello", "en"), ("世界", "zh"), ("ok", "en")]) == "hello 世界 ok"
    assert join_text([("a", None), ("b", None)]) == "a b"
