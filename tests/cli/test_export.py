import json

import pytest

from cli.making import failure, later, row, tree

SRT = "1\n00:00:00,000 --> 00:00:01,500\nso it is\n\n2\n00:00:02,000 --> 00:00:03,500\nand it was\n"


def test_each_recording_becomes_a_file_in_its_folder(steno, transcripts, work):
    transcripts(row("a.flac", "so it is. and it was"), row("x/y/b.mp3", "so"), row("noending"))
    told = steno("export", "t", "--format", "srt", "--to", "subs")
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("3 files written to subs (")
    found = tree(work / "subs")
    assert sorted(found) == ["a.srt", "noending.srt", "x/y/b.srt"]
    assert found["a.srt"] == SRT


@pytest.mark.parametrize(
    ("form", "start"),
    [
        ("srt", "1\n00:00:00,000 --> "),
        ("vtt", "WEBVTT\n"),
        ("txt", "so it is\n"),
        ("tsv", "start\tend\ttext\n0\t1500\tso it is\n"),
    ],
)
def test_form_is_the_ending(steno, transcripts, work, form, start):
    transcripts(row("a.flac"))
    assert steno("export", "t", "--format", form, "--to", "out").code == 0
    assert tree(work / "out")[f"a.{form}"].startswith(start)


def test_json_has_the_segments_and_says_of_what(steno, transcripts, work):
    transcripts(row("a.flac", warnings=["truncated"]))
    steno("export", "t", "--format", "json", "--to", "out")
    found = json.loads((work / "out/a.json").read_text())
    assert (found["path"], found["text"], found["model"]) == ("a.flac", "so it is", "demo")
    assert found["warnings"] == ["truncated"]
    assert found["segments"][0]["end_s"] == 1.5


def test_json_says_the_language_of_a_segment_where_the_row_does(steno, transcripts, work):
    made = row("a.flac", "so it is. ja")
    made["segments"][1]["language"] = "de"
    transcripts(made)
    steno("export", "t", "--format", "json", "--to", "out")
    found = json.loads((work / "out/a.json").read_text())
    assert [segment["language"] for segment in found["segments"]] == [None, "de"]


def test_recordings_that_differ_in_the_ending_keep_it(steno, transcripts, work):
    transcripts(row("a.flac", "one"), row("a.wav", "two"), row("b.wav", "three"))
    assert steno("export", "t", "--format", "txt", "--to", "out").code == 0
    found = tree(work / "out")
    assert found == {"a.flac.txt": "one\n", "a.wav.txt": "two\n", "b.txt": "three\n"}


def test_recordings_of_two_sources_with_one_path_are_both_there(steno, transcripts, work):
    transcripts(
        row("a.wav", "one"), row("a.wav", "two", source="/data/b"), row("b.wav", source="s3://b/k")
    )
    assert steno("export", "t", "--format", "txt", "--to", "out").code == 0
    found = tree(work / "out")
    assert found["STENOPOOL.PUBLIC.CALLS/a.wav.txt"] == "one\n"
    assert found["data/b/a.wav.txt"] == "two\n"
    assert len(found) == 3


def test_newest_of_several_rows_is_taken_and_told(steno, transcripts, work):
    transcripts(
        row("a.wav", "old", model="tiny", transcribed_at=later(1)),
        row("a.wav", "new", model="small", transcribed_at=later(2)),
        row("a.wav", "older", model="base", transcribed_at=later(0)),
        row("b.wav", "only"),
        commits=2,
    )
    told = steno("export", "t", "--format", "txt", "--to", "out")
    assert tree(work / "out") == {"a.txt": "new\n", "b.txt": "only\n"}
    assert "1 recording with several rows" in told.out
    assert steno("export", "t", "--format", "txt", "--to", "o2", "--json").answer["repeated"] == 1


def test_rows_are_chosen_by_a_condition(steno, fails, transcripts, work):
    transcripts(
        row("a.wav", "old", model="tiny", transcribed_at=later(1)),
        row("a.wav", "new", model="small", transcribed_at=later(2)),
        row("b.wav", "only", model="small"),
    )
    steno("export", "t", "--format", "txt", "--to", "out", "--where", "model = 'tiny'")
    assert tree(work / "out") == {"a.txt": "old\n"}
    for wrong in (
        "modell = 'tiny'",
        "model ==",
        "1; DROP TABLE t",
        "duration_s = 'x'",
        "segments = 1",
    ):
        error = fails(2, "export", "t", "--format", "txt", "--to", "o", "--where", wrong)
        assert wrong in error
        assert len(error) < 300


def test_failed_recording_has_no_file_and_is_counted(steno, transcripts, work):
    transcripts(row("a.wav"), failure("b.wav"), failure("c.wav"))
    told = steno("export", "t", "--format", "srt", "--to", "out")
    assert told.code == 1
    assert "2 recordings without a transcript" in told.out
    assert list(tree(work / "out")) == ["a.srt"]


