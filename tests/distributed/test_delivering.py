"""A run into a folder or a database of others brings each row there, once."""

from __future__ import annotations

import shutil
from urllib.parse import urlsplit

import duckdb
import psycopg
import pyarrow as pa
import pytest
import ray.data

import stenopool
from distributed.conftest import AUDIO, speech, write_wav
from stenopool.catalog import open_catalog
from stenopool.catalog.transcripts import transcript_schema
from stenopool.distributed.delivering import Delivery
from stenopool.errors import InvalidOptionError, NotFoundError, RunFailedError

pytestmark = pytest.mark.integration

FLAGS = {"coverage", "avg_logprob", "low_confidence_share", "compression_ratio", "silence_phrases"}
"""Columns that the first versions had not."""


@pytest.fixture
def digits(folder):
    """Three real recordings of one word each."""
    for path in sorted((AUDIO / "digits").glob("*_george_1.wav"))[:3]:
        shutil.copy(path, folder)
    return folder


class Folder:
    """A folder as a destination, and what its readers see."""

    def __init__(self, path):
        self.to = f"{path}/"
        self.path = path

    def seen(self):
        form = "json_auto" if self.path.suffix == ".jsonl" else "parquet"
        files = f"{self.path}/**/*{self.path.suffix or '.parquet'}"
        if not self.path.exists():
            return []
        rows = f"SELECT transcript_id, run_id, path FROM read_{form}('{files}')"
        with duckdb.connect() as reader:
            return sorted(reader.sql(rows).fetchall())

    def close(self):
        self.path.parent.mkdir()
        self.path.touch()

    def open(self):
        self.path.unlink()


class Postgres:
    """A table of PostgreSQL as a destination, and what its readers see."""

    def __init__(self, url):
        parts = urlsplit(url)
        self._schema = parts.query.rpartition("%3D")[2]
        base = f"postgresql://{parts.username}:s3cret@{parts.hostname}:{parts.port}{parts.path}"
        self.to = f"{base}/{self._schema}/Calls"
        self._conninfo = url.replace("postgresql+psycopg", "postgresql")

    def _run(self, statement):
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else None

    def seen(self):
        if self._run("SELECT to_regclass('calls')") == [(None,)]:
            return []
        return sorted(self._run("SELECT transcript_id, run_id, path FROM calls"))

    def close(self):
        self._run("CREATE VIEW calls AS SELECT 'x' AS transcript_id")

    def open(self):
        self._run("DROP VIEW calls")


@pytest.fixture(params=["parquet", "postgres"])
def destination(request, tmp_path):
    if request.param == "postgres":
        return Postgres(request.getfixturevalue("postgres_url"))
    return Folder(tmp_path / "out" / ("rows.jsonl" if request.param == "lines" else "rows"))


@pytest.mark.proof
@pytest.mark.parametrize("destination", ["parquet", "lines", "postgres"], indirect=True)
def test_each_row_is_delivered_once(run, settings, rows, digits, destination):
    first = run(digits, destination.to)
    assert first.details["delivered"] == 3
    assert {path for *_, path in destination.seen()} == {file.name for file in digits.iterdir()}
    before = destination.seen()

    again = run(digits, destination.to)
    assert (again.recordings, again.details["delivered"]) == (0, 0)
    assert destination.seen() == before

    write_wav(digits / "new.wav", speech(1))
    assert run(digits, destination.to).details["delivered"] == 1
    assert len(destination.seen()) == 4
    assert set(before) < set(destination.seen())

    replacing = run(digits, destination.to, overwrite=True)
    assert {(key, replacing.run_id) for key, *_ in before} < {row[:2] for row in destination.seen()}
    assert len(destination.seen()) == 4
    assert "s3cret" not in str(replacing)
    assert rows(f"SELECT count(*) FROM {first.target}") == [(4,)]


@pytest.mark.proof
def test_rows_go_beside_those_that_an_older_version_brought(run, digits, destination):
    newest = transcript_schema()
    older = pa.schema([field for field in newest if field.name not in FLAGS])
    said = newest.field("segments").type.value_type
    at = older.get_field_index("segments")
    without = pa.struct([field for field in said if field.name != "language"])
    older = older.set(at, pa.field("segments", pa.list_(without)))
    row = {"transcript_id": "0" * 32, "run_id": "older", "path": "old.wav", "segments": []}
    stenopool.write(ray.data.from_arrow(pa.Table.from_pylist([row], older)), destination.to)

    assert run(digits, destination.to).details["delivered"] == 3
    assert len(destination.seen()) == 4
    assert ("0" * 32, "older", "old.wav") in destination.seen()


@pytest.mark.proof
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_delivery_that_failed_is_made_up_for_and_nothing_done_again(
    run, settings, digits, destination, overwrite
):
    def on_progress(progress):
        if progress.phase == "delivering":
            destination.close()

    with pytest.raises(RunFailedError, match=r"kept in table .*DELIVERIES.*the same command"):
        run(digits, destination.to, on_progress=on_progress, overwrite=overwrite)
    destination.open()
    assert destination.seen() == []
    phases = []
    record = run(
        digits,
        destination.to,
        on_progress=lambda progress: phases.append(progress.phase),
        overwrite=overwrite,
    )
    assert "transcribing" not in phases
    assert (record.state, record.details["delivered"], record.recordings) == ("succeeded", 3, 3)
    assert len(destination.seen()) == 3
    with open_catalog(settings) as catalog:
        assert len(catalog.runs()) == 1


@pytest.mark.proof
def test_a_run_that_dies_behind_its_delivery_delivers_nothing_twice(
    run, digits, destination, monkeypatch
):
    deliver = Delivery.deliver

    def dies(*arguments, **options):
        deliver(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Delivery, "deliver", dies)
    with pytest.raises(KeyboardInterrupt):
        run(digits, destination.to)
    monkeypatch.undo()
    before = destination.seen()
    assert len(before) == 3
    write_wav(digits / "new.wav", speech(1))
    assert run(digits, destination.to).details["delivered"] == 1
    assert len(destination.seen()) == 4
    assert set(before) < set(destination.seen())


@pytest.mark.proof
def test_overwriting_keeps_what_others_brought_into_a_folder(run, settings, digits, tmp_path):
    target = Folder(tmp_path / "out" / "rows")
    run(digits, target.to)
    with open_catalog(settings) as catalog:
        [name] = [name for name in catalog.table_names() if name.name != "RUNS"]
        catalog.drop_table(name)
    with pytest.raises(RunFailedError, match=r"has 2 rows that .* --overwrite would remove"):
        run(digits, target.to, overwrite=True, limit=1)
    assert len(target.seen()) == 3


def test_a_destination_that_cannot_be_is_named_before_anything_starts(
    run, settings, digits, postgres_url
):
    postgres = Postgres(postgres_url)
    nowhere = postgres.to.rsplit("/", 2)[0] + "/nowhere/calls"
    with pytest.raises(NotFoundError, match="'nowhere' does not exist"):
        run(digits, nowhere)
    postgres._run("CREATE TABLE calls (transcript_id bigint)")
    with pytest.raises(InvalidOptionError, match=r"calls: .*'transcript_id' is of type bigint"):
        run(digits, postgres.to)
    with open_catalog(settings) as catalog:
        assert list(catalog.runs()) == []
        assert catalog.tables() == []
