"""Which storage a root names, and what is said of one that names none."""

from __future__ import annotations

import sys

import pytest

from stenopool.errors import InvalidNameError, MissingExtraError
from stenopool.storage import Storage, open_storage


@pytest.mark.parametrize(
    ("root", "kept"),
    [
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b"),
        ("/", "/"),
        ("/a//b/./c", "/a/b/c"),
        ("file:///a/b%20c", "/a/b c"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a b/c/", "s3://bucket/a b/c"),
        ("https://host/folder", "https://host/folder"),
    ],
)
def test_a_root_is_kept_in_one_spelling(root, kept):
    storage = open_storage(root)
    assert isinstance(storage, Storage)
    assert storage.root == kept
    assert repr(kept) in repr(storage)


@pytest.mark.parametrize(
    "root",
    ["", "relative", "./a", "~/a", "s3://", "s3:///key", "s3://b/../c", "ftp://host/a", "/a\0b"],
)
def test_what_is_no_root_is_refused(root):
    with pytest.raises(InvalidNameError):
        open_storage(root)


@pytest.mark.parametrize(("scheme", "extra"), [("gs", "gcs"), ("az", "azure")])
def test_a_missing_extra_is_named(scheme, extra, monkeypatch):
    for library in ("gcsfs", "adlfs"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"stenopool\[{extra}\]"):
        open_storage(f"{scheme}://bucket/x")
