"""A catalog of its own for each test, known to this process through the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from stenopool.catalog import open_catalog
from stenopool.settings import Settings


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("STENOPOOL_HOME", str(tmp_path / "home"))
    return Settings.from_env()


@pytest.fixture
def orphans(settings):
    """Data files and notes of writes that belong to no snapshot of any table."""

    def look():
        with open_catalog(settings) as catalog:
            tables = [catalog.table(name) for name in catalog.table_names()]
        known = {
            entry.data_file.file_path
            for table in tables
            for snapshot in table.snapshots()
            for manifest in snapshot.manifests(table.io)
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False)
        }
        there = [str(p) for p in Path(settings.warehouse).rglob("*") if p.is_file()]
        loose = [p for p in there if p.endswith((".parquet", ".json")) and "/metadata/" not in p]
        return [path for path in loose if path not in known]

    return look