def test_transcript_counts_more_than_a_later_failure(steno, transcripts, work):
    transcripts(row("a.wav", "good"), failure("a.wav", model="x", transcribed_at=later(9)))
    assert steno("export", "t", "--format", "txt", "--to", "out").code == 0
    assert tree(work / "out") == {"a.txt": "good\n"}


@pytest.mark.parametrize(
    ("form", "content"),
    [("srt", ""), ("vtt", "WEBVTT\n"), ("txt", ""), ("tsv", "start\tend\ttext\n")],
)
def test_silence_gives_an_empty_but_valid_file(steno, transcripts, work, form, content):
    transcripts(row("a.wav", ""))
    told = steno("export", "t", "--format", form, "--to", "out")
    assert told.code == 0
    assert "1 recording without speech" in told.out
    assert tree(work / "out") == {f"a.{form}": content}


def test_odd_paths_stay_inside_the_folder(steno, transcripts, work):
    paths = [
        "../out.wav",
        "/etc/absolute.wav",
        "x/../../y.wav",
        "..",
        ".",
        "//",
        "line\nbreak.wav",
        "[bold]🎙 :smile:.wav",
        "~/home.wav",
        "a\\b.wav",
        ".hidden",
        "trailing/",
    ]
    transcripts(*(row(path) for path in paths))
    told = steno("export", "t", "--format", "txt", "--to", "deep/out")
    assert (told.code, told.err) == (0, "")
    assert [path.name for path in work.iterdir()] == ["deep"]
    assert [path.name for path in (work / "deep").iterdir()] == ["out"]
    assert len(tree(work / "deep/out")) == len(paths)
    assert {"line\nbreak.txt", "[bold]🎙 :smile:.txt", "~/home.txt"} <= set(tree(work / "deep/out"))


def test_link_in_the_folder_is_not_written_through(steno, transcripts, work):
    (work / "out").mkdir()
    (work / "elsewhere").mkdir()
    (work / "out/x").symlink_to(work / "elsewhere")
    transcripts(row("x/a.wav"), row("b.wav"))
    told = steno("export", "t", "--format", "txt", "--to", "out")
    assert told.code == 1
    assert "through a link" in told.err
    assert tree(work / "elsewhere") == {}
    assert (work / "out/b.txt").exists()


def test_same_content_is_fine_and_other_content_needs_overwrite(fails, steno, transcripts, work):
    transcripts(row("a.wav", "so"), row("b.wav", "it is"))
    command = ("export", "t", "--format", "txt", "--to", "out")
    steno(*command)
    assert "2 there already" in steno(*command).out
    (work / "out/a.txt").write_text("mine\n")
    assert "out/a.txt" in fails(1, *command)
    assert (work / "out/a.txt").read_text() == "mine\n"
    assert steno(*command, "--overwrite").code == 0
    assert (work / "out/a.txt").read_text() == "so\n"


def test_name_that_the_disk_refuses_is_named_and_spoils_nothing(fails, transcripts, work):
    transcripts(row("n" * 300 + ".wav"), row("b.wav"))
    assert "nnn" in fails(1, "export", "t", "--format", "txt", "--to", "out")
    assert list(tree(work / "out")) == ["b.txt"]


def test_table_without_rows_writes_nothing(steno, transcripts, work):
    transcripts()
    assert steno("export", "t", "--format", "txt", "--to", "out").code == 0
    assert not (work / "out").exists()


def test_many_commits_are_one_export(steno, transcripts, work):
    transcripts(*(row(f"{number:03}.wav", str(number)) for number in range(600)), commits=2)
    assert steno("export", "t", "--format", "txt", "--to", "out", "--json").answer["done"] == 600
    assert tree(work / "out") == {f"{n:03}.txt": f"{n}\n" for n in range(600)}


def test_words_and_missing_figures_do_not_matter(steno, transcripts, work):
    word = {"start_s": 0.0, "end_s": 0.5, "text": "so", "probability": 0.9}
    segment = {"start_s": 0.0, "end_s": 0.5, "text": "so", "words": [word]}
    transcripts(
        row("a.wav", segments=[segment]), row("b.wav", segments=[segment | {"words": None}])
    )
    assert steno("export", "t", "--format", "json", "--to", "out").code == 0
    found = json.loads((work / "out/a.json").read_text())
    assert found["segments"][0]["words"] == [word]


def test_wrong_table_or_folder_is_one_line(fails, transcripts, files):
    import pyarrow as pa

    from stenopool.catalog import open_catalog
    from stenopool.settings import Settings

    with open_catalog(Settings.from_env()) as catalog:
        catalog.create_table(catalog.name("other"), pa.schema([("path", pa.string())]))
    assert "NOPE" in fails(2, "export", "nope", "--format", "srt", "--to", "out")
    assert "segments" in fails(2, "export", "other", "--format", "srt", "--to", "out")
    files({"taken": "x"})
    transcripts(row("a.wav"))
    assert "taken" in fails(2, "export", "t", "--format", "srt", "--to", "taken")
    assert "--format" in fails(2, "export", "t", "--format", "doc", "--to", "out")
    assert "--to" in fails(2, "export", "t", "--format", "srt")
