"""What every storage promises, run over a local folder, an S3 server and fsspec's memory."""

from __future__ import annotations

import io
import os
import pickle
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stenopool.errors import AlreadyExistsError, InvalidNameError, NotFoundError
from stenopool.storage import open_storage

ODD_NAMES = [
    "with space.wav",
    'it\'s "quoted".wav',
    "line\nbreak.wav",
    "tab\t.wav",
    "😀/émoji.flac",
    "#hash?question%20percent.wav",
    "[bracket]*star.wav",
    "{brace},~tilde;&=+.wav",
    " leading and trailing ",
    "deep/er/and/deeper.wav",
    "back\\slash.wav",
    ".hidden",
    "a:b::c.wav",
    "-dash",
    "~",
]
ESCAPES = ["..", "../x", "a/../../x", "a/..", "/etc/passwd", "/", "a\0b", ""]


def read(storage, path):
    with storage.open(path) as file:
        return file.read()


def paths(found):
    return [one.path for one in found]


def serves(storage, name):
    """Whether a test double can hold the name.

    Moto's HTTP server has no route for a line break in a key, S3 itself has; fsspec's memory
    takes `::` for its own mark.
    """
    lacks = {"s3": "\n", "memory": "::"}.get(storage.root.partition("://")[0], "\0")
    return lacks not in name


@pytest.mark.parametrize("content", [b"", b"x", os.urandom(100_000)], ids=["empty", "one", "many"])
def test_what_was_put_is_read(storage, new_file, content):
    assert storage.put(new_file(content), "a/b.wav") is True
    assert read(storage, "a/b.wav") == content
    assert storage.stat("a/b.wav").size_bytes == len(content)


def test_odd_names_are_put_listed_read_copied_and_removed(storage, fill, tmp_path):
    names = [name for name in ODD_NAMES if serves(storage, name)]
    fill(*names)
    assert sorted(paths(storage.list())) == sorted(names)
    for number, name in enumerate(names):
        assert read(storage, name) == name.encode()
        assert paths(storage.list(name)) == [name]
        storage.get(name, tmp_path / "copies" / str(number))
        assert (tmp_path / "copies" / str(number)).read_bytes() == name.encode()
        storage.remove(name)
    assert list(storage.list()) == []


def test_a_listing_says_what_stat_says(fill):
    storage = fill("a.wav", "b/c.wav", "b/d.wav")
    assert list(storage.list()) == [storage.stat(path) for path in ("a.wav", "b/c.wav", "b/d.wav")]


def test_a_file_knows_when_it_was_written_in_utc(fill):
    written = fill("a.wav").stat("a.wav").modified_at
    assert written.tzinfo is UTC
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=5)


def test_an_empty_root_lists_nothing(storage):
    assert list(storage.list()) == []


def test_a_prefix_is_a_folder_and_not_the_start_of_a_name(fill):
    storage = fill("a/1.wav", "a/b/2.wav", "ab/3.wav", "a.wav")
    assert sorted(paths(storage.list("a"))) == ["a/1.wav", "a/b/2.wav"]
    assert sorted(paths(storage.list("a/"))) == ["a/1.wav", "a/b/2.wav"]
    assert paths(storage.list("a/b")) == ["a/b/2.wav"]


def test_a_prefix_may_be_one_file(fill):
    storage = fill("a/1.wav", "a/10.wav")
    assert list(storage.list("a/1.wav")) == [storage.stat("a/1.wav")]


@pytest.mark.parametrize("prefix", ["nope", "a/nope", "a/1.wav/nope", "a/1", "nope/"])
def test_a_missing_prefix_is_named_before_the_first_file(fill, prefix):
    storage = fill("a/1.wav")
    with pytest.raises(NotFoundError, match=prefix.rstrip("/")):
        storage.list(prefix)


def test_files_are_sorted_within_their_folder(fill):
    storage = fill("b.wav", "a.wav", "c/z.wav", "c/B.wav", "c/a.wav", "c/é.wav")
    for folder in ("", "c/"):
        names = [p for p in paths(storage.list()) if p.rpartition("/")[0] == folder.rstrip("/")]
        assert names == sorted(names, key=str.encode)
        assert len(names) in (2, 4)


def test_patterns_choose_by_name_or_by_path_below_the_prefix(fill):
    storage = fill("x/a.wav", "x/b.flac", "x/y/c.wav", "d.wav")
    assert sorted(paths(storage.list("", ["*.wav"]))) == ["d.wav", "x/a.wav", "x/y/c.wav"]
    assert sorted(paths(storage.list("x", ["y/*"]))) == ["x/y/c.wav"]
    assert sorted(paths(storage.list("x", ["/*.wav", "*.flac"]))) == ["x/a.wav", "x/b.flac"]
    assert list(storage.list("x/a.wav", ["*.flac"])) == []
    assert paths(storage.list("x/a.wav", ["a.*"])) == ["x/a.wav"]


