"""A worker that is lost in the middle of a write costs no row, and doubles none."""

from __future__ import annotations

import os
import signal
from urllib.parse import urlsplit

import psycopg
import pyarrow.dataset
import pytest
import ray.data

from stenopool.distributed.datasinks.folder import FolderDatasink
from stenopool.distributed.datasinks.postgres import PostgresDatasink, read_url

pytestmark = [pytest.mark.integration, pytest.mark.proof]


class Deadly:
    """A datasink whose second task kills its worker once, after it has written its rows."""

    min_bytes_per_write = 1  # a task a block
    marker = None

    def write(self, blocks, ctx):
        part = super().write(blocks, ctx)
        if ctx.task_idx == 1 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return part


class DeadlyFolder(Deadly, FolderDatasink):
    pass


class DeadlyPostgres(Deadly, PostgresDatasink):
    pass


def written(sink, tmp_path):
    """Write 100 rows; gives how many the sink counts."""
    sink.marker = tmp_path / "was killed"
    ray.data.range(100, override_num_blocks=4).write_datasink(sink)
    assert sink.marker.exists()
    return sink.rows


def test_in_a_folder(ray_cluster, tmp_path):
    target = tmp_path / "out"
    assert written(DeadlyFolder(target), tmp_path) == 100
    found = pyarrow.dataset.dataset(target).to_table()["id"].to_pylist()
    assert sorted(found) == list(range(100))
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_in_postgresql(ray_cluster, tmp_path, postgres_url):
    parts = urlsplit(postgres_url)
    table = read_url(f"postgresql://{parts.netloc}{parts.path}/t?{parts.query}")
    assert written(DeadlyPostgres(table), tmp_path) == 100
    with psycopg.connect(table.conninfo) as reader:
        found = reader.execute("SELECT id FROM t ORDER BY id").fetchall()
        left = reader.execute("SELECT 1 FROM pg_class WHERE relname LIKE 'stenopool_write%'")
        assert found == [(number,) for number in range(100)]
        assert left.fetchall() == []
