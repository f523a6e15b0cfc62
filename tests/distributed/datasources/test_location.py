"""A location is read as people write it; what cannot be read is said before any task."""

from __future__ import annotations

import pytest

from stenopool.distributed.datasources import SFStageBinaryFileDataSource
from stenopool.distributed.datasources.listing import cut
from stenopool.errors import InvalidNameError, InvalidOptionError, NotFoundError


def paths(*arguments, **options):
    return [path for path, _ in SFStageBinaryFileDataSource(*arguments, **options)._files]


@pytest.fixture
def odd_stage(new_stage):
    made = new_stage('"My Db"."a b"."Calls ""here"""')
    made.put("x/one.wav", b"1")
    return made


@pytest.mark.parametrize(
    "location",
    ["@CALLS", "CALLS", "@calls/", "@CALLS//", "@Public.Calls", "stenopool.public.calls/"],
)
def test_a_stage_is_found_however_its_name_is_written(folder_stage, location):
    folder_stage.put("a.wav", b"a")
    assert paths(location) == ["a.wav"]


@pytest.mark.parametrize(
    ("location", "database", "schema"),
    [
        ('@"My Db"."a b"."Calls ""here"""', None, None),
        ('@"My Db"."a b"."Calls ""here"""/x/', "OTHER", "ELSEWHERE"),
        ('"My Db"."a b"."Calls ""here"""/x/one.wav', "OTHER", None),
        ('@"a b"."Calls ""here"""', '"My Db"', None),
        ('@"a b"."Calls ""here"""', '"My Db"', "ELSEWHERE"),
        ('@"Calls ""here"""/x', '"My Db"', '"a b"'),
    ],
)
def test_a_qualified_name_is_never_doubled(odd_stage, location, database, schema):
    assert paths(location, database, schema) == ["x/one.wav"]


def test_a_folder_or_url_is_read_where_no_stage_is_named(tmp_path, home):
    (tmp_path / "a.wav").write_bytes(b"a")
    assert paths(str(tmp_path), file_pattern="*.wav") == ["a.wav"]
    assert paths(f"file://{tmp_path}", file_pattern="*.wav") == ["a.wav"]


def test_patterns_choose_by_name_or_by_path_below_the_location(folder_stage):
    for path in ("d/a.wav", "d/b.flac", "d/e/c.wav", "d/e/d.txt", "z.wav"):
        folder_stage.put(path, b"-")
    assert paths("@CALLS/d", file_pattern="*.wav") == ["d/a.wav", "d/e/c.wav"]
    assert paths("@CALLS/d", file_pattern="/*.wav") == ["d/a.wav"]
    assert paths("@CALLS/d", file_pattern=["e/*", "*.flac"]) == [
        "d/b.flac",
        "d/e/c.wav",
        "d/e/d.txt",
    ]
    assert paths("@CALLS", None, None, "*.txt", None) == ["d/e/d.txt"]
    assert paths("@CALLS", file_extensions=["WAV", ".txt"], file_pattern="**/e/*") == [
        "d/e/c.wav",
        "d/e/d.txt",
    ]
    only = paths("@CALLS", partition_filter=lambda found: [p for p in found if p < "d/b"])
    assert only == ["d/a.wav"]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "said"),
    [
        (["@NOWHERE"], {}, NotFoundError, "@STENOPOOL.PUBLIC.NOWHERE"),
        (["@CALLS/nothing"], {}, NotFoundError, "@CALLS/nothing"),
        (["@CALLS"], {"file_pattern": "*.mp3"}, NotFoundError, r"'\*.mp3'"),
        (["@CALLS"], {"database": "STENOPOOL"}, InvalidOptionError, "without a schema"),
        (["@CALLS", "a b", "PUBLIC"], {}, InvalidNameError, "'a b'"),
        (["@A.B.C.D"], {}, InvalidNameError, "four|4 parts"),
        ([""], {}, InvalidNameError, "''"),
        (["@CALLS"], {"colour": 1}, InvalidOptionError, "colour"),
        (["@CALLS"], {"filesystem": object()}, InvalidOptionError, "filesystem"),
        (["@CALLS"], {"shuffle": "rows"}, InvalidOptionError, "rows"),
        (["@CALLS"], {"ignore_missing_paths": True}, InvalidOptionError, "ignore_missing_paths"),
    ],
)
def test_what_is_wrong_is_said_on_the_driver(folder_stage, arguments, options, error, said):
    folder_stage.put("a.wav", b"a")
    with pytest.raises(error, match=said):
        SFStageBinaryFileDataSource(*arguments, **options)


def test_an_empty_stage_is_an_error(folder_stage):
    with pytest.raises(NotFoundError, match="has no file"):
        SFStageBinaryFileDataSource("@CALLS")


def sizes_of(folder_stage, sizes):
    for number, size in enumerate(sizes):
        folder_stage.put(f"{number:03}", b"x" * size)
    return SFStageBinaryFileDataSource("@CALLS")._files


def test_parts_have_about_equal_bytes_and_every_file_once(folder_stage):
    files = sizes_of(folder_stage, [3_000_000, *[100_000] * 30, 2_000_000, *[10] * 9])
    for count in (1, 2, 4, 7, 41, 100):
        bounds = cut(files, count)
        assert len(bounds) == min(count, len(files))
        assert [start for start, _ in bounds] == [0, *(stop for _, stop in bounds[:-1])]
        assert bounds[-1][1] == len(files)
        assert all(start < stop for start, stop in bounds)
    weights = [files.part(*bound).size_bytes for bound in cut(files, 3)]
    assert max(weights) < 3_400_000
