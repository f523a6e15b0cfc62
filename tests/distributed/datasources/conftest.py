"""A stage in a folder or in a bucket, in a home of its own, and files in it."""

from __future__ import annotations

import pytest
import ray.data

from stenopool.catalog import open_catalog
from stenopool.distributed.cluster import quiet_ray_data
from stenopool.settings import Settings
from stenopool.storage import open_storage


class Stage:
    """A stage of a test: `put` writes a file, `remove` takes one away."""

    def __init__(self, name, root, scratch):
        self.name = name
        self.storage = open_storage(root)
        self.scratch = scratch

    def put(self, path, content):
        local = self.scratch / "upload"
        local.write_bytes(content)
        self.storage.put(local, path, overwrite=True)

    def remove(self, *paths):
        for path in paths:
            self.storage.remove(path)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The settings of a fresh installation, which the environment names."""
    monkeypatch.setenv("STENOPOOL_HOME", str(tmp_path / "home"))
    return Settings.from_env()


@pytest.fixture
def new_stage(home, tmp_path):
    """`new_stage(name, url=None)`: make a stage; a name may be qualified and quoted."""

    def make(name, url=None):
        with open_catalog(home) as catalog:
            made = catalog.create_stage(catalog.name(name), url=url, create_missing=True)
        return Stage(str(made), made.root, tmp_path)

    return make


@pytest.fixture
def folder_stage(new_stage):
    """`@CALLS`, in a folder."""
    return new_stage("CALLS")


@pytest.fixture(params=["folder", "bucket"])
def stage(request, new_stage):
    """`@CALLS`, once in a folder and once in a bucket."""
    if request.param == "folder":
        return new_stage("CALLS")
    return new_stage("CALLS", f"s3://{request.getfixturevalue('bucket')}/some prefix")


@pytest.fixture
def read(ray_cluster):
    """`read(datasource, **options)`: the dataset, with nothing on the terminal."""

    def dataset(datasource, **options):
        quiet_ray_data()
        return ray.data.read_datasource(datasource, **options)

    return dataset


def by_path(dataset, column="file_binary"):
    """What a dataset holds, by path; fails where a path comes twice."""
    rows = dataset.take_all()
    found = {row["path"]: row[column] for row in rows}
    assert len(found) == len(rows)
    return found
