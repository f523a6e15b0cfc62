"""What a query may say, and what it gives."""

from __future__ import annotations

from datetime import timedelta

import pytest

PATHS = [("a.wav",), ("b.wav",), ("c.wav",)]


@pytest.mark.parametrize(
    "name",
    ["t", "T", '"T"', "public.t", "stenopool.public.t", "Stenopool.PUBLIC.T", '"low er"',
     "calls.public.transcripts", '"CALLS"."PUBLIC".transcripts'],
)  # fmt: skip
def test_a_table_is_found_under_each_spelling_of_its_name(sql, name):
    assert sql(f"SELECT path FROM {name} ORDER BY path") == PATHS


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("SELECT PATH FROM t WHERE Text = 'one two'", [("a.wav",)]),
        ("SELECT count(*), sum(duration_s) FROM t", [(3, 4.0)]),
        ("SELECT count(*) FROM empty", [(0,)]),
        ("SELECT * FROM empty", []),
        ("SELECT x.path FROM t x JOIN public.t y ON x.path = y.path WHERE y.duration_s > 2",
         [("b.wav",)]),
        ("SELECT path FROM t UNION SELECT path FROM \"low er\" ORDER BY 1", PATHS),
        ("SELECT path FROM t EXCEPT SELECT path FROM empty ORDER BY 1", PATHS),
        ("SELECT path FROM t WHERE path IN (SELECT max(path) FROM t)", [("c.wav",)]),
        ("SELECT (SELECT count(*) FROM t) + 1", [(4,)]),
        ("WITH t AS (SELECT 1 AS one) SELECT one FROM t", [(1,)]),
        ("WITH t AS (SELECT * FROM t) SELECT count(*) FROM t", [(3,)]),
        ("WITH u AS (SELECT path FROM t), v AS (SELECT * FROM u) SELECT count(*) FROM v", [(3,)]),
        ("WITH u AS (SELECT path FROM t) SELECT (SELECT count(*) FROM u) FROM u LIMIT 1", [(3,)]),
        ("WITH RECURSIVE n AS (SELECT 1 i UNION ALL SELECT i + 1 FROM n WHERE i < 4) FROM n",
         [(1,), (2,), (3,), (4,)]),
        ("SELECT path FROM t QUALIFY row_number() OVER (ORDER BY path DESC) = 1", [("c.wav",)]),
        ("SELECT calls.public.transcripts.path FROM calls.public.transcripts LIMIT 1",
         [("a.wav",)]),
        ("SELECT path, s.text FROM (SELECT path, unnest(segments) s FROM t) ORDER BY s.start_s",
         [("a.wav", "one"), ("a.wav", "two")]),
        ("SELECT segments[0].text FROM t WHERE path = 'a.wav'", [("one",)]),
        ("SELECT iff(duration_s > 2, 'long', 'short') FROM t WHERE text = ''", [("long",)]),
        ("SELECT count_if(text IS NULL) FROM t", [(1,)]),
        ("SELECT listagg(path, ',') WITHIN GROUP (ORDER BY path) FROM t", [("a.wav,b.wav,c.wav",)]),
        ("SELECT path ILIKE 'A%' FROM t ORDER BY path LIMIT 1", [(True,)]),
        ("SELECT * FROM (VALUES (1, 'x')) v", [(1, "x")]),
        ("SELECT 'it''s', 1; ", [("it's", 1)]),
        ("SELECT ';' -- and a comment; with more", [(";",)]),
        ("(SELECT 1)", [(1,)]),
    ],
)  # fmt: skip
def test_a_query_gives_its_rows(sql, text, rows):
    assert sql(text) == rows


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("SELECT path, text FROM t", ["path", "text"]),
        ("SELECT Path, TEXT FROM t", ["Path", "TEXT"]),
        ("SELECT path AS p, text \"The Text\" FROM t", ["p", "The Text"]),
        ("SELECT count(*), sum(duration_s) FROM t", ["COUNT(*)", "SUM(duration_s)"]),
        ("SELECT * EXCLUDE (segments, transcribed_at) FROM t", ["path", "text", "duration_s"]),
        ("SELECT t.* FROM t LIMIT 0",
         ["path", "text", "duration_s", "segments", "transcribed_at"]),
        ("(SELECT Path FROM t) UNION ALL (SELECT text FROM t)", ["Path"]),
    ],
)  # fmt: skip
def test_columns_are_called_what_was_typed(relation, text, columns):
    assert relation(text).columns == columns


def test_times_are_in_utc(relation, sql):
    ((noon,),) = sql("SELECT max(transcribed_at) FROM t")
    assert (noon.hour, noon.utcoffset()) == (12, timedelta(0))
    assert sql("SELECT date_trunc('day', transcribed_at)::text FROM t LIMIT 1") == [
        ("2026-11-23 00:00:00+00",)
    ]
    assert str(relation("SELECT transcribed_at FROM t").df().dtypes.iloc[0]).endswith("UTC]")


def test_a_result_can_be_taken_in_several_forms_and_more_than_once(relation):
    result = relation("SELECT path, duration_s FROM t ORDER BY path")
    for _ in range(2):
        assert result.fetchall() == [("a.wav", 1.5), ("b.wav", 2.5), ("c.wav", None)]
        assert result.df()["path"].tolist() == ["a.wav", "b.wav", "c.wav"]
        assert result.arrow().read_all().num_rows == 3


def test_show_lists_what_there_is(relation):
    tables = relation("SHOW TABLES").df().set_index(["database_name", "schema_name", "name"])
    assert tables["rows"].to_dict() == {
        ("CALLS", "PUBLIC", "TRANSCRIPTS"): 3,
        ("STENOPOOL", "PUBLIC", "EMPTY"): 0,
        ("STENOPOOL", "PUBLIC", "T"): 3,
        ("STENOPOOL", "PUBLIC", "low er"): 3,
    }
    assert relation("SHOW DATABASES").fetchall() == [("CALLS",), ("STENOPOOL",)]
    assert relation("show schemas").fetchall() == [("PUBLIC", "CALLS"), ("PUBLIC", "STENOPOOL")]
    stages = relation("SHOW STAGES").df()
    assert stages[["name", "comment"]].to_numpy().tolist() == [["CALLS", "ours"]]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("SHOW TABLES IN DATABASE calls", ["TRANSCRIPTS"]),
        ("SHOW TABLES IN SCHEMA calls.public", ["TRANSCRIPTS"]),
        ("SHOW TABLES IN SCHEMA public", ["EMPTY", "T", "low er"]),
        ("SHOW TABLES LIKE 't%'", ["TRANSCRIPTS", "T"]),
        ("SHOW TABLES LIKE 't' IN DATABASE stenopool", ["T"]),
        ("SHOW TABLES IN ACCOUNT", ["TRANSCRIPTS", "EMPTY", "T", "low er"]),
        ("SHOW SCHEMAS IN DATABASE calls", ["PUBLIC"]),
        ("SHOW STAGES IN DATABASE calls", []),
    ],
)
def test_show_can_be_narrowed(relation, text, names):
    assert [row[0] for row in relation(text).fetchall()] == names


@pytest.mark.parametrize("text", ["DESCRIBE TABLE t", "DESC calls.public.transcripts", "desc t"])
def test_describe_gives_the_columns_and_their_types(sql, text):
    assert sql(text) == [
        ("path", "VARCHAR", True),
        ("text", "VARCHAR", True),
        ("duration_s", "DOUBLE", True),
        ("segments", 'STRUCT(start_s DOUBLE, "text" VARCHAR)[]', True),
        ("transcribed_at", "TIMESTAMP WITH TIME ZONE", True),
    ]
