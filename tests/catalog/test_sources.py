"""What a source names: stages, folders, files, globs, buckets and addresses."""

from __future__ import annotations

import pickle
import re

import pytest

from stenopool.catalog import resolve_source
from stenopool.errors import InvalidNameError, NotFoundError, StenopoolError

FILES = ["a.wav", "b.flac", "sub/c.wav", "sub/deep/d.wav", "odd [1]/e.wav", "odd 1/f.wav"]


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        place = tmp_path / "calls" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(name.encode())
    return tmp_path / "calls"


@pytest.fixture
def resolve(local_catalog):
    def call(source, *patterns):
        return resolve_source(str(source), patterns, local_catalog, local_catalog.settings)

    return call


@pytest.fixture
def stage(local_catalog, folder):
    return local_catalog.create_stage(local_catalog.name('"my calls"'), url=str(folder))


@pytest.fixture
def s3_folder(bucket, folder):
    from stenopool.storage import open_storage

    storage = open_storage(f"s3://{bucket}/in/calls")
    for name in FILES:
        storage.put(folder / name, name)
    return storage.root


def paths(source):
    return sorted(one.path for one in source.list())


def test_a_folder_names_all_files_below_it(resolve, folder):
    source = resolve(folder)
    assert paths(source) == sorted(FILES)
    assert (source.name, source.root, source.prefix) == (str(folder), str(folder), "")
    assert source.uri("sub/c.wav") == f"{folder}/sub/c.wav"


def test_a_folder_may_be_relative_or_in_the_users_home(resolve, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    for spelling in ("calls", "./calls/", "calls/sub/..", "~/calls", f"file://{folder}"):
        assert resolve(spelling) == resolve(folder), spelling


def test_one_file_has_the_same_uri_as_in_its_folder(resolve, folder):
    source = resolve(folder / "sub/c.wav")
    assert paths(source) == ["c.wav"]
    assert source.uri("c.wav") == resolve(folder).uri("sub/c.wav")


def test_a_link_to_a_file_is_followed_to_where_it_lies(resolve, folder, tmp_path):
    (tmp_path / "link.wav").symlink_to(folder / "a.wav")
    assert resolve(tmp_path / "link.wav") == resolve(folder / "a.wav")


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*.wav", ["a.wav"]),
        ("**/*.wav", ["a.wav", "odd 1/f.wav", "odd [1]/e.wav", "sub/c.wav", "sub/deep/d.wav"]),
        ("*/*.wav", ["odd 1/f.wav", "odd [1]/e.wav", "sub/c.wav"]),
        ("s?b/*.wav", ["c.wav"]),
        ("[ab].*", ["a.wav", "b.flac"]),
        ("odd [1]", ["e.wav"]),
        ("odd [1]/*.wav", ["e.wav"]),
        ("odd ?/*.wav", ["odd 1/f.wav"]),
    ],
)
@pytest.mark.parametrize("place", ["folder", "s3_folder"])
def test_a_glob_names_what_the_shell_would_find(resolve, request, place, glob, found):
    source = resolve(f"{request.getfixturevalue(place)}/{glob}")
    assert [name.rpartition("/")[2] for name in paths(source)] == [
        name.rpartition("/")[2] for name in sorted(found)
    ]
    assert all(
        source.uri(path).endswith(f"/calls/{name}") or "odd [1]" in source.root or "s" in glob
        for path, name in zip(paths(source), sorted(found), strict=True)
    )


@pytest.mark.parametrize("place", ["folder", "s3_folder"])
def test_patterns_choose_among_what_a_source_names(resolve, request, place):
    top = request.getfixturevalue(place)
    assert paths(resolve(top, "*.flac")) == ["b.flac"]
    assert paths(resolve(top, "sub/*", "*.flac")) == ["b.flac", "sub/c.wav"]
    assert paths(resolve(f"{top}/**/*.wav", "c.*", "d.*")) == ["sub/c.wav", "sub/deep/d.wav"]


