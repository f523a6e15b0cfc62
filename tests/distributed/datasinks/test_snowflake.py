"""The table of a Snowflake account: in fakesnow, and statement by statement."""

from __future__ import annotations

import os
import re
import sys
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
import snowflake.connector.errors
from ray.data.datasource.datasink import WriteResult

from distributed.datasinks.values import ROW, every_type, write_here
from stenopool.distributed.datasinks.snowflake import SnowflakeDatasink, read_url
from stenopool.errors import InvalidNameError, InvalidOptionError, NotFoundError, StorageError

# fakesnow's own use of DuckDB and sqlglot.
pytestmark = pytest.mark.filterwarnings("ignore:Arrow output on a DB-API result:UserWarning")

URL = "snowflake://me:s3cret@myorg-acct/calls/public/t"

_FAKE = None
_SENT: list[str] = []


class Cursor:
    """fakesnow's cursor, with what it lacks: `FILES` of a stage, and COPY into temporary tables."""

    def __init__(self, cursor):
        self._cursor, self._rows = cursor, []

    def execute(self, statement):
        _SENT.append(statement)
        statement = statement.replace("TEMPORARY ", "")
        files = re.search(r" FILES = \(([^)]*)\)", statement)
        if files is None:
            self._rows = self._cursor.execute(statement).fetchall()
            return self
        for name in re.findall(r"'([^']*)'", files[1]):
            one = statement.replace(files[0], "")
            one = re.sub(r"FROM @(\S+)", rf"FROM @\1/{name}", one)
            self._rows += self._cursor.execute(one).fetchall()
        return self

    def fetchall(self):
        return self._rows

    def close(self):
        self._cursor.close()


class Session:
    def __init__(self, connection):
        self._connection = connection

    def cursor(self):
        return Cursor(self._connection.cursor())

    def close(self):
        self._connection.close()


def connect(*, account, user, password):
    """The seam: a function of a module, since a sink's tasks get it by its name."""
    assert (account, user, password) == ("myorg-acct", "me", "s3cret")
    return Session(_FAKE.connect())


@pytest.fixture
def rows(monkeypatch):
    """`rows("SELECT …")` in an account that this process plays."""
    try:
        from fakesnow.instance import FakeSnow
    except ImportError as error:
        reason = f"fakesnow needs snowflake-connector-python 4: {error}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    fake = FakeSnow(nop_regexes=["DROP STAGE"])
    monkeypatch.setattr(sys.modules[__name__], "_FAKE", fake)
    _SENT.clear()
    with fake.connect(database="CALLS", schema="PUBLIC") as connection:
        yield lambda statement: connection.cursor().execute(statement).fetchall()
    fake.duck_conn.close()


def sink(url=URL, **options):
    return SnowflakeDatasink(read_url(url), connect=connect, **options)


def test_rows_are_written_added_and_replaced(rows):
    first = pa.table({"id": [1, 2], "Word": ["a", "b"]})
    assert write_here(sink(), first, first.slice(0, 1)) == 3
    assert rows('SELECT id, "WORD" FROM t ORDER BY 1') == [(1, "a"), (1, "a"), (2, "b")]
    assert write_here(sink(), first) == 2
    assert write_here(sink(overwrite=True), first.slice(1)) == 1
    assert rows("SELECT * FROM t") == [(2, "b")]


def test_every_type_comes_back_as_it_was(rows):
    write_here(sink(), every_type())
    scalars = [name for name, value in ROW.items() if not isinstance(value, list | dict)]
    [found, empty] = rows(f"SELECT {', '.join(scalars)} FROM t ORDER BY said NULLS LAST")
    assert dict(zip(scalars, found, strict=True)) == {name: ROW[name] for name in scalars}
    assert set(empty) == {None}
    assert rows("SELECT vector[1]::float, inner_part:x::int FROM t WHERE n IS NOT NULL") == [
        (-1.0, 1)
    ]


def test_only_attempts_that_were_reported_count(rows):
    table = pa.table({"id": [1, 2]})
    assert write_here(sink(), table, table, kept=[1]) == 2
    assert rows("SELECT count(*) FROM t") == [(2,)]


