"""Each difference of the dialect as a pair of texts, and then run."""

from __future__ import annotations

import pytest

from stenopool.errors import SqlError
from stenopool.warehouse.nested import colon_to_field, flatten_to_unnest
from stenopool.warehouse.statement import read_statement, to_duckdb

ROWS = "LATERAL (SELECT UNNEST({0}) AS value, GENERATE_SUBSCRIPTS({0}, 1) - 1 AS index)"
PAIRS = {
    "FLATTEN makes rows of a list": (
        "SELECT f.value FROM t, LATERAL FLATTEN(input => segments) f",
        f"SELECT f.value FROM t, {ROWS.format('segments')} AS f",
    ),
    "FLATTEN stands as a table function too": (
        "SELECT f.value FROM t, TABLE(FLATTEN(t.segments)) f",
        f"SELECT f.value FROM t, {ROWS.format('t.segments')} AS f",
    ),
    "FLATTEN with OUTER keeps rows without elements": (
        "SELECT f.value FROM t, LATERAL FLATTEN(input => s, outer => TRUE) f",
        f"SELECT f.value FROM t LEFT JOIN {ROWS.format('s')} AS f ON TRUE",
    ),
    "a colon takes a field of a struct": (
        "SELECT f.value:text, segments[0]:words[1].text FROM t",
        'SELECT f.value."text", segments[1]."words"[2]."text" FROM t',
    ),
    "a colon after a column of text reads JSON": (
        "SELECT options:model.name FROM t",
        "SELECT options ->> '$.model.name' FROM t",
    ),
}


@pytest.mark.parametrize(("before", "after"), PAIRS.values(), ids=PAIRS)
def test_the_dialect_becomes_duckdbs(before, after):
    query = read_statement(before)
    flatten_to_unnest(query)
    colon_to_field(query, {"options"})
    assert to_duckdb(query) == after


def test_flatten_gives_values_with_their_index(sql):
    text = "SELECT path, s.index, s.value:text::string FROM t, LATERAL FLATTEN(input => segments) s"
    assert sorted(sql(text)) == [("a.wav", 0, "one"), ("a.wav", 1, "two")]
    assert sql("SELECT count(*) FROM t x, TABLE(FLATTEN(x.segments)) WHERE value:text = 'two'") == [
        (1,)
    ]


def test_flatten_with_outer_keeps_rows_without_elements(sql):
    flatten = "LATERAL FLATTEN(input => segments, outer => true) s"
    assert sql(f"SELECT path, s.value:start_s FROM t, {flatten} ORDER BY path, s.index") == [
        ("a.wav", 0.0),
        ("a.wav", 0.7),
        ("b.wav", None),
        ("c.wav", None),
    ]


def test_a_colon_reads_structs_and_json(sql):
    assert sql("SELECT segments[1]:text FROM t WHERE path = 'a.wav'") == [("two",)]
    json = """SELECT '{"a": {"b": [5]}}' AS text, path FROM t"""
    assert sql(f"SELECT text:a.b[0]::int + 1 FROM ({json}) WHERE path = 'a.wav'") == [(6,)]


@pytest.mark.parametrize("arguments", ["input => segments, mode => 'ARRAY'", "path => 'x'"])
def test_other_arguments_of_flatten_are_refused(sql, arguments):
    with pytest.raises(SqlError, match="FLATTEN"):
        sql(f"SELECT 1 FROM t, LATERAL FLATTEN({arguments}) f")
