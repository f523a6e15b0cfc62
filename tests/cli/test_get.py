from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.making import tree
from stenopool.cli.local_files import place_inside
from stenopool.errors import InvalidNameError

CONTENTS = {"a.wav": "a", "b.flac": "b", "x/c.wav": "c", "x/y/d.wav": "d"}


@pytest.fixture(autouse=True)
def stage(steno, files):
    files({f"rec/{name}": content for name, content in CONTENTS.items()})
    steno("stage", "create", "calls")
    steno("put", "rec", "@calls", "-r")


def test_file_is_copied_under_its_name(steno, work):
    assert steno("get", "@calls/x/c.wav", "out").code == 0
    assert tree(work / "out") == {"c.wav": "c"}


def test_without_a_folder_files_come_here(steno, work):
    assert steno("get", "@calls/a.wav").code == 0
    assert (work / "a.wav").read_text() == "a"


def test_folder_without_recursive_is_an_error_with_the_next_step(fails, work):
    assert "--recursive" in fails(2, "get", "@calls/x", "out")
    assert not (work / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["@calls", "-r"], ["a.wav", "b.flac", "x/c.wav", "x/y/d.wav"]),
        (["@calls/", "-r"], ["a.wav", "b.flac", "x/c.wav", "x/y/d.wav"]),
        (["@calls/x", "-r"], ["c.wav", "y/d.wav"]),
        (["@calls", "--pattern", "*.wav"], ["a.wav", "x/c.wav", "x/y/d.wav"]),
        (["@calls", "--pattern", "/*.wav", "--pattern", "*.flac"], ["a.wav", "b.flac"]),
        (["@calls/x/*.wav"], ["c.wav"]),
    ],
)
def test_folders_below_the_source_are_kept(steno, work, arguments, names):
    assert steno("get", arguments[0], "out", *arguments[1:]).code == 0
    assert sorted(tree(work / "out")) == names


def test_second_get_copies_nothing(steno):
    steno("get", "@calls", "out", "-r")
    again = steno("get", "@calls", "out", "-r", "--json").answer
    assert again == {"done": 0, "same": 4, "failed": [], "size_bytes": 0}


def test_own_content_is_not_lost_without_overwrite(fails, steno, files, work):
    files({"out/a.wav": "mine"})
    assert "out/a.wav" in fails(1, "get", "@calls", "out", "-r")
    assert tree(work / "out") == CONTENTS | {"a.wav": "mine"}
    assert steno("get", "@calls", "out", "-r", "--overwrite").code == 0
    assert tree(work / "out") == CONTENTS


def test_folder_in_the_way_of_a_file_is_named(fails, files):
    files({"out/a.wav/inner": "x"})
    assert "out/a.wav" in fails(1, "get", "@calls", "out", "-r")


def test_file_in_the_way_of_the_folder_is_wrong_use(fails, files):
    files({"out": "x"})
    assert "'out'" in fails(2, "get", "@calls", "out", "-r")


def test_pattern_that_matches_nothing_is_said(fails):
    assert "*.mp3" in fails(2, "get", "@calls", "out", "--pattern", "*.mp3")


def test_empty_stage_gives_no_files(steno):
    steno("stage", "create", "empty")
    assert steno("get", "@empty", "out", "-r").out.startswith("0 files")


@pytest.mark.parametrize("source", ["@nope", "@calls/nope", "rec", "@calls/..", "", "@calls/*.ogg"])
def test_wrong_source_is_one_line(fails, source):
    fails(2, "get", source, "out", "-r")


def test_link_that_leads_out_of_the_folder_is_not_followed(steno, work, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (work / "out").mkdir()
    (work / "out/x").symlink_to(elsewhere)
    result = steno("get", "@calls", "out", "-r")
    assert result.code == 1
    assert result.err.count("through a link") == 2
    assert tree(elsewhere) == {}
    assert sorted(path.name for path in (work / "out").iterdir()) == ["a.wav", "b.flac", "x"]


@given(st.text(alphabet=st.sampled_from("./a\0 \n"), max_size=12) | st.text(max_size=20))
def test_no_name_leads_out_of_a_folder(name):
    folder = Path("/nowhere/at/all")
    try:
        place = place_inside(folder, name)
    except InvalidNameError:
        return
    assert place.resolve().is_relative_to(folder)
    assert place != folder
