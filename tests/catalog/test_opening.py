"""Opening a catalog: by many at once, of another version, and where it cannot be."""

from __future__ import annotations

import fcntl
import pickle
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy

from stenopool.catalog import open_catalog, schema
from stenopool.catalog.engine import open_engine
from stenopool.errors import CatalogError, InvalidOptionError, MissingExtraError
from stenopool.settings import Settings

PROCESSES = 2
AT_ONCE = textwrap.dedent(
    """
    import pickle, sys, time
    from stenopool.catalog import open_catalog
    from stenopool.catalog.runs import RunRecord
    from datetime import UTC, datetime
    import pyarrow as pa
    settings = pickle.loads(bytes.fromhex(sys.argv[1]))
    number = sys.argv[2]
    print("ready", flush=True)
    sys.stdin.readline()
    with open_catalog(settings) as catalog:
        for count in range(3):
            catalog.create_stage(catalog.name(f"s{number}_{count}"))
            catalog.create_stage(catalog.name("shared"), if_not_exists=True)
            catalog.save_run(RunRecord(run_id=f"{number}-{count}", source="", target="T",
                state="running", options="", started_at=datetime.now(UTC)))
        columns = pa.schema([("n", pa.int64())])
        catalog.create_table(catalog.name("shared"), columns, if_not_exists=True)
        catalog.create_table(catalog.name(f"t{number}"), columns).append(
            pa.table({"n": [1]}, columns))
    """
)


def test_processes_that_open_a_fresh_home_at_the_same_moment_all_succeed(settings):
    payload = pickle.dumps(settings).hex()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", AT_ONCE, payload, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES, said
    with open_catalog(settings) as catalog:
        assert len(catalog.stages()) == 3 * PROCESSES + 1
        assert len(catalog.runs()) == 3 * PROCESSES
        assert sum(info.rows for info in catalog.tables()) == PROCESSES
        assert len(catalog.tables()) == PROCESSES + 1


def test_who_opens_a_fresh_home_waits_for_another_that_is_making_it(tmp_path):
    """SQLite's own waiting does not cover the change to WAL."""
    settings = Settings.from_env({"STENOPOOL_HOME": str(tmp_path)})
    with ThreadPoolExecutor(1) as pool, (tmp_path / "catalog.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        opening = pool.submit(open_catalog, settings)
        with pytest.raises(TimeoutError):
            opening.result(timeout=0.3)
        fcntl.flock(lock, fcntl.LOCK_UN)
        with opening.result(timeout=30) as catalog:
            assert catalog.databases() == ["STENOPOOL"]


def test_a_catalog_of_a_newer_version_is_refused(settings):
    open_catalog(settings).close()
    engine = open_engine(settings)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.update(schema.version).values(version=schema.VERSION + 1))
    engine.dispose()
    with pytest.raises(CatalogError, match=r"version 3.*pip install --upgrade"):
        open_catalog(settings)


def test_sqlite_waits_for_writers_and_lets_readers_read(local_catalog):
    with local_catalog._engine.connect() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "busy_timeout", "foreign_keys")
        }
    assert pragma == {"journal_mode": "wal", "busy_timeout": 30_000, "foreign_keys": 1}


def test_a_reader_is_not_held_up_by_a_writer(local_catalog):
    from stenopool.catalog.engine import writing

    with writing(local_catalog._engine):
        assert local_catalog.databases() == ["STENOPOOL"]


def test_a_home_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    settings = Settings.from_env({"STENOPOOL_HOME": str(tmp_path / "file" / "home")})
    with pytest.raises(CatalogError, match="file/home") as said:
        open_catalog(settings)
    assert "\n" not in str(said.value)


def test_a_file_that_is_no_catalog_is_one_clear_error(tmp_path):
    (tmp_path / "catalog.db").write_bytes(b"not a database at all, but long enough" * 100)
    with pytest.raises(CatalogError, match=r"catalog\.db"):
        open_catalog(Settings.from_env({"STENOPOOL_HOME": str(tmp_path)}))


def test_a_server_that_is_away_is_said_without_the_password(tmp_path):
    url = "postgresql+psycopg://user:secret@127.0.0.1:9/x"
    settings = Settings.from_env({"STENOPOOL_HOME": str(tmp_path), "STENOPOOL_CATALOG": url})
    with pytest.raises(CatalogError, match=r"127\.0\.0\.1") as said:
        open_catalog(settings)
    assert "secret" not in str(said.value)


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/x", "sqlite+nope:///x", "://"])
def test_a_url_that_names_no_supported_database_is_refused(tmp_path, url):
    settings = Settings.from_env({"STENOPOOL_HOME": str(tmp_path), "STENOPOOL_CATALOG": url})
    with pytest.raises(InvalidOptionError, match="STENOPOOL_CATALOG"):
        open_catalog(settings)


def test_a_missing_driver_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    url = "postgresql://user@127.0.0.1:9/x"
    settings = Settings.from_env({"STENOPOOL_HOME": str(tmp_path), "STENOPOOL_CATALOG": url})
    with pytest.raises(MissingExtraError, match=r"stenopool\[postgres\]"):
        open_catalog(settings)


def test_the_password_does_not_travel_with_a_table(postgres_url, tmp_path):
    import pyarrow as pa

    url = postgres_url.replace("stenopool@", "stenopool:secret@")
    settings = Settings.from_env({"STENOPOOL_HOME": str(tmp_path), "STENOPOOL_CATALOG": url})
    with open_catalog(settings) as catalog:
        table = catalog.create_table(catalog.name("t"), pa.schema([("n", pa.int64())]))
        assert b"secret" not in pickle.dumps((table.io, table.metadata))


def test_a_catalog_in_memory_is_the_real_one(tmp_path):
    import pyarrow as pa

    variables = {"STENOPOOL_HOME": str(tmp_path), "STENOPOOL_CATALOG": "sqlite://"}
    with open_catalog(Settings.from_env(variables)) as catalog:
        catalog.create_table(catalog.name("t"), pa.schema([("n", pa.int64())]))
        assert [str(name) for name in catalog.table_names()] == ["STENOPOOL.PUBLIC.T"]
    assert not list(tmp_path.glob("*.db"))


def test_importing_the_catalog_loads_no_heavy_library():
    program = (
        "import sys, stenopool.catalog, stenopool.storage\n"
        "heavy = {'pyarrow', 'pyiceberg', 'duckdb', 'fsspec', 'numpy', 'ray', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
