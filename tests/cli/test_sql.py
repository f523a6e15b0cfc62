import csv
import io
import json
import subprocess
import sys

import pytest

from cli.conftest import PROGRAM
from cli.making import NOON, failure, row

EVERY_TYPE = """
SELECT 1 whole, 1.50 exact, 0.5::double real, 'nan'::double nan, 'a"b,c' || chr(10) || 'd' text,
       TRUE yes, NULL nothing, [1, 2] list, {'x': 1, 'y': [NULL]} struct,
       '2026-11-23 12:00:00+00'::timestamptz moment, '2026-11-23'::date day
"""
EVERY_VALUE = {
    "whole": 1,
    "exact": 1.5,
    "real": 0.5,
    "nan": None,
    "text": 'a"b,c\nd',
    "yes": True,
    "nothing": None,
    "list": [1, 2],
    "struct": {"x": 1, "y": [None]},
    "moment": NOON.isoformat(),
    "day": "2026-11-23",
}


def test_names_have_one_to_three_parts(steno, transcripts):
    transcripts(row("a.flac"), name="t")
    for name in ("t", "public.t", "stenopool.public.T", '"T"'):
        assert steno("sql", f"SELECT path FROM {name}").rows == [["path"], ["a.flac"]]


def test_every_type_has_a_form_in_json(steno):
    assert steno("sql", EVERY_TYPE, "--format", "json").answer == [EVERY_VALUE]


def test_every_type_has_a_form_in_csv(steno):
    answer = steno("sql", EVERY_TYPE, "--format", "csv").out
    (found,) = csv.DictReader(io.StringIO(answer))
    assert found["text"] == EVERY_VALUE["text"]
    assert (found["exact"], found["yes"], found["nothing"]) == ("1.50", "true", "")
    assert json.loads(found["struct"]) == EVERY_VALUE["struct"]
    assert found["moment"] == EVERY_VALUE["moment"]


def test_every_type_goes_through_parquet(steno, work):
    import pyarrow.parquet as pq

    assert steno("sql", EVERY_TYPE, "-o", "x.parquet").out == "1 row in x.parquet\n"
    (found,) = pq.read_table(work / "x.parquet").to_pylist()
    assert (found["text"], found["list"], found["moment"]) == (EVERY_VALUE["text"], [1, 2], NOON)


@pytest.mark.parametrize("form", ["csv", "json"])
def test_file_holds_what_is_printed(steno, work, form):
    printed = steno("sql", EVERY_TYPE, "--format", form).out
    assert steno("sql", EVERY_TYPE, "-o", f"x.{form}").code == 0
    assert steno("sql", EVERY_TYPE, "-o", "x.out", "--format", form).code == 0
    assert (work / f"x.{form}").read_text() == (work / "x.out").read_text() == printed


def test_result_without_rows_is_valid_in_every_form(steno):
    query = "SELECT 1 a, 2 b WHERE FALSE"
    assert steno("sql", query).out == "a\tb\n"
    assert steno("sql", query, "--format", "csv").out == "a,b\n"
    assert steno("sql", query, "--format", "json").answer == []
    assert steno("sql", query, "-o", "x.parquet").out == "0 rows in x.parquet\n"


def test_columns_of_one_name_are_both_in_json(steno):
    (found,) = steno("sql", "SELECT 1 a, 2 a", "--format", "json").answer
    assert sorted(found.values()) == [1, 2]


def test_pipe_gets_every_row_on_one_line_each(steno):
    rows = steno("sql", "SELECT unnest(range(3000)) n, 'tab\there' || chr(10) t").rows
    assert len(rows) == 3001
    assert rows[-1] == ["2999", r"tab\there\n"]


def test_person_sees_the_first_thousand_rows_and_how_to_get_the_rest(steno, terminal):
    shown = steno("sql", "SELECT unnest(range(3000)) n")
    assert len(shown.lines) == 1001
    assert "the first 1,000 rows" in shown.err
    assert "-o FILE" in shown.err


def test_person_sees_nested_values_cut(steno, terminal):
    shown = steno("sql", "SELECT range(1000) long, [1] short")
    assert "…" in shown.out
    assert "999" not in shown.out
    assert "[1]" in shown.out


def test_person_sees_too_many_columns_one_under_another(steno, terminal, transcripts):
    transcripts(row("a [b].flac", "so it is"), failure("b.flac"))
    shown = steno("sql", "SELECT * FROM t ORDER BY path")
    assert "── row 2" in shown.lines
    assert any(line.split() == ["path", "a", "[b].flac"] for line in shown.lines)


def test_markup_in_values_is_printed_as_it_is(steno, terminal):
    assert r"\[bold]x[/nope] :smile:" in steno("sql", r"SELECT '\\[bold]x[/nope] :smile:' t").out


def test_statement_is_read_from_standard_input(steno, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 1 + 1 AS two;\n"))
    assert steno("sql", "-").rows == [["two"], ["2"]]


def test_reader_that_leaves_early_sees_no_traceback():
    command = [sys.executable, "-c", PROGRAM, "sql", "SELECT unnest(range(100000)) n"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"n\n"
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT * FROM nope", "NOPE"),
        ("SELECT tekst FROM t", "tekst"),
        ("DROP TABLE t", "DROP"),
        ("SELECT 1; SELECT 2", "several"),
        ("SELEC 1", "SELEC"),
        ("", "empty"),
        ("SELECT '1x'::int", "1x"),
        ("SELECT * FROM read_csv('/etc/passwd')", "read"),
    ],
)
def test_wrong_query_is_one_line_that_names_the_thing(fails, transcripts, query, told):
    transcripts(row("a.flac"), name="t")
    assert told.lower() in fails(2, "sql", query).lower()


@pytest.mark.parametrize(
    "options",
    [
        ("--format", "parquet"),
        ("-o", "x.txt"),
        ("-o", "x"),
        ("-o", "x.csv", "--format", "table"),
        ("-o", "."),
        ("--format", "xml"),
    ],
)
def test_form_that_cannot_be_is_refused_before_the_query(fails, work, options):
    fails(2, "sql", "SELECT 1", *options)
    assert list(work.iterdir()) == []


def test_failed_query_leaves_the_old_file(fails, files, work):
    files({"x.csv": "old"})
    fails(2, "sql", "SELECT '1x'::int", "-o", "x.csv")
    assert [path.name for path in work.iterdir()] == ["x.csv"]
    assert (work / "x.csv").read_text() == "old"


def test_device_is_written_to_and_not_replaced(steno, work):
    import os

    os.mkfifo(work / "pipe.csv")
    reader = os.open(work / "pipe.csv", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert steno("sql", "SELECT 1 a", "-o", "pipe.csv").code == 0
        assert os.read(reader, 100) == b"a\n1\n"
    finally:
        os.close(reader)
    assert (work / "pipe.csv").is_fifo()


def test_file_below_a_file_is_one_line(fails, files):
    files({"x": "file"})
    assert "x" in fails(3, "sql", "SELECT 1", "-o", "x/y.csv")


def test_tables_are_listed_with_rows_and_size(steno, transcripts):
    assert "transcribe" in steno("tables").err
    assert steno("tables", "--json").answer == []
    transcripts(row("a.flac"), failure("b.flac"), name='"odd [name]"')
    (found,) = steno("tables", "--json").answer
    assert found["name"] == 'STENOPOOL.PUBLIC."odd [name]"'
    assert found["rows"] == 2
    assert found["size_bytes"] > 0
    assert steno("tables").rows[1][:2] == ['STENOPOOL.PUBLIC."odd [name]"', "2"]