def test_a_bucket_prefix_or_file_is_a_source(resolve, s3_folder):
    assert paths(resolve(s3_folder)) == paths(resolve(s3_folder + "/")) == sorted(FILES)
    one = resolve(f"{s3_folder}/sub/c.wav")
    assert (one.name, one.prefix, paths(one)) == (f"{s3_folder}/sub", "c.wav", ["c.wav"])
    assert one.uri("c.wav") == resolve(s3_folder).uri("sub/c.wav") == f"{s3_folder}/sub/c.wav"


def test_a_stage_with_or_without_a_path_is_a_source(resolve, stage):
    for spelling in (
        '@"my calls"',
        '@"my calls"/',
        '@STENOPOOL.PUBLIC."my calls"',
        '@public."my calls"/',
    ):
        source = resolve(spelling)
        assert (source.name, paths(source)) == ('@STENOPOOL.PUBLIC."my calls"', sorted(FILES))
    below = resolve('@"my calls"/sub/')
    assert paths(below) == ["sub/c.wav", "sub/deep/d.wav"]
    assert below.uri("sub/c.wav") == '@STENOPOOL.PUBLIC."my calls"/sub/c.wav'
    assert paths(resolve('@"my calls"/sub/c.wav')) == ["sub/c.wav"]
    assert paths(resolve('@"my calls"/sub/*.wav')) == ["sub/c.wav"]
    assert paths(resolve('@"my calls"/odd [1]', "*.wav")) == ["odd [1]/e.wav"]


def test_an_empty_stage_is_a_source_without_files(resolve, local_catalog):
    local_catalog.create_stage(local_catalog.name("empty"))
    assert paths(resolve("@empty")) == []


@pytest.mark.parametrize(
    "source",
    ["{folder}/nope", "{folder}/nope/*.wav", "{folder}/*.mp3", "@nope", "@nope.public.x",
     '@"my calls"/nope', '@"my calls"/*.mp3', "{s3_folder}/nope", "{s3_folder}/*.mp3",
     "s3://no-such-bucket-here", "s3://no-such-bucket-here/x", "s3://no-such-bucket-here/x*"],
)  # fmt: skip
def test_what_does_not_exist_is_named_before_anything_starts(
    resolve, folder, s3_folder, stage, source
):
    text = source.format(folder=folder, s3_folder=s3_folder)
    named = re.escape(text.lstrip("@").split(".")[0].upper() if "@nope" in text else text[:20])
    with pytest.raises(NotFoundError, match=named):
        resolve(text)


def test_a_missing_stage_says_how_to_make_it(resolve):
    with pytest.raises(NotFoundError, match="stenopool stage create NOPE`"):
        resolve("@nope/sub")


@pytest.mark.parametrize(
    "source",
    ["", " ", "@", "@/x", "@a b", '@"my calls"x', "@a.b.c.d/x", '@"my calls"/../x', "https://host/",
     "https://", "ftp://host/x", "s3://", "a\0b"],
)  # fmt: skip
def test_what_cannot_be_a_source_is_refused(resolve, stage, source):
    with pytest.raises((InvalidNameError, NotFoundError)):
        resolve(source)


def test_a_file_on_a_web_server_is_a_source(resolve, folder):
    import functools
    import http.server
    import threading

    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    handler.func.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        top = f"http://127.0.0.1:{server.server_port}"
        try:
            source = resolve(f"{top}/sub/c.wav")
            assert (source.name, paths(source)) == (f"{top}/sub", ["c.wav"])
            signed = resolve(f"{top}/sub/c.wav?signature=a/b")
            assert (signed.root, paths(signed)) == (f"{top}/sub", ["c.wav?signature=a/b"])
            with pytest.raises(StenopoolError, match="nope"):
                resolve(f"{top}/sub/nope.wav")
        finally:
            server.shutdown()
            thread.join()


def test_a_source_crosses_to_another_process(resolve, folder):
    source = resolve(f"{folder}/**/*.wav", "c.*")
    there = pickle.loads(pickle.dumps(source))
    assert there == source
    assert paths(there) == paths(source) == ["sub/c.wav"]
