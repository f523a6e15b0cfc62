"""What is special about a local folder: links, pipes, permissions, order and half-written files."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stenopool.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    InvalidNameError,
    NotFoundError,
    StorageError,
)
from stenopool.storage import open_storage
from stenopool.storage.base import placing
from stenopool.storage.paths import temporary_name

NAMES = st.text(st.sampled_from("ab-.Z é0😀\udcff"), min_size=1, max_size=3).filter(
    lambda name: set(name) != {"."}
)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "real.wav").write_bytes(b"inside")
    (tmp_path / "secret.wav").write_bytes(b"outside")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.wav").write_bytes(b"outside")
    return root


@pytest.fixture
def local(folder):
    return open_storage(str(folder))


def paths(found):
    return [one.path for one in found]


def test_a_link_to_a_file_outside_is_neither_listed_nor_opened(folder, local, caplog):
    (folder / "link.wav").symlink_to("../secret.wav")
    assert paths(local.list()) == ["real.wav"]
    assert "link.wav" in caplog.text
    for act in (local.open, local.stat, local.list):
        with pytest.raises(InvalidNameError, match="leaves"):
            act("link.wav")


def test_a_folder_beside_whose_name_starts_alike_is_outside_too(folder, local, tmp_path):
    (tmp_path / "root-of-another").mkdir()
    (tmp_path / "root-of-another" / "x.wav").touch()
    (folder / "link.wav").symlink_to("../root-of-another/x.wav")
    with pytest.raises(InvalidNameError, match="leaves"):
        local.open("link.wav")


def test_a_link_to_a_folder_outside_is_not_followed(folder, local, tmp_path, new_file):
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    assert paths(local.list()) == ["real.wav"]
    for path in ("linked/x.wav", "linked/new.wav"):
        for act in (local.open, local.stat, local.remove):
            with pytest.raises(InvalidNameError, match="leaves"):
                act(path)
        with pytest.raises(InvalidNameError, match="leaves"):
            local.put(new_file(b"x"), path)
    assert [one.name for one in (tmp_path / "elsewhere").iterdir()] == ["x.wav"]


def test_a_link_to_a_file_inside_is_a_file(folder, local):
    (folder / "again.wav").symlink_to("real.wav")
    assert paths(local.list()) == ["again.wav", "real.wav"]
    with local.open("again.wav") as file:
        assert file.read() == b"inside"


def test_removing_a_link_keeps_what_it_points_to(folder, local, tmp_path):
    (folder / "link.wav").symlink_to("../secret.wav")
    local.remove("link.wav")
    assert not (folder / "link.wav").is_symlink()
    assert (tmp_path / "secret.wav").exists()


def test_links_in_a_circle_or_to_nothing_do_not_spoil_a_listing(folder, local):
    (folder / "self.wav").symlink_to("self.wav")
    (folder / "nothing.wav").symlink_to("gone.wav")
    (folder / "up").symlink_to(".")
    assert paths(local.list()) == ["real.wav"]
    with pytest.raises(InvalidNameError, match="leads nowhere"):
        local.stat("self.wav")


def test_the_root_itself_may_be_a_link(folder, tmp_path):
    (tmp_path / "way").symlink_to(folder)
    storage = open_storage(str(tmp_path / "way"))
    assert paths(storage.list()) == ["real.wav"]
    with storage.open("real.wav") as file:
        assert file.read() == b"inside"


@pytest.mark.timeout(10)
def test_a_named_pipe_is_no_file_and_blocks_nothing(folder, local):
    os.mkfifo(folder / "pipe.wav")
    assert paths(local.list()) == ["real.wav"]
    with pytest.raises(NotFoundError, match="no regular file"):
        local.open("pipe.wav")


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(NotFoundError, match="nowhere"):
        open_storage(str(tmp_path / "nowhere")).list()


@pytest.fixture
def closed_folder():
    """A readable folder with a file and a folder that nobody but root may look into."""
    place = Path(tempfile.mkdtemp())
    (place / "shut").mkdir()
    (place / "shut" / "b.wav").touch()
    (place / "a.wav").touch()
    place.chmod(0o755)
    (place / "a.wav").chmod(0)
    (place / "shut").chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield open_storage(str(place))
    os.seteuid(user)
    (place / "shut").chmod(0o700)
    shutil.rmtree(place)


def test_what_may_not_be_read_is_denied_and_not_left_out(closed_folder, tmp_path_factory):
    with pytest.raises(AccessDeniedError, match=r"a\.wav"):
        closed_folder.open("a.wav")
    with pytest.raises(AccessDeniedError, match="shut"):
        list(closed_folder.list())


def test_a_folder_where_a_file_is_wanted_is_said(folder, local, new_file):
    with pytest.raises(StorageError, match="lies in a file"):
        local.put(new_file(b"x"), "real.wav/below.wav")
    (folder / "sub").mkdir()
    for overwrite in (False, True):
        with pytest.raises((NotFoundError, AlreadyExistsError), match="sub"):
            local.put(new_file(b"x"), "sub", overwrite=overwrite)
    assert sorted(one.name for one in folder.iterdir()) == ["real.wav", "sub"]


def test_files_being_written_are_not_listed(folder, local):
    (folder / temporary_name()).write_bytes(b"half")
    assert paths(local.list()) == ["real.wav"]


def test_a_listing_streams_folder_by_folder(folder, local):
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "1.wav").touch()
    found = local.list()
    assert next(found).path == "a/1.wav"
    (folder / "b" / "2.wav").touch()
    (folder / "real.wav").unlink()
    assert paths(found) == ["b/1.wav", "b/2.wav"]


def test_a_file_that_goes_away_during_a_listing_is_left_out(folder, local):
    for name in ("1.wav", "2.wav", "3.wav"):
        (folder / name).touch()
    found = local.list()
    assert next(found).path == "1.wav"
    (folder / "2.wav").unlink()
    assert paths(found) == ["3.wav", "real.wav"]


def test_a_date_outside_the_calendar_does_not_spoil_a_listing(folder, local):
    os.utime(folder / "real.wav", ns=(0, 2**62))
    (found,) = local.list()
    assert found.etag == local.stat("real.wav").etag


def test_a_name_that_is_no_unicode_is_a_file_like_others(folder, local):
    (folder / os.fsdecode(b"caf\xe9.wav")).write_bytes(b"latin")
    odd = next(one.path for one in local.list() if one.path != "real.wav")
    with local.open(odd) as file:
        assert file.read() == b"latin"


def test_an_etag_follows_time_and_size(folder, local):
    before = local.stat("real.wav").etag
    os.utime(folder / "real.wav", ns=(0, 12345))
    moved = local.stat("real.wav").etag
    (folder / "real.wav").write_bytes(b"longer than before")
    os.utime(folder / "real.wav", ns=(0, 12345))
    assert len({before, moved, local.stat("real.wav").etag}) == 3


@settings(max_examples=40, deadline=None)
@given(files=st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join), max_size=8))
def test_a_folder_is_listed_in_the_order_of_a_buckets_keys(files):
    with tempfile.TemporaryDirectory() as top:
        for name in files:
            place = Path(top, name)
            if not any(one.is_file() for one in place.parents) and not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
        there = [str(one.relative_to(top)) for one in Path(top).rglob("*") if one.is_file()]
        assert paths(open_storage(top).list()) == sorted(there, key=os.fsencode)


def test_a_reader_sees_the_old_or_the_new_file_and_no_mixture(local, new_file):
    versions = [new_file(bytes([number]) * 300_000) for number in range(20)]
    local.put(versions[0], "changing")
    done = threading.Event()

    def write():
        for version in versions[1:]:
            local.put(version, "changing", overwrite=True)
        done.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not done.is_set():
            with local.open("changing") as file:
                content = file.read()
            assert len(content) == 300_000
            assert len(set(content)) == 1
        writing.result()


def test_of_two_that_finish_writing_one_new_file_the_second_fails(tmp_path):
    target = tmp_path / "fought-over"
    slow, fast = placing(target, overwrite=False), placing(target, overwrite=False)
    for writer, content in ((slow, b"slow"), (fast, b"fast")):
        writer.__enter__().write_bytes(content)
    fast.__exit__(None, None, None)
    with pytest.raises(FileExistsError):
        slow.__exit__(None, None, None)
    assert target.read_bytes() == b"fast"
    assert list(tmp_path.iterdir()) == [target]


def test_of_writers_of_one_new_file_one_wins(local, new_file):
    files = [new_file(bytes([number]) * 200_000) for number in range(8)]
    start = threading.Barrier(len(files))

    def write(file):
        start.wait()
        try:
            return local.put(file, "fought/over")
        except AlreadyExistsError:
            return None

    with ThreadPoolExecutor(len(files)) as pool:
        outcomes = list(pool.map(write, files))
    assert outcomes.count(True) == 1
    assert outcomes.count(None) == len(files) - 1
    with local.open("fought/over") as file:
        assert file.read() == files[outcomes.index(True)].read_bytes()
    assert paths(local.list()) == ["fought/over", "real.wav"]
