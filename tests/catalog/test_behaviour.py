"""What the catalog promises, over SQLite and over a real PostgreSQL."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from stenopool.catalog import ObjectName, open_catalog, tables
from stenopool.errors import (
    AlreadyExistsError,
    CatalogError,
    InvalidNameError,
    InvalidOptionError,
    NotFoundError,
)
from stenopool.model import RunRecord
from stenopool.storage import open_storage

COLUMNS = pa.schema([("path", pa.string()), ("duration_s", pa.float64())])
ROWS = pa.table({"path": ["a.wav", "b.wav"], "duration_s": [1.5, None]}, COLUMNS)
ODD = ObjectName("DB %", "sche'ma;--", 'ta"ble 😀/~?#')
STARTED = datetime(2026, 11, 23, 17, 21, 0, 123456, tzinfo=UTC)


def run_record(run_id="r1", **changes):
    made = RunRecord(
        run_id=run_id,
        source="@STENOPOOL.PUBLIC.CALLS",
        target="STENOPOOL.PUBLIC.T",
        state="running",
        options="{}",
        started_at=STARTED,
    )
    return replace(made, **changes)


def test_the_default_database_and_schema_are_always_there(catalog):
    assert catalog.databases() == ["STENOPOOL"]
    assert catalog.schemas("STENOPOOL") == ["PUBLIC"]


def test_what_one_process_made_another_opening_sees(catalog, settings):
    catalog.create_stage(catalog.name("calls"), comment="of today")
    catalog.create_table(catalog.name("t"), COLUMNS).append(ROWS)
    with open_catalog(settings) as other:
        assert other.stages() == catalog.stages()
        assert other.tables() == catalog.tables()
        assert other.table(other.name("t")).scan().to_arrow().equals(ROWS)


def test_a_catalog_crosses_to_another_process(catalog):
    catalog.create_stage(catalog.name("calls"))
    with pickle.loads(pickle.dumps(catalog)) as there:
        assert there.stages() == catalog.stages()


def test_a_new_database_has_the_schema_public(catalog):
    catalog.create_database("CALLS")
    catalog.create_schema("CALLS", "low er")
    assert catalog.databases() == ["CALLS", "STENOPOOL"]
    assert catalog.schemas("CALLS") == ["PUBLIC", "low er"]


def test_creating_twice_is_refused_or_ignored_as_told(catalog):
    with pytest.raises(AlreadyExistsError, match="STENOPOOL"):
        catalog.create_database("STENOPOOL")
    with pytest.raises(AlreadyExistsError, match=r"STENOPOOL\.PUBLIC"):
        catalog.create_schema("STENOPOOL", "PUBLIC")
    catalog.create_database("STENOPOOL", if_not_exists=True)
    catalog.create_schema("STENOPOOL", "PUBLIC", if_not_exists=True)
    assert (catalog.databases(), catalog.schemas("STENOPOOL")) == (["STENOPOOL"], ["PUBLIC"])


@pytest.mark.parametrize("name", ["", "a.b", "a\0b", "x" * 128])
def test_a_database_whose_name_cannot_be_one_is_refused(catalog, name):
    with pytest.raises(InvalidNameError):
        catalog.create_database(name)
    assert catalog.databases() == ["STENOPOOL"]


def test_a_missing_database_or_schema_is_named_with_those_that_exist(catalog):
    with pytest.raises(NotFoundError, match=r"database NOPE .* STENOPOOL"):
        catalog.schemas("NOPE")
    with pytest.raises(NotFoundError, match="database NOPE"):
        catalog.create_schema("NOPE", "S")
    for create in (catalog.create_stage, lambda name: catalog.create_table(name, COLUMNS)):
        with pytest.raises(NotFoundError, match="database NOPE"):
            create(ObjectName("NOPE", "S", "X"))
        with pytest.raises(NotFoundError, match=r"schema STENOPOOL\.NOPE .* PUBLIC"):
            create(ObjectName("STENOPOOL", "NOPE", "X"))
    assert (catalog.stages(), catalog.table_names()) == ([], [])


def test_a_missing_database_and_schema_are_made_when_told(catalog):
    catalog.create_table(ObjectName("A", "B", "T"), COLUMNS, create_missing=True)
    catalog.create_stage(ObjectName("C", "D", "S"), create_missing=True)
    assert catalog.databases() == ["A", "C", "STENOPOOL"]
    assert catalog.schemas("A") == ["B", "PUBLIC"]
    assert catalog.schemas("C") == ["D", "PUBLIC"]


def test_what_is_not_empty_is_not_dropped(catalog):
    catalog.create_table(ObjectName("A", "B", "T"), COLUMNS, create_missing=True)
    catalog.create_stage(ObjectName("A", "C", "S"), create_missing=True)
    for drop, held in (
        (lambda: catalog.drop_schema("A", "B"), r"A\.B\.T"),
        (lambda: catalog.drop_schema("A", "C"), r"@A\.C\.S"),
        (lambda: catalog.drop_database("A"), r"A\.B\.T.*@A\.C\.S"),
    ):
        with pytest.raises(CatalogError, match=held):
            drop()
    assert catalog.schemas("A") == ["B", "C", "PUBLIC"]


def test_what_is_empty_is_dropped(catalog):
    catalog.create_database("A")
    catalog.create_schema("A", "B")
    catalog.drop_schema("A", "B")
    assert catalog.schemas("A") == ["PUBLIC"]
    catalog.drop_database("A")
    assert catalog.databases() == ["STENOPOOL"]


def test_dropping_what_is_missing_is_refused_or_ignored_as_told(catalog):
    missing = ObjectName("STENOPOOL", "PUBLIC", "NOPE")
    for drop, arguments in (
        (catalog.drop_database, ["NOPE"]),
        (catalog.drop_schema, ["STENOPOOL", "NOPE"]),
        (catalog.drop_stage, [missing]),
        (catalog.drop_table, [missing]),
    ):
        with pytest.raises(NotFoundError, match="NOPE"):
            drop(*arguments)
        drop(*arguments, if_exists=True)


def test_a_stage_is_found_as_it_was_made(catalog, tmp_path):
    made = catalog.create_stage(catalog.name("calls"), url=str(tmp_path / "x"), comment="ours")
    assert made == catalog.stage(catalog.name("CALLS")) == catalog.stages()[0]
    assert (made.url, made.root, made.comment) == (str(tmp_path / "x"),) * 2 + ("ours",)
    assert abs(datetime.now(UTC) - made.created_at) < timedelta(minutes=5)


def test_a_stage_without_a_url_has_a_place_of_its_own_below_the_home(catalog, settings):
    made = catalog.create_stage(catalog.name("calls"))
    assert made.url is None
    assert made.root == f"{settings.stages}/STENOPOOL/PUBLIC/CALLS"
    assert list(open_storage(made.root).list()) == []


def test_a_stages_relative_folder_is_kept_as_an_absolute_one(catalog, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert catalog.create_stage(catalog.name("s"), url="below").root == str(tmp_path / "below")


def test_a_stages_url_is_checked(catalog):
    with pytest.raises(InvalidNameError, match="ftp"):
        catalog.create_stage(catalog.name("s"), url="ftp://host/x")
    assert catalog.stages() == []


def test_a_missing_stage_is_named_with_the_command_that_makes_it(catalog):
    with pytest.raises(NotFoundError) as said:
        catalog.stage(catalog.name("audio"))
    assert str(said.value) == (
        "stage '@STENOPOOL.PUBLIC.AUDIO' does not exist; "
        "create it with `stenopool stage create AUDIO`"
    )
    with pytest.raises(NotFoundError, match=r"stage create A\.B\.C`"):
        catalog.stage(ObjectName("A", "B", "C"))


def test_a_stage_that_exists_is_kept_refused_or_replaced_as_told(catalog, tmp_path):
    name = catalog.name("s")
    first = catalog.create_stage(name)
    with pytest.raises(AlreadyExistsError, match="@STENOPOOL"):
        catalog.create_stage(name, url=str(tmp_path))
    assert catalog.create_stage(name, url=str(tmp_path), if_not_exists=True) == first
    catalog.create_stage(name, url=str(tmp_path), or_replace=True)
    assert catalog.stage(name).url == str(tmp_path)
    with pytest.raises(InvalidOptionError):
        catalog.create_stage(name, if_not_exists=True, or_replace=True)


def test_dropping_a_stage_removes_the_files_that_it_keeps_and_no_others(catalog, tmp_path):
    (tmp_path / "users").mkdir()
    (tmp_path / "users" / "a.wav").write_bytes(b"a")
    over = catalog.create_stage(catalog.name("over"), url=str(tmp_path / "users"))
    own = catalog.create_stage(catalog.name("own"))
    open_storage(own.root).put(tmp_path / "users" / "a.wav", "a.wav")
    for stage in (over, own):
        catalog.drop_stage(stage.name)
    assert (tmp_path / "users" / "a.wav").exists()
    assert not Path(own.root).exists()
    assert list(open_storage(catalog.create_stage(own.name).root).list()) == []


def test_a_table_is_created_written_and_read(catalog):
    name = catalog.name("t")
    catalog.create_table(name, COLUMNS).append(ROWS)
    assert catalog.table(name).scan().to_arrow().equals(ROWS)
    (info,) = catalog.tables()
    assert (info.name, info.rows) == (name, 2)
    assert info.size_bytes > 0
    assert abs(datetime.now(UTC) - info.modified_at) < timedelta(minutes=5)


def test_an_empty_table_has_no_rows_and_no_size(catalog):
    catalog.create_table(catalog.name("t"), COLUMNS)
    (info,) = catalog.tables()
    assert (info.rows, info.size_bytes) == (0, 0)


def test_a_table_that_exists_is_kept_or_refused_as_told(catalog):
    name = catalog.name("t")
    catalog.create_table(name, COLUMNS).append(ROWS)
    with pytest.raises(AlreadyExistsError, match=r"STENOPOOL\.PUBLIC\.T"):
        catalog.create_table(name, COLUMNS)
    assert catalog.create_table(name, COLUMNS, if_not_exists=True).scan().to_arrow().num_rows == 2


def test_a_refused_table_leaves_no_files(catalog, settings):
    catalog.create_table(catalog.name("t"), COLUMNS)
    before = sorted(Path(settings.warehouse).rglob("*.json"))
    with pytest.raises(AlreadyExistsError):
        catalog.create_table(catalog.name("t"), COLUMNS)
    assert sorted(Path(settings.warehouse).rglob("*.json")) == before


SEGMENT = [("start_s", pa.float64()), ("text", pa.string())]


def test_a_table_gets_the_columns_and_fields_that_it_lacks_and_keeps_its_rows(catalog):
    name = catalog.name("t")
    older = pa.schema([("path", pa.string()), ("segments", pa.list_(pa.struct(SEGMENT)))])
    rows = [{"path": "a.wav", "segments": [{"start_s": 0.5, "text": "so"}]}]
    catalog.create_table(name, older).append(pa.Table.from_pylist(rows, older))
    longer = pa.list_(pa.struct([("language", pa.string()), *SEGMENT]))
    newer = pa.schema([("coverage", pa.float64()), ("path", pa.string()), ("segments", longer)])
    new = [{"path": "b.wav", "segments": [{"language": "de", "text": "ja"}], "coverage": 0.5}]

    tables.add_columns(catalog.iceberg, name, newer).append(pa.Table.from_pylist(new, newer))

    found = catalog.table(name).scan().to_arrow().sort_by("path").to_pylist()
    assert found == [
        {"path": "a.wav", "coverage": None}
        | {"segments": [{"start_s": 0.5, "text": "so", "language": None}]},
        {"path": "b.wav", "coverage": 0.5}
        | {"segments": [{"start_s": None, "text": "ja", "language": "de"}]},
    ]
    schemas = len(catalog.table(name).metadata.schemas)
    tables.add_columns(catalog.iceberg, name, newer)
    tables.add_columns(catalog.iceberg, name, older)
    assert len(catalog.table(name).metadata.schemas) == schemas == 2


def test_a_column_of_another_type_is_named_and_nothing_is_changed(catalog):
    name = catalog.name("t")
    catalog.create_table(name, pa.schema([("path", pa.string()), ("segments", pa.string())]))
    newer = pa.schema([("coverage", pa.float64()), ("segments", pa.list_(pa.struct(SEGMENT)))])
    with pytest.raises(AlreadyExistsError, match=r"table STENOPOOL\.PUBLIC\.T .*another type"):
        tables.add_columns(catalog.iceberg, name, newer)
    with pytest.raises(AlreadyExistsError, match="another type"):
        tables.add_columns(catalog.iceberg, name, pa.schema([("path", pa.int64())]))
    assert catalog.table(name).schema().column_names == ["path", "segments"]


def test_a_missing_table_is_named_in_the_error(catalog):
    with pytest.raises(NotFoundError, match=r"STENOPOOL\.PUBLIC\.T does .*stenopool tables"):
        catalog.table(catalog.name("t"))


def test_a_missing_tables_nearest_name_is_given(catalog):
    catalog.create_table(catalog.name("transcripts"), COLUMNS)
    with pytest.raises(NotFoundError, match=r"did you mean STENOPOOL\.PUBLIC\.TRANSCRIPTS"):
        catalog.table(catalog.name("transcript"))
    with pytest.raises(NotFoundError, match=r"did you mean STENOPOOL\.PUBLIC\.TRANSCRIPTS"):
        catalog.table(ObjectName("ELSE", "WHERE", "TRANSCRIPTS"))


def test_dropping_a_table_removes_its_files_and_its_name_is_free(catalog, settings):
    name = catalog.name("t")
    catalog.create_table(name, COLUMNS).append(ROWS)
    catalog.drop_table(name)
    assert catalog.tables() == []
    assert not [one for one in Path(settings.warehouse).rglob("*") if one.is_file()]
    assert catalog.create_table(name, COLUMNS).scan().to_arrow().num_rows == 0


def test_a_table_whose_metadata_is_gone_is_said_and_can_be_dropped(catalog, settings):
    table = catalog.create_table(catalog.name("t"), COLUMNS)
    Path(table.metadata_location).unlink()
    with pytest.raises(CatalogError, match=r"STENOPOOL\.PUBLIC\.T .*metadata"):
        catalog.table(catalog.name("t"))
    catalog.drop_table(catalog.name("t"))
    assert catalog.tables() == []


def test_a_warehouse_that_cannot_be_written_is_a_clear_error(settings, tmp_path):
    (tmp_path / "file").touch()
    with open_catalog(replace(settings, warehouse=str(tmp_path / "file" / "x"))) as catalog:
        with pytest.raises(NotFoundError, match="file/x"):
            catalog.create_table(catalog.name("t"), COLUMNS)
        assert catalog.table_names() == []


def test_odd_names_work_everywhere(catalog):
    catalog.create_stage(ODD, create_missing=True)
    catalog.create_table(ODD, COLUMNS).append(ROWS)
    assert catalog.stage(ODD).name == catalog.stages()[0].name == ODD
    assert catalog.table(ODD).scan().to_arrow().num_rows == 2
    assert [info.name for info in catalog.tables()] == [ODD]
    catalog.drop_table(ODD)
    catalog.drop_stage(ODD)
    catalog.drop_schema(ODD.database, ODD.schema)
    catalog.drop_database(ODD.database)
    assert catalog.databases() == ["STENOPOOL"]


def test_names_that_differ_in_case_alone_are_two(catalog):
    upper, lower = catalog.name("t"), catalog.name('"t"')
    catalog.create_table(upper, COLUMNS)
    catalog.create_table(lower, COLUMNS).append(ROWS)
    assert {info.name: info.rows for info in catalog.tables()} == {upper: 0, lower: 2}


def test_the_longest_names_fit(catalog):
    longest = ObjectName("D" * 127, "é" * 127, "T" * 127)
    catalog.create_table(longest, COLUMNS, create_missing=True).append(ROWS)
    assert catalog.table(longest).scan().to_arrow().num_rows == 2


def test_a_run_is_found_as_it_was_saved(catalog):
    run = run_record(
        ended_at=STARTED + timedelta(hours=2),
        state="failed",
        listed=2**40,
        audio_s=1234.5678901234567,
        error='it\'s "quoted"\nand 😀',
        details={"failures": {"not_audio": 3}, "note": None},
    )
    catalog.save_run(run)
    assert catalog.run("r1") == run
    assert catalog.run("r1").started_at.tzinfo is UTC


def test_saving_a_run_again_replaces_it(catalog):
    catalog.save_run(run_record())
    catalog.save_run(run_record(state="succeeded", done=5))
    assert [(run.state, run.done) for run in catalog.runs()] == [("succeeded", 5)]


def test_runs_come_newest_first_for_one_table_or_all(catalog):
    target = catalog.name("t")
    for number, into in enumerate([target, catalog.name("u"), target]):
        started = STARTED + timedelta(seconds=number)
        catalog.save_run(run_record(f"r{number}", target=str(into), started_at=started))
    assert [run.run_id for run in catalog.runs()] == ["r2", "r1", "r0"]
    assert [run.run_id for run in catalog.runs(target)] == ["r2", "r0"]
    assert catalog.runs(catalog.name("v")) == []


def test_a_time_in_another_zone_is_kept_as_the_same_moment(catalog):
    from zoneinfo import ZoneInfo

    catalog.save_run(run_record(started_at=STARTED.astimezone(ZoneInfo("Asia/Tokyo"))))
    assert catalog.run("r1").started_at == STARTED


def test_an_error_text_that_no_database_takes_is_kept_as_far_as_it_goes(catalog):
    catalog.save_run(run_record(error="a\0b \udcff c", details={"file": "\udcff\0"}))
    assert catalog.run("r1").error == "a\ufffdb ? c"
    assert catalog.run("r1").details == {"file": "\udcff\0"}


def test_a_missing_run_is_named(catalog):
    with pytest.raises(NotFoundError, match=r"'nope'.*stenopool runs"):
        catalog.run("nope")