def test_a_key_says_which_rows_are_there_already(rows):
    def table(*ids, word):
        return pa.table({"id": [f"k{i}" for i in ids], "word": [word] * len(ids)})

    assert write_here(sink(key="ID"), table(1, 2, word="a")) == 2
    assert write_here(sink(key="ID"), table(2, 3, word="b")) == 1
    assert sink(key="ID").keys() == {"k1", "k2", "k3"}
    assert write_here(sink(key="ID", overwrite=True), table(1, 4, word="c")) == 2
    assert sorted(rows("SELECT * FROM t")) == [("k1", "c"), ("k2", "a"), ("k3", "b"), ("k4", "c")]


def test_a_table_that_lacks_columns_is_given_them_where_that_is_asked_for(rows):
    older, newer = pa.table({"id": ["k1"]}), pa.table({"id": ["k1", "k2"], "word": ["a", "b"]})
    write_here(sink(key="ID"), older)
    with pytest.raises(InvalidOptionError, match="no column for its 'word'"):
        write_here(sink(key="ID"), newer)
    sink(key="ID", add_columns=True).check(newer.schema)
    assert rows("SELECT * FROM t") == [("k1",)]
    assert write_here(sink(key="ID", add_columns=True), newer) == 1
    assert sorted(rows("SELECT * FROM t")) == [("k1", None), ("k2", "b")]
    assert write_here(sink(key="ID", add_columns=True, overwrite=True), newer) == 2
    assert sorted(rows("SELECT * FROM t")) == [("k1", "a"), ("k2", "b")]


def test_a_write_that_fails_in_its_transaction_leaves_the_old_rows(rows, monkeypatch):
    write_here(sink(), pa.table({"id": [1]}))
    late = sink(overwrite=True)
    monkeypatch.setattr(SnowflakeDatasink, "_copy", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_here(late, pa.table({"id": [2]}))
    assert rows("SELECT id FROM t") == [(1,)]
    assert _SENT[-2:] == ["ROLLBACK", _SENT[-1]]
    assert _SENT[-1].startswith("DROP STAGE IF EXISTS")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"id": [1], "word": [2]}, r"column 'WORD' is of type VARCHAR.*, .* int64"),
        ({"id": [1.5], "word": ["a"]}, r"column 'ID' is of type NUMBER\(38,0\), .* double"),
        ({"id": [1]}, r"no column 'WORD'"),
        ({"id": [1], "word": ["a"], "x": [1]}, r"no column for its 'x'"),
    ],
)
def test_rows_that_do_not_fit_are_refused_before_any_task(rows, values, message):
    rows("CREATE TABLE t (id NUMBER, word VARCHAR)")
    with pytest.raises(InvalidOptionError, match=rf"myorg-acct/CALLS/PUBLIC/T.*{message}"):
        write_here(sink(), pa.table(values))


def test_what_is_missing_is_named(rows):
    with pytest.raises(NotFoundError, match=r'schema "CALLS"\."NOWHERE" does not exist'):
        sink(URL.replace("public", "nowhere")).check()
    with pytest.raises(NotFoundError, match=r"table snowflake://.*/T does not exist"):
        sink(create_missing=False).check()
    sink().check()


class Recorder:
    """A connection that notes what it is sent, and answers as an account would."""

    def __init__(self, answers=()):
        self.sent, self._answers, self._rows = [], dict(answers), []

    def cursor(self):
        return self

    def execute(self, statement):
        self.sent.append(re.sub(r"[0-9A-Fa-f]{16}|file://\S+", "#", statement))
        answer = next((a for s, a in self._answers.items() if statement.startswith(s)), [])
        if isinstance(answer, Exception):
            raise answer
        self._rows = answer
        return self

    def fetchall(self):
        return self._rows

    def close(self):
        pass


TARGET = '"CALLS"."PUBLIC"."T"'
STAGE = '"CALLS"."PUBLIC"."STENOPOOL_WRITE_#"'
COPY = (
    f"COPY INTO {TARGET} FROM @{STAGE} FILES = ('part-#.parquet', 'part-#.parquet') "
    "FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE BINARY_AS_TEXT = FALSE) "
    "MATCH_BY_COLUMN_NAME = CASE_SENSITIVE ON_ERROR = ABORT_STATEMENT"
)


def recorded(answers, **options):
    """What a write of two tasks of two rows each sends, and how it ends."""
    answers = {"PUT": [("a", "b", 1, 1, "NONE", "NONE", "UPLOADED", "")]} | answers
    account = Recorder(answers)
    sink = SnowflakeDatasink(read_url(URL), connect=lambda **_: account, **options)
    table = pa.table({"id": [1, 2]})
    sink.on_write_start(table.schema)
    parts = [sink.write([table], None) for _ in range(2)]
    try:
        sink.on_write_complete(WriteResult(4, 0, parts))
    except Exception as error:  # noqa: BLE001 - the test looks at it
        sink.on_write_failed(error)
        return account.sent, error
    return account.sent, None


