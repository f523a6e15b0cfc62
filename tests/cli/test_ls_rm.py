import pytest

from cli.making import tree


@pytest.fixture(autouse=True)
def stage(steno, files, tmp_path):
    names = ("a.wav", "b.flac", "x/c.wav", "x/y/d.wav")
    files({f"rec/{name}": name for name in names})
    steno("stage", "create", "calls")
    steno("put", "rec", "@calls", "-r")
    return tmp_path / "home/stages/STENOPOOL/PUBLIC/CALLS"


def test_listing_shows_size_time_and_path_and_counts_apart(steno):
    listed = steno("ls", "@calls")
    assert [row[2] for row in listed.rows] == ["a.wav", "b.flac", "x/c.wav", "x/y/d.wav"]
    assert [row[0] for row in listed.rows] == ["5", "6", "7", "9"]
    assert listed.err == "4 files, 27 B\n"


def test_listing_for_a_person_has_columns(steno, terminal):
    line = steno("ls", "@calls/x/c.wav").lines[0]
    assert line.split()[0] == "7"
    assert line.endswith("x/c.wav")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["@calls/x"], ["x/c.wav", "x/y/d.wav"]),
        (["@calls/x/c.wav"], ["x/c.wav"]),
        (["@calls", "--pattern", "*.flac"], ["b.flac"]),
        (["@calls/*/*.wav"], ["x/c.wav"]),
        (["@calls", "--pattern", "*.mp3"], []),
    ],
)
def test_part_of_a_stage_is_listed(steno, arguments, names):
    assert [one["path"] for one in steno("ls", *arguments, "--json").answer] == names


def test_listing_of_a_missing_folder_is_an_error(fails):
    assert "@calls/nope" in fails(2, "ls", "@calls/nope")


def test_one_file_is_removed_without_a_question(steno, stage):
    assert steno("rm", "@calls/a.wav").code == 0
    assert "a.wav" not in tree(stage)


def test_folder_without_recursive_stays(fails, stage):
    assert "--recursive" in fails(2, "rm", "@calls/x")
    assert len(tree(stage)) == 4


@pytest.mark.parametrize("arguments", [["@calls/x", "-r"], ["@calls", "--pattern", "*.wav"]])
def test_several_files_are_not_removed_without_an_answer(fails, steno, stage, arguments):
    assert "--yes" in fails(2, "rm", *arguments)
    assert len(tree(stage)) == 4
    assert steno("rm", *arguments, "--yes").code == 0
    assert len(tree(stage)) < 4


def test_only_what_was_named_is_removed(steno, stage):
    steno("rm", "@calls/x", "-r", "--yes")
    assert sorted(tree(stage)) == ["a.wav", "b.flac"]


def test_pattern_that_matches_nothing_removes_nothing(fails, stage):
    assert "*.mp3" in fails(2, "rm", "@calls", "--pattern", "*.mp3", "--yes")
    assert len(tree(stage)) == 4


@pytest.mark.parametrize("source", ["rec", "@calls/..", "@calls/../CALLS/a.wav", "@nope/a.wav"])
def test_nothing_but_a_stage_loses_files(fails, stage, work, source):
    fails(2, "rm", source, "-r", "--yes")
    assert len(tree(stage)) == len(tree(work / "rec")) == 4
