"""A fresh catalog in SQLite and in PostgreSQL, with all else in a temporary folder."""

from __future__ import annotations

import pytest

from stenopool.catalog import open_catalog
from stenopool.settings import Settings


def settings_below(folder, **variables):
    return Settings.from_env({"STENOPOOL_HOME": str(folder / "home")} | variables)


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request, tmp_path):
    if request.param == "sqlite":
        return settings_below(tmp_path)
    return settings_below(tmp_path, STENOPOOL_CATALOG=request.getfixturevalue("postgres_url"))


@pytest.fixture
def catalog(settings):
    with open_catalog(settings) as opened:
        yield opened


@pytest.fixture
def local_catalog(tmp_path):
    """For what does not depend on the kind of database."""
    with open_catalog(settings_below(tmp_path)) as opened:
        yield opened