def test_the_same_content_is_not_written_again(storage, new_file):
    storage.put(new_file(b"same"), "a")
    before = storage.stat("a")
    assert storage.put(new_file(b"same"), "a") is False
    assert storage.put(new_file(b"same"), "a", overwrite=True) is False
    assert storage.stat("a") == before


@pytest.mark.parametrize("other", [b"diff", b"longer"], ids=["same size", "other size"])
def test_other_content_is_refused_unless_told_to_overwrite(storage, new_file, other):
    storage.put(new_file(b"same"), "a")
    before = storage.stat("a")
    with pytest.raises(AlreadyExistsError, match="overwrite"):
        storage.put(new_file(other), "a")
    assert read(storage, "a") == b"same"
    assert storage.put(new_file(other), "a", overwrite=True) is True
    assert read(storage, "a") == other
    assert storage.stat("a").etag != before.etag


def test_putting_what_is_no_file_is_refused(storage, tmp_path):
    with pytest.raises(NotFoundError, match="gone"):
        storage.put(tmp_path / "gone", "a")
    with pytest.raises(InvalidNameError, match="folder"):
        storage.put(tmp_path, "a")


@pytest.mark.parametrize("path", ["nope", "a/nope", "a"], ids=["missing", "in a folder", "folder"])
@pytest.mark.parametrize("act", ["open", "stat", "remove", "get"])
def test_what_is_no_file_is_not_found(fill, tmp_path, path, act):
    storage = fill("a/1.wav")
    arguments = [tmp_path / "copy"] if act == "get" else []
    with pytest.raises(NotFoundError, match=path):
        getattr(storage, act)(path, *arguments)
    assert read(storage, "a/1.wav") == b"a/1.wav"


@pytest.mark.parametrize("path", ESCAPES)
def test_no_path_leaves_the_root(storage, new_file, tmp_path, path):
    with pytest.raises(InvalidNameError):
        storage.put(new_file(b"x"), path)
    with pytest.raises(InvalidNameError):
        storage.get(path, tmp_path / "copy")
    for act in (storage.open, storage.stat, storage.remove):
        with pytest.raises(InvalidNameError):
            act(path)


@pytest.mark.parametrize("prefix", [path for path in ESCAPES if path])
def test_no_listing_leaves_the_root(storage, prefix):
    with pytest.raises(InvalidNameError):
        storage.list(prefix)


def test_a_failed_get_leaves_the_old_copy_and_nothing_else(storage, tmp_path):
    folder = tmp_path / "copies"
    folder.mkdir()
    (folder / "a").write_bytes(b"old")
    with pytest.raises(NotFoundError):
        storage.get("nope", folder / "a")
    assert [(one.name, one.read_bytes()) for one in folder.iterdir()] == [("a", b"old")]


def test_a_get_replaces_the_old_copy(fill, tmp_path):
    (tmp_path / "copy").write_bytes(b"old")
    fill("a").get("a", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"a"


def test_removed_is_gone(fill):
    storage = fill("a/1.wav", "a/2.wav")
    storage.remove("a/1.wav")
    assert paths(storage.list()) == ["a/2.wav"]
    with pytest.raises(NotFoundError):
        storage.open("a/1.wav")


def test_clearing_removes_all_files_below_the_root_and_no_other(fill, new_file):
    storage = fill("a.wav", "b/c.wav")
    beside = open_storage(storage.root.removesuffix("/root"))
    beside.put(new_file(b"stays"), "rootless.wav")
    storage.clear()
    assert paths(beside.list()) == ["rootless.wav"]


def test_clearing_what_is_not_there_is_no_error(storage):
    storage.clear()
    storage.clear()


def test_a_storage_crosses_to_another_process(fill):
    storage = fill("a.wav")
    there = pickle.loads(pickle.dumps(storage))
    assert (type(there), there.root) == (type(storage), storage.root)
    assert list(there.list()) == list(storage.list())


def test_a_uri_is_the_root_and_the_path(storage):
    assert storage.uri("a b/c.wav") == f"{storage.root}/a b/c.wav"


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    moves=st.lists(
        st.one_of(
            st.tuples(st.just("seek"), st.integers(0, 5000), st.just(0)),
            st.tuples(st.just("seek"), st.integers(-4000, 0), st.just(2)),
            st.tuples(st.just("read"), st.integers(-1, 3000)),
        ),
        max_size=12,
    )
)
def test_an_open_file_reads_and_seeks_as_bytes_in_memory_do(storage, new_file, moves):
    content = bytes(range(256)) * 16
    storage.put(new_file(content), "seekable")
    with storage.open("seekable") as file, io.BytesIO(content) as oracle:
        assert file.seekable()
        assert file.readable()
        for move, *arguments in moves:
            assert getattr(file, move)(*arguments) == getattr(oracle, move)(*arguments)
            assert file.tell() == oracle.tell()
