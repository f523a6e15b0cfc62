"""A catalog with a few tables, its data in a folder and in a bucket of a real S3 server."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from stenopool.catalog import open_catalog
from stenopool.settings import Settings
from stenopool.warehouse import query

SEGMENT = pa.struct([("start_s", pa.float64()), ("text", pa.string())])
COLUMNS = pa.schema(
    [
        ("path", pa.string()),
        ("text", pa.string()),
        ("duration_s", pa.float64()),
        ("segments", pa.list_(SEGMENT)),
        ("transcribed_at", pa.timestamp("us", "UTC")),
    ]
)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROWS = pa.table(
    {
        "path": ["a.wav", "b.wav", "c.wav"],
        "text": ["one two", "", None],
        "duration_s": [1.5, 2.5, None],
        "segments": [[{"start_s": 0.0, "text": "one"}, {"start_s": 0.7, "text": "two"}], [], None],
        "transcribed_at": [NOON, NOON, NOON],
    },
    COLUMNS,
)


@pytest.fixture(params=["folder", "bucket"])
def catalog(request, tmp_path):
    """`CALLS.PUBLIC.TRANSCRIPTS`, `STENOPOOL.PUBLIC.T`, `…"low er"` and an empty `…EMPTY`."""
    variables = {"STENOPOOL_HOME": str(tmp_path / "home")}
    if request.param == "bucket":
        variables["STENOPOOL_WAREHOUSE"] = f"s3://{request.getfixturevalue('bucket')}/tables"
    with open_catalog(Settings.from_env(variables)) as opened:
        for name in ("calls.public.transcripts", "t", '"low er"'):
            table = opened.create_table(opened.name(name), COLUMNS, create_missing=True)
            table.append(ROWS)
        opened.create_table(opened.name("empty"), COLUMNS)
        yield opened


@pytest.fixture(scope="session")
def folder_catalog(tmp_path_factory):
    """Such a catalog in a folder, for queries that change nothing."""
    home = tmp_path_factory.mktemp("warehouse")
    with open_catalog(Settings.from_env({"STENOPOOL_HOME": str(home)})) as opened:
        for name in ("calls.public.transcripts", "t", '"low er"'):
            table = opened.create_table(opened.name(name), COLUMNS, create_missing=True)
            table.append(ROWS)
        opened.create_table(opened.name("empty"), COLUMNS)
        opened.create_stage(opened.name("calls"), comment="ours")
        yield opened


@pytest.fixture
def sql(folder_catalog):
    """Run a query and give its rows."""
    return lambda text: query(text, folder_catalog, folder_catalog.settings).fetchall()


@pytest.fixture
def relation(folder_catalog):
    return lambda text: query(text, folder_catalog, folder_catalog.settings)
