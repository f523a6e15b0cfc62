import pytest


@pytest.mark.parametrize(
    ("typed", "full"),
    [
        ("calls", "@STENOPOOL.PUBLIC.CALLS"),
        ("@calls", "@STENOPOOL.PUBLIC.CALLS"),
        ("work.calls", "@STENOPOOL.WORK.CALLS"),
        ("db.work.calls", "@DB.WORK.CALLS"),
        ('"My [bold]calls:smile:"', '@STENOPOOL.PUBLIC."My [bold]calls:smile:"'),
    ],
)
def test_created_stage_is_listed_under_its_full_name(steno, typed, full):
    made = steno("stage", "create", typed, "--comment", "since [May]")
    assert (made.code, full in made.out) == (0, True)
    (stage,) = steno("stage", "list", "--json").answer
    assert (stage["name"], stage["comment"], stage["url"]) == (full, "since [May]", None)
    assert steno("stage", "list").rows[1][0] == full


def test_list_without_stages_says_how_to_make_one(steno):
    assert "stage create" in steno("stage", "list").err
    assert steno("stage", "list", "--json").answer == []


def test_taken_name_is_named_in_the_error(steno, fails):
    steno("stage", "create", "calls")
    assert "@STENOPOOL.PUBLIC.CALLS" in fails(2, "stage", "create", "calls")
    assert steno("stage", "create", "calls", "--if-not-exists").code == 0


def test_if_not_exists_keeps_the_stage_with_its_files(steno, files):
    steno("stage", "create", "calls", "--comment", "first")
    steno("put", files({"a.wav": "a"}) / "a.wav", "@calls")
    steno("stage", "create", "calls", "--if-not-exists", "--comment", "second")
    assert steno("stage", "list", "--json").answer[0]["comment"] == "first"
    assert len(steno("ls", "@calls").lines) == 1


def test_replacing_an_empty_stage_needs_no_answer(steno):
    steno("stage", "create", "calls", "--comment", "first")
    assert steno("stage", "create", "calls", "--or-replace", "--comment", "second").code == 0
    assert steno("stage", "list", "--json").answer[0]["comment"] == "second"


@pytest.mark.parametrize("command", [("create", "calls", "--or-replace"), ("drop", "calls")])
def test_files_are_not_lost_without_an_answer(steno, fails, files, command):
    steno("stage", "create", "calls")
    steno("put", files({"a.wav": "a"}) / "a.wav", "@calls")
    assert "1 file" in fails(2, "stage", *command)
    assert "--yes" in fails(2, "stage", *command)
    assert len(steno("ls", "@calls").lines) == 1
    assert steno("stage", *command, "--yes").code == 0


def test_dropped_stage_is_gone_with_its_own_files(steno, fails, files, tmp_path):
    steno("stage", "create", "calls")
    steno("put", files({"a.wav": "a"}) / "a.wav", "@calls")
    assert steno("stage", "drop", "calls", "--yes").code == 0
    assert not list((tmp_path / "home/stages").rglob("*.wav"))
    assert "stage create CALLS" in fails(2, "ls", "@calls")


def test_files_of_a_named_folder_stay_and_nobody_is_asked(steno, files):
    folder = files({"kept/a.wav": "a"}) / "kept"
    steno("stage", "create", "calls", "--url", folder)
    assert "a.wav" in steno("ls", "@calls").out
    assert steno("stage", "drop", "calls").code == 0
    assert (folder / "a.wav").read_text() == "a"


def test_folder_that_is_not_there_yet_is_told(steno, work):
    assert "does not exist yet" in steno("stage", "create", "calls", "--url", work / "typo").err
    assert steno("stage", "create", "other", "--url", work).err == ""


def test_missing_stage_is_dropped_only_with_if_exists(steno, fails):
    assert "does not exist" in fails(2, "stage", "drop", "calls")
    assert steno("stage", "drop", "calls", "--if-exists").code == 0


@pytest.mark.parametrize("name", ["", "a b", "a.b.c.d", "1st", "@@calls", "a.", '"open'])
def test_text_that_is_no_name_is_wrong_use(fails, name):
    fails(2, "stage", "create", name)


def test_options_that_exclude_each_other_are_refused(fails):
    fails(2, "stage", "create", "calls", "--if-not-exists", "--or-replace")


def test_unknown_kind_of_url_is_refused(fails):
    assert "ftp://" in fails(2, "stage", "create", "calls", "--url", "ftp://host/folder")
