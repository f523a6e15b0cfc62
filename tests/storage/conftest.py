"""One storage of every kind, each empty, and files to put into them."""

from __future__ import annotations

from uuid import uuid4

import pytest

from stenopool.storage import open_storage

KINDS = ("local", "s3", "memory")
"""`memory` is fsspec's file system in memory: it runs the code that gs:// and az:// share."""


@pytest.fixture(params=KINDS)
def storage(request, tmp_path):
    """An empty storage whose root has a parent, so that leaving it would be possible."""
    if request.param == "local":
        (tmp_path / "top" / "root").mkdir(parents=True)
        return open_storage(str(tmp_path / "top" / "root"))
    if request.param == "s3":
        return open_storage(f"s3://{request.getfixturevalue('bucket')}/top/root")
    made = open_storage(f"memory://test-{uuid4().hex}/top/root")
    made.files.mkdir(made.base.partition("/")[0])
    return made


@pytest.fixture
def new_file(tmp_path):
    """Make a local file with this content."""

    def make(content: bytes):
        place = tmp_path / f"{uuid4().hex}.local"
        place.write_bytes(content)
        return place

    return make


@pytest.fixture
def fill(storage, new_file):
    """Put a file with its own path as content under each of these paths."""

    def put(*paths: str):
        for path in paths:
            assert storage.put(new_file(path.encode()), path)
        return storage

    return put
