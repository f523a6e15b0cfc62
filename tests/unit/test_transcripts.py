"""A recording's parts become one row, whatever order they come in."""

from datetime import UTC, datetime

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from stenopool.catalog.transcripts import (
    is_complete,
    join_parts,
    join_text,
    part_schema,
    transcript_schema,
)


def part(unit, *, last=False, text="a", error_class=None):
    segments = [] if error_class else [{"start_s": float(unit), "end_s": unit + 0.5, "text": text}]
    columns = dict.fromkeys(part_schema().names)
    return columns | {
        "path": "x.wav",
        "transcript_id": "k",
        "unit": unit,
        "last": last,
        "segments": segments,
        "text": None if error_class else text,
        "language": None if error_class else "en",
        "duration_s": 1.0,
        "speech_s": 0.5,
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


def test_scripts_without_spaces_are_joined_without_spaces():
    assert join_text(["你好", "世界"], "zh") == "你好世界"
    assert join_text(["hello", "", "world"], "en") == "hello world"
