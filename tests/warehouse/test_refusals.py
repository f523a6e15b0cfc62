"""What a query may not do, and what is said of a mistake."""

from __future__ import annotations

import contextlib

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stenopool.errors import SqlError
from stenopool.warehouse import duck


@pytest.mark.parametrize(
    "text",
    ["INSERT INTO t VALUES (1)", "UPDATE t SET path = ''", "DELETE FROM t", "MERGE INTO t USING t",
     "CREATE TABLE x AS SELECT 1", "DROP TABLE t", "TRUNCATE TABLE t", "ALTER TABLE t ADD x INT",
     "COPY t TO 'x.csv'", "COPY INTO t FROM @s", "ATTACH 'x.db'", "PRAGMA threads", "SET threads=1",
     "INSTALL httpfs", "LOAD httpfs", "CALL x()", "USE DATABASE x", "EXPLAIN SELECT 1",
     "EXECUTE IMMEDIATE 'SELECT 1'", "CHECKPOINT", "EXPORT DATABASE 'x'", "BEGIN", "GRANT x TO y",
     "WITH x AS (INSERT INTO t VALUES (1)) SELECT 1", "SELECT * INTO x FROM t",
     "DESCRIBE SELECT 1", "DESCRIBE STAGE calls", "SHOW WAREHOUSES", "SHOW TABLES STARTS WITH 'a'"],
)  # fmt: skip
def test_what_is_no_query_is_refused(sql, text):
    with pytest.raises(SqlError):
        sql(text)


@pytest.mark.parametrize("text", ["SELECT 1; SELECT 2", "SELECT 1; DROP TABLE t", "; SELECT 1; ;x"])
def test_several_statements_are_refused(sql, text):
    with pytest.raises(SqlError, match=r"one by one|not allowed"):
        sql(text)


@pytest.mark.parametrize(
    "source",
    ["'{file}'", '"{file}"', "read_csv('{file}')", "read_csv_auto('{file}')", "read_text('{file}')",
     "read_blob('{file}')", "read_parquet('{file}')", "parquet_scan('{file}')",
     "read_json('{file}')",
     "glob('{file}')", "sniff_csv('{file}')", "TABLE(read_csv('{file}'))", "@stage", "@stage/x.csv",
     "LATERAL read_text('{file}')", "(FROM read_csv('{file}'))", "query('SELECT 1')",
     "query_table('t')", "duckdb_settings()", "duckdb_secrets()", "pragma_version()",
     "information_schema.tables", "pg_catalog.pg_class", "duckdb_tables", "sqlite_master",
     "stenopool_0", "main.stenopool_0", "memory.main.stenopool_0", "IDENTIFIER('t')",
     "t AT (VERSION => 1)", "t CHANGES (INFORMATION => DEFAULT) AT (OFFSET => -1)"],
)  # fmt: skip
def test_a_query_reads_nothing_but_tables(sql, tmp_path, source):
    file = tmp_path / "secret.csv"
    file.write_text("secret\n1\n")
    for text in (f"SELECT * FROM {source}", f"SELECT * FROM t, {source}"):
        with pytest.raises(SqlError) as said:
            sql(text.format(file=file))
        assert "secret\n" not in str(said.value)


@pytest.mark.parametrize("call", ["getenv('HOME')", "current_setting('nope')", "read_text('/x')"])
def test_a_function_that_would_look_outside_does_not_exist(sql, call):
    with pytest.raises(SqlError):
        sql(f"SELECT {call}")


