"""What a table keeps of a dataset's columns, and what fits what."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenopool.distributed.datasinks.columns import (
    as_table,
    common_schema,
    fit,
    table_schema,
)
from stenopool.errors import InvalidOptionError

SCALARS = (
    pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(),
    pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.string(),
    pa.large_string(), pa.binary(), pa.large_binary(), pa.binary(3), pa.date32(), pa.date64(),
    pa.time32("ms"), pa.time64("ns"), pa.timestamp("s"), pa.timestamp("ms", "Europe/Paris"),
    pa.timestamp("us"), pa.timestamp("ns", "UTC"), pa.decimal128(12, 3), pa.null(),
)  # fmt: skip

kinds = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        inner.map(pa.list_),
        inner.map(pa.large_list),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda parts: pa.struct([(f"f{i}", part) for i, part in enumerate(parts)])
        ),
    ),
    max_leaves=4,
)


@given(kinds)
def test_what_a_table_was_made_for_fits_it(kind):
    schema = pa.schema([("x", kind)])
    made = table_schema(schema, "T")
    assert made.names == ["X"]
    assert fit(schema.empty_table(), made, "T").schema == made
    assert table_schema(made, "T") == made


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))))
def test_integers_are_kept(values):
    rows = pa.table({"n": pa.array(values, pa.int64())})
    assert fit(rows, table_schema(rows.schema, "T"), "T")["N"].to_pylist() == values


@given(st.lists(st.one_of(st.none(), st.integers(0, 2**64 - 1))))
def test_unsigned_integers_of_64_bits_are_kept(values):
    rows = pa.table({"n": pa.array(values, pa.uint64())})
    kept = fit(rows, table_schema(rows.schema, "T"), "T")["N"].to_pylist()
    assert [None if value is None else int(value) for value in kept] == values


@given(st.lists(st.one_of(st.none(), st.datetimes(pd.Timestamp("1900-01-01").to_pydatetime()))))
def test_timestamps_stay_timestamps(values):
    rows = pa.table({"at": pa.array(values, pa.timestamp("us"))})
    assert fit(rows, table_schema(rows.schema, "T"), "T")["AT"].to_pylist() == values


def test_nanoseconds_are_cut_and_not_refused():
    rows = pa.table({"at": pa.array([1_999], pa.timestamp("ns", "Asia/Tokyo"))})
    [kept] = fit(rows, table_schema(rows.schema, "T"), "T")["AT"].to_pylist()
    assert kept == pd.Timestamp(1, unit="us", tz="UTC")


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"e": np.arange(6, dtype=np.float32).reshape(2, 3)}, [[0, 1, 2], [3, 4, 5]]),
        (
            {"e": np.arange(8, dtype=np.int16).reshape(2, 2, 2)},
            [[[0, 1], [2, 3]], [[4, 5], [6, 7]]],
        ),
        (pd.DataFrame({"e": [np.zeros(1), np.ones(2)]}), [[0.0], [1.0, 1.0]]),
        (pd.DataFrame({"e": [np.zeros((1, 1)), np.ones((2, 1))]}), [[[0.0]], [[1.0], [1.0]]]),
        (pd.DataFrame({"e": [[1, 2], None]}), [[1, 2], None]),
        (pd.DataFrame({"e": ["a", None, "ü"]}), ["a", None, "ü"]),
        (pd.DataFrame({"e": pd.to_datetime(["2026-11-25 10:00", None])}), None),
        (pa.table({"e": pa.array(["a", "b", "a"]).dictionary_encode()}), ["a", "b", "a"]),
    ],
)
def test_blocks_of_every_kind_become_plain_columns(block, expected):
    from ray.data.block import BlockAccessor

    block = BlockAccessor.batch_to_block(block) if isinstance(block, dict) else block
    rows = as_table(block)
    kept = fit(rows, table_schema(rows.schema, "T"), "T")["E"].to_pylist()
    if expected is None:
        expected = [pd.Timestamp("2026-11-25 10:00").to_pydatetime(), None]
    assert kept == expected


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        (pa.int64(), pa.int32()),
        (pa.uint32(), pa.int32()),
        (pa.float64(), pa.float32()),
        (pa.int64(), pa.string()),
        (pa.string(), pa.binary()),
        (pa.timestamp("us"), pa.timestamp("us", "UTC")),
        (pa.timestamp("us"), pa.date32()),
        (pa.decimal128(10, 4), pa.decimal128(10, 2)),
        (pa.list_(pa.float64()), pa.list_(pa.float32())),
        (pa.struct([("a", pa.int64())]), pa.struct([("b", pa.int64())])),
    ],
)
def test_a_type_that_does_not_fit_is_named_with_table_column_and_both_types(kind, column):
    with pytest.raises(InvalidOptionError) as refused:
        fit(pa.schema([("x", kind)]).empty_table(), pa.schema([("X", column)]), "DB.S.T")
    text = str(refused.value)
    assert all(part in text for part in ("DB.S.T", "'X'", "'x'", str(kind), str(column)))


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        (pa.table({"x": [1.0, None, 3.0]}), pa.int64()),
        (pa.table({"x": [1, None, 3]}), pa.float64()),
        (pa.table({"x": [{"a": 1}]}), pa.struct([("a", pa.int64()), ("b", pa.string())])),
    ],
)
def test_what_a_missing_value_makes_of_a_column_fits(rows, kind):
    kept = fit(rows, pa.schema([("X", kind)]), "T")["X"]
    assert kept.type == kind
    assert kept.to_pylist()[0]


@pytest.mark.parametrize(
    ("rows", "kind"),
    [(pa.table({"x": [0.5]}), pa.int64()), (pa.table({"x": [2**53 + 1]}), pa.float64())],
)
def test_a_value_that_would_change_is_refused(rows, kind):
    with pytest.raises(InvalidOptionError, match=r"column 'X'.*does not fit"):
        fit(rows, pa.schema([("X", kind)]), "T")


def test_a_table_is_made_for_all_blocks_and_not_for_the_first():
    blocks = [
        pa.schema([("x", pa.null()), ("l", pa.list_(pa.null()))]),
        pa.schema([("x", pa.int64()), ("l", pa.list_(pa.struct([("a", pa.int64())])))]),
        pa.schema([("x", pa.float64()), ("l", pa.list_(pa.struct([("b", pa.string())])))]),
    ]
    made = common_schema(blocks, "T")
    assert made.field("X").type == pa.float64()
    assert {field.name for field in made.field("L").type.value_type} == {"a", "b"}
    with pytest.raises(InvalidOptionError, match=r"T cannot be made.*x"):
        common_schema([*blocks, pa.schema([("x", pa.string())])], "T")


def test_missing_and_extra_columns_are_all_named():
    table = pa.schema([("A", pa.int64()), ("B", pa.int64())])
    with pytest.raises(InvalidOptionError, match=r"DB\.S\.T.*no column 'B'.*its 'c'") as refused:
        fit(pa.table({"a": [1], "c": [2]}), table, "DB.S.T")
    assert "A, B" in str(refused.value)


def test_columns_are_found_without_regard_to_case_unless_quoted():
    table = pa.schema([("path", pa.string()), ("TEXT", pa.string())])
    rows = pa.table({"Text": ["t"], "PATH": ["p"]})
    assert fit(rows, table, "T").to_pylist() == [{"path": "p", "TEXT": "t"}]
    with pytest.raises(InvalidOptionError):
        fit(pa.table({"text": ["t"], '"PATH"': ["p"]}), table, "T")
    assert fit(pa.table({"text": ["t"], '"path"': ["p"]}), table, "T").num_rows == 1


def test_quoted_names_are_kept_and_others_fold():
    made = table_schema(pa.schema([("outputs", pa.string()), ('"Path"', pa.string())]), "T")
    assert made.names == ["OUTPUTS", "Path"]


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(InvalidOptionError, match=r"two columns.*OUTPUTS"):
        table_schema(pa.schema([("outputs", pa.string()), ("Outputs", pa.string())]), "T")


def test_a_type_that_no_table_has_is_named():
    with pytest.raises(InvalidOptionError, match=r"'span'.*duration"):
        table_schema(pa.schema([("span", pa.duration("s"))]), "T")