LOADED = [("x", "LOADED", 2, 2), ("y", "LOADED", 2, 2)]
EXISTS = {"DESCRIBE": [("ID", "NUMBER(38,0)")], "COPY": LOADED}


def test_an_overwriting_write_sends_one_transaction():
    sent, error = recorded(EXISTS, overwrite=True)
    assert error is None
    assert sent == [
        'USE SCHEMA "CALLS"."PUBLIC"',
        f"DESCRIBE TABLE {TARGET}",
        'SHOW STAGES LIKE \'STENOPOOL_WRITE_%\' IN SCHEMA "CALLS"."PUBLIC"',
        f"CREATE STAGE IF NOT EXISTS {STAGE}",
        f"PUT '# @{STAGE} AUTO_COMPRESS = FALSE",
        f"PUT '# @{STAGE} AUTO_COMPRESS = FALSE",
        "BEGIN",
        f"DELETE FROM {TARGET}",
        COPY,
        "COMMIT",
        f"DROP STAGE IF EXISTS {STAGE}",
    ]


def test_a_table_is_made_before_the_transaction():
    missing = snowflake.connector.errors.ProgrammingError(msg="not there", errno=2003)
    sent, error = recorded({"DESCRIBE": missing, "COPY": LOADED})
    assert error is None
    assert sent[-5:-1] == [
        f'CREATE TABLE IF NOT EXISTS {TARGET} ("ID" NUMBER(38,0))', "BEGIN", COPY, "COMMIT",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "kind", "message"),
    [
        ({"COPY": LOADED[:1]}, StorageError, r"loaded 2 of 4 rows"),
        (
            {"COPY": snowflake.connector.errors.ProgrammingError(msg="bad number", errno=100038)},
            InvalidOptionError,
            r"/T: a value does not fit: .*bad number",
        ),
    ],
)
def test_a_write_that_fails_is_rolled_back_and_its_stage_removed(answers, kind, message):
    sent, error = recorded(EXISTS | answers)
    assert isinstance(error, kind)
    assert re.search(message, str(error))
    assert "COMMIT" not in sent
    assert sent[-2:] == ["ROLLBACK", f"DROP STAGE IF EXISTS {STAGE}"]


def test_a_file_that_is_not_taken_fails_its_task():
    account = Recorder({"DESCRIBE": [], "PUT": [("a", "b", 1, 0, "NONE", "NONE", "SKIPPED", "")]})
    sink = SnowflakeDatasink(read_url(URL), connect=lambda **_: account)
    sink._columns = pa.schema([("ID", pa.int64())])
    with pytest.raises(StorageError, match="did not take a file"):
        sink.write([pa.table({"id": [1]})], None)


def test_stages_of_dead_writes_are_dropped_after_a_week():
    now = datetime.now(UTC)
    stages = [(now - timedelta(days=8), "STENOPOOL_WRITE_OLD"), (now, "STENOPOOL_WRITE_NEW")]
    sent, _ = recorded(EXISTS | {"SHOW STAGES": stages})
    assert 'DROP STAGE IF EXISTS "CALLS"."PUBLIC"."STENOPOOL_WRITE_OLD"' in sent
    assert not any("NEW" in statement for statement in sent)


def test_the_url_the_variables_and_a_named_connection_say_who_logs_in(monkeypatch):
    monkeypatch.setenv("SNOWFLAKE_USER", "env")
    monkeypatch.setenv("SNOWFLAKE_WAREHOUSE", "WH")
    table = read_url("snowflake://acct/db/%22My Schema%22/t?connection=dev&role=R")
    assert dict(table.login) == {
        "connection_name": "dev", "user": "env", "warehouse": "WH", "role": "R", "account": "acct",
    }  # fmt: skip
    assert str(table) == "snowflake://acct/DB/My Schema/T"
    assert "s3cret" not in f"{read_url(URL)!r} {read_url(URL)} {sink()}"
    for url in ("snowflake://acct/db/t", "snowflake:///a/b/c", "snowflake://u:s3cret@acct/"):
        with pytest.raises(InvalidNameError) as caught:
            read_url(url)
        assert "s3cret" not in str(caught.value)