def test_the_connection_itself_is_locked(tmp_path):
    """The second wall, should the first one have a hole."""
    import duckdb

    (tmp_path / "x.csv").write_text("a\n1\n")
    outside = pa.table({"seen": [1]})
    connection = duck.locked_connection({}, tmp_path / "spill")
    for statement in (
        f"SELECT * FROM '{tmp_path}/x.csv'",
        f"COPY (SELECT 1) TO '{tmp_path}/y.csv'",
        f"ATTACH '{tmp_path}/z.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SELECT * FROM outside",
    ):
        with pytest.raises(duckdb.Error):
            connection.execute(statement)
    assert outside.num_rows == 1
    assert sorted(one.name for one in tmp_path.iterdir()) == ["x.csv"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT * FROM duckdb_settings()", "function 'duckdb_settings' is not allowed"),
        ("SELECT (SELECT count(*) FROM read_text('/x'))", "function 'read_text' is not allowed"),
        ("SELECT * FROM information_schema.tables", "no table of the catalog"),
        ("SELECT 1; SELECT 2", "several statements"),
        ("CREATE TABLE x (a INT)", "SELECT"),
    ],
)
def test_duckdbs_own_reading_of_the_query_is_checked_too(tmp_path, text, said):
    connection = duck.locked_connection({}, tmp_path / "spill")
    with pytest.raises(SqlError, match=said):
        duck.run(connection, text, [])


def test_an_older_version_of_a_table_is_refused_as_not_supported(sql):
    for clause in ("AT (VERSION => 1)", "BEFORE (STATEMENT => 'x')"):
        with pytest.raises(SqlError, match="not supported"):
            sql(f"SELECT * FROM t {clause}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT * FROM nope", r"STENOPOOL\.PUBLIC\.NOPE does not exist"),
        ("SELECT * FROM transcripts", r"did you mean CALLS\.PUBLIC\.TRANSCRIPTS"),
        ("SELECT * FROM cals.public.transcripts", r"did you mean CALLS\.PUBLIC\.TRANSCRIPTS"),
        ("SELECT * FROM \"t\"", r'PUBLIC\."t" does not exist; did you mean STENOPOOL\.PUBLIC\.T'),
        ("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a", r"PUBLIC\.B does not"),
        ("DESCRIBE TABLE nope", r"NOPE does not exist"),
        ("SELECT txt FROM t", r"column 'txt' does not exist; did you mean text"),
        ("SELECT t.pth FROM t", r"column 'pth' does not exist; did you mean path"),
        ("SELECT zzzz FROM t", r"column 'zzzz' does not exist; there are path, text, duration_s"),
        ("SELECT path FROM t ORDER BY durations", r"did you mean duration_s"),
        ("SELECT x.path FROM t", r'"x" not found'),
        ("SELECT foo(path) FROM t", r"foo does not exist"),
        ("SELECT path, count(*) FROM t", r"GROUP BY"),
        ("SELECT path::int FROM t", r"[Cc]ould not convert string 'a\.wav'"),
        ("SELECT path FROM t WHERE path = ?", r"parameter"),
        ("SELECT * FROM", r"cannot be read: Expected table name.*line 1"),
        ("SELECT (1", r"cannot be read.*line 1"),
        ("SELECT 'abc", r"cannot be read"),
        ("SELEC 1", r"SELEC is not allowed"),
        ("", r"empty"),
        (" ; ", r"empty"),
        ("-- nothing", r"empty"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_on_one_line(sql, text, said):
    with pytest.raises(SqlError, match=said) as caught:
        sql(text)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_query_that_is_nested_too_deeply_is_told_so(sql):
    with pytest.raises(SqlError, match="nested too deeply"):
        sql("SELECT " + "(" * 2_000 + "1" + ")" * 2_000)


WORDS = ["SELECT", "*", "FROM", "t", "path", "WHERE", "(", ")", ",", "'x'", "WITH", "AS", "UNION",
         "read_csv", "1", ";", "JOIN", "ON", "=", "unnest", "segments", "SHOW", "TABLES", "LIKE",
         "DESCRIBE", "TABLE", "VALUES", "IN", ".", '"', "@s", "--", "ORDER BY", "?"]  # fmt: skip


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join) | st.text(max_size=20))
def test_any_text_gives_rows_or_an_error_of_ours(sql, text):
    with contextlib.suppress(SqlError):
        assert isinstance(sql(text), list)
