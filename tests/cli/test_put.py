import os

import pytest

from cli.making import tree

ODD_NAMES = [
    "with space.wav",
    "line\nbreak.wav",
    "[bold]not bold[/bold].wav",
    "quote'\".wav",
    "tab\tand :smile:.wav",
    "日本語 🎙.wav",
    "-dash.wav",
    "percent%20.wav",
]


@pytest.fixture(autouse=True)
def stage(steno, tmp_path):
    steno("stage", "create", "calls")
    return tmp_path / "home/stages/STENOPOOL/PUBLIC/CALLS"


def test_file_is_put_under_its_own_name(steno, files, stage):
    files({"deep/folder/a.wav": "a"})
    assert steno("put", "deep/folder/a.wav", "@calls/2024/may").code == 0
    assert tree(stage) == {"2024/may/a.wav": "a"}


def test_folder_without_recursive_is_an_error_with_the_next_step(fails, files, stage):
    files({"rec/a.wav": "a"})
    assert "--recursive" in fails(2, "put", "rec", "@calls")
    assert tree(stage) == {}


def test_recursive_keeps_folders(steno, files, stage):
    files({"rec/a.wav": "a", "rec/x/y/b.wav": "b", "rec/.hidden": "c"})
    assert steno("put", "rec", "@calls/in", "--recursive").code == 0
    assert tree(stage) == {"in/a.wav": "a", "in/x/y/b.wav": "b", "in/.hidden": "c"}


def test_second_put_finds_everything_there(steno, files):
    files({f"rec/{number}.wav": str(number) for number in range(40)})
    first = steno("put", "rec", "@calls", "-r", "--json").answer
    assert first == {"done": 40, "same": 0, "failed": [], "size_bytes": 70}
    second = steno("put", "rec", "@calls", "-r", "--json").answer
    assert second == {"done": 0, "same": 40, "failed": [], "size_bytes": 0}
    assert "40 there already with the same content" in steno("put", "rec", "@calls", "-r").out


def test_other_content_is_named_and_the_rest_is_put(steno, fails, files, stage):
    files({"rec/a.wav": "old"})
    steno("put", "rec", "@calls", "-r")
    files({"rec/a.wav": "new", "rec/b.wav": "b"})
    assert "a.wav" in fails(1, "put", "rec", "@calls", "-r")
    assert tree(stage) == {"a.wav": "old", "b.wav": "b"}


def test_other_content_of_the_same_length_is_not_taken_for_the_same(fails, steno, files):
    steno("put", files({"a.wav": "old"}) / "a.wav", "@calls")
    fails(1, "put", files({"a.wav": "new"}) / "a.wav", "@calls")


def test_overwrite_replaces_other_content(steno, files, stage):
    steno("put", files({"a.wav": "old"}) / "a.wav", "@calls")
    assert "--overwrite" in steno("put", files({"a.wav": "newer"}) / "a.wav", "@calls").err
    assert steno("put", "a.wav", "@calls", "--overwrite").code == 0
    assert tree(stage) == {"a.wav": "newer"}


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["rec/*.wav"], ["a.wav", "b.wav"]),
        (["rec/**/*.wav"], ["a.wav", "b.wav", "c.wav"]),
        (["rec/**/*.wav", "-r"], ["a.wav", "b.wav", "x/c.wav"]),
        (["re?/x/*"], ["c.wav"]),
        (["re?/x/*", "-r"], ["rec/x/c.wav"]),
        (["rec/[ab].wav", "rec/x/c.wav"], ["a.wav", "b.wav", "c.wav"]),
    ],
)
def test_globs_that_no_shell_expanded_are_expanded(steno, files, stage, arguments, names):
    files({"rec/a.wav": "a", "rec/b.wav": "b", "rec/x/c.wav": "c", "rec/n.txt": "n"})
    assert steno("put", *arguments, "@calls").code == 0
    assert sorted(tree(stage)) == names


def test_name_with_brackets_that_exists_is_no_glob(steno, files, stage):
    files({"take[1].wav": "a", "take1.wav": "b", "d[1]/c.wav": "c"})
    assert steno("put", "take[1].wav", "d[1]/*.wav", "@calls").code == 0
    assert tree(stage) == {"take[1].wav": "a", "c.wav": "c"}


@pytest.mark.parametrize("missing", ["nothing.wav", "nothing*.wav", "", "rec/none/*"])
def test_missing_file_is_said_before_anything_is_put(fails, files, stage, missing):
    files({"rec/a.wav": "a"})
    assert repr(missing) in fails(2, "put", "rec/a.wav", missing, "@calls") or not missing
    assert tree(stage) == {}


def test_two_files_of_one_name_are_said_before_anything_is_put(fails, files, stage):
    files({"x/a.wav": "1", "y/a.wav": "2", "z.wav": "3"})
    error = fails(2, "put", "z.wav", "x/a.wav", "y/a.wav", "@calls")
    assert "x/a.wav" in error
    assert "y/a.wav" in error
    fails(2, "put", "-r", "x", "y", "@calls")
    assert tree(stage) == {}


def test_file_given_twice_is_put_once(steno, files, stage):
    files({"a.wav": "a"})
    assert steno("put", "a.wav", "a.wav", "*.wav", "@calls", "--json").answer["done"] == 1


def test_odd_names_come_back_as_they_were(steno, files, stage, work):
    odd = {f"rec/{name}": name for name in ODD_NAMES}
    files(odd)
    put = steno("put", "rec", "@calls", "-r")
    assert (put.code, put.err) == (0, "")
    assert sorted(tree(stage)) == sorted(ODD_NAMES)
    assert steno("get", "@calls", "back", "-r").code == 0
    assert tree(work / "back") == tree(work / "rec")


def test_name_that_is_no_unicode_spoils_nothing(steno, files, stage, work):
    files({"rec/a.wav": "a"})
    (work / "rec" / os.fsdecode(b"\xff\xfe.wav")).write_bytes(b"x")
    assert steno("put", "rec", "@calls", "-r").code == 0
    listed = steno("ls", "@calls")
    assert listed.code == 0
    assert listed.rows[1][2] == r"\udcff\udcfe.wav"
    assert steno("ls", "@calls", "--json").answer[1]["path"] == "\udcff\udcfe.wav"


def test_broken_link_fails_alone_and_is_named(fails, files, stage):
    folder = files({"rec/a.wav": "a"})
    (folder / "rec/gone.wav").symlink_to("nowhere")
    assert "gone.wav" in fails(1, "put", "rec", "@calls", "-r")
    assert tree(stage) == {"a.wav": "a"}


def test_pipe_among_the_files_blocks_nothing(fails, files, stage):
    folder = files({"rec/a.wav": "a"})
    os.mkfifo(folder / "rec/pipe")
    assert "pipe" in fails(1, "put", "rec", "@calls", "-r")
    assert tree(stage) == {"a.wav": "a"}


@pytest.mark.parametrize(
    "target", ["calls", "@nope", "@calls/../x", "@calls/x/../../y", "@calls x", "s3://bucket", "@"]
)
def test_wrong_target_puts_nothing(steno, files, stage, target):
    files({"a.wav": "a"})
    result = steno("put", "a.wav", target)
    assert result.code in (1, 2)
    assert result.err.startswith("error: ")
    assert tree(stage) == {}


def test_parallel_out_of_range_is_wrong_use(fails, files):
    files({"a.wav": "a"})
    assert "--parallel" in fails(2, "put", "a.wav", "@calls", "--parallel", "0")


def test_one_argument_is_wrong_use(fails):
    assert "put --help" in fails(2, "put", "@calls")
