import json

import pytest

from cli.making import failure, later, row

MANIFEST = "path,transcript\na.wav,So it is.\nb.wav,and it was\nc.wav,they ran home again\n"


@pytest.fixture
def score(steno, files):
    """Score the table `t` against a manifest of this content."""

    def call(*options, manifest=MANIFEST, name="m.csv"):
        files({name: manifest})
        return steno("score", "t", "--reference", name, *options)

    return call


@pytest.fixture
def table(transcripts):
    """Three recordings: one right, one with a wrong word, one with a word less and one more."""
    return transcripts(
        row("a.wav", "so it is"),
        row("b.wav", "and it is", duration_s=20.0),
        row("c.wav", "they home again now", duration_s=20.0),
    )


def test_error_rates_are_those_counted_by_hand(score, table):
    found = score("--json").answer
    assert found["words"] == {
        "reference": 10, "hits": 8, "substitutions": 1, "deletions": 1, "insertions": 1
    }  # fmt: skip
    assert found["wer"] == 3 / 10
    characters = len("so it is" + "and it was" + "they ran home again")
    assert found["characters"]["reference"] == characters
    assert found["cer"] == (2 + 4 + 4) / characters  # "wa" for "i", "ran " and " now"


def test_everything_is_said_on_lines_that_a_person_reads(score, table):
    told = score()
    assert (told.code, told.err) == (0, "")
    assert told.out == (
        "3 recordings with a transcript and a reference, matched by path\n"
        "  WER    30.0% (95% interval 0.0% to 50.0%: bootstrap over 3 recordings)\n"
        "  CER    27.0%\n"
        "  words  10 in the references: 1 substituted, 1 deleted, 1 inserted\n"
        "  texts  compared after whisper-english (en)\n"
        "\n"
        "language\trecordings\twords\tWER\tCER\tsub\tdel\tins\n"
        "en\t3\t10\t30.0%\t27.0%\t1\t1\t1\n"
        "\n"
        "length\trecordings\twords\tWER\tCER\tsub\tdel\tins\n"
        "under 5 s\t1\t3\t0.0%\t0.0%\t0\t0\t0\n"
        "15 to 30 s\t2\t7\t42.9%\t34.5%\t1\t1\t1\n"
        "\n"
        "the worst recordings, with [-what was said-]{+what was heard+}:\n"
        "  c.wav  50.0% of 4 words: 1 deleted, 1 inserted\n"
        "    they [-ran-] home again {+now+}\n"
        "  b.wav  33.3% of 3 words: 1 substituted\n"
        "    and it [-was-]{+is+}\n"
    )


@pytest.mark.parametrize("columns", ["40", "100", "200"])
def test_terminal_of_any_width_shows_every_figure(score, table, terminal, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    told = score()
    assert told.err == ""
    for figure in ("30.0%", "27.0%", "15 to 30 s", "42.9%", "c.wav", "[-ran-]", "{+now+}"):
        assert figure in told.out.replace("\n", " ")
    differences = [line for line in told.lines if "[-" in line or "{+" in line]
    assert all(len(line) <= int(columns) for line in differences[1:])


def test_long_text_is_shown_around_its_differences(score, transcripts):
    said = " ".join(f"w{number}" for number in range(300))
    heard = said.replace("w150", "x").replace("w153 ", "")
    transcripts(row("a.wav", heard, language="de"))
    told = score(manifest=f"path,text\na.wav,{said}\n")
    assert (
        told.lines[-1]
        == "    … w146 w147 w148 w149 [-w150-]{+x+} w151 w152 [-w153-] w154 w155 w156 w157 …"
    )


def test_many_differences_are_cut_and_counted(score, transcripts):
    said = " ".join(f"same w{number}" for number in range(50))
    transcripts(row("a.wav", said.replace("w", "x")))
    told = score(manifest=f"path,text\na.wav,{said}\n")
    assert told.lines[-1].endswith("(and 42 more differences)")
    assert len(told.lines[-1]) < 400


def test_markup_and_controls_in_texts_and_paths_are_shown_as_they_are(score, transcripts, terminal):
    transcripts(row("[red]\x1b[31m.wav", "so"))
    told = score(manifest="path,text\n[red]\x1b[31m.wav,it\n")
    assert "[red]\\x1b[31m.wav" in told.out


def test_worst_come_first_and_as_many_as_asked(score, table):
    assert [one["path"] for one in score("--json").answer["worst"]] == ["c.wav", "b.wav"]
    assert [one["path"] for one in score("--json", "--worst", "1").answer["worst"]] == ["c.wav"]
    assert "worst" not in score("--worst", "0").out


def test_failed_recordings_are_counted_apart_and_as_deleted(score, transcripts):
    transcripts(row("a.wav", "so it is"), failure("b.wav", duration_s=None))
    told = score()
    assert told.code == 1
    assert "  WER    0.0%\n" in told.out
    assert "  failed 1 recording; WER 50.0% with all of their words as deleted\n" in told.out
    found = score("--json").answer
    assert (found["wer"], found["wer_with_failed_as_deleted"]) == (0, 0.5)
    assert found["failed_paths"] == ["b.wav"]


def test_table_of_failures_alone_has_no_rate(score, transcripts):
    transcripts(failure("a.wav"))
    assert "  WER    -\n" in score().out
    assert score("--json").answer["wer"] is None


def test_what_is_missing_on_either_side_is_said_and_not_counted(score, transcripts):
    transcripts(row("a.wav", "so it is"), row("x.wav"), row("y/z.mp3"))
    told = score()
    assert told.code == 0
    assert "not in the table: 2 of the manifest, which are not counted (b.wav, c.wav)" in told.out
    assert "not in the manifest: 2 rows" in told.out
    found = score("--json").answer
    assert found["missing_paths"] == ["b.wav", "c.wav"]
    assert (found["recordings"], found["without_reference"], found["wer"]) == (1, 2, 0)


def test_words_heard_in_silence_are_insertions(score, transcripts):
    transcripts(row("a.wav", "thank you"), row("b.wav", "so it is"), row("c.wav", ""))
    told = score(manifest="path,text\na.wav,\nb.wav,so it is\nc.wav,\n")
    assert "  WER    66.7%" in told.out
    assert "2 recordings with an empty reference" in told.out
    assert "  a.wav  no words: 2 inserted\n    {+thank you+}\n" in told.out


def test_paths_below_another_folder_match_and_it_is_said(score, transcripts):
    transcripts(row("x/a.wav", "so it is"), row("b.wav", "and it was"))
    manifest = "file,text\n/data/x/a.wav,so it is\n/data/b.wav,and it was\n"
    assert "2 recordings with a transcript and a reference, matched by path below /data/" in (
        score(manifest=manifest).out
    )
    found = score("--json", manifest=manifest).answer
    assert (found["matched_by"], found["matched_below"]) == ("folder", "/data/")


def test_file_names_match_where_they_are_theirs_alone(score, transcripts):
    transcripts(row("x/a.wav", "so it is"), row("x/b.wav"), row("y/b.wav"))
    told = score(manifest="file,text\nz/a.wav,so it is\nz/b.wav,so\n")
    assert "1 recording with a transcript and a reference, matched by file name\n" in told.out
    assert "not certain: 2 recordings that share their file name with others" in told.out


def test_newest_row_counts_and_the_others_are_told(score, transcripts):
    transcripts(
        row("a.wav", "no", model="tiny", transcribed_at=later(1)),
        row("a.wav", "so it is", model="small", transcribed_at=later(2)),
        row("b.wav", "and it was", model="tiny", transcribed_at=later(1)),
        failure("b.wav", model="small", transcribed_at=later(3)),
    )
    told = score()
    assert "  WER    0.0%\n" in told.out
    assert "2 recordings with several rows: the newest was taken; choose with --where" in told.out
    assert "models small 1, tiny 1" in told.out
    assert score("--json", "--where", "model = 'tiny'").answer["wer"] == 3 / 6


def test_languages_come_from_the_user_the_manifest_or_the_table(score, transcripts):
    transcripts(
        row("a.wav", "colour", language="cy"),
        row("b.wav", "it's", language="de"),
        row("c.wav", "so", language="de"),
    )
    manifest = "path,text,lang\na.wav,color,en-GB\nb.wav,it is,\nc.wav,so,\n"
    found = score("--json", manifest=manifest).answer
    assert found["normalisers"] == {"whisper-basic": ["de"], "whisper-english": ["en"]}
    assert {one["name"]: one["wer"] for one in found["by_language"]} == {"en": 0, "de": 1 / 3}
    assert score("--json", "--language", "en", manifest=manifest).answer["wer"] == 0


def test_answer_for_a_program_has_these_keys(score, table):
    found = score("--json").answer
    assert set(found) == {
        "table", "reference", "wer", "cer", "words", "characters", "wer_interval",
        "wer_with_failed_as_deleted", "matched_by", "matched_below", "recordings", "failed",
        "missing", "missing_paths", "without_reference", "ambiguous", "repeated",
        "empty_references", "normalisers", "models", "by_language", "by_length", "worst",
        "failed_paths",
    }  # fmt: skip
    rates = {"wer", "cer", "words", "characters"}
    assert (
        set(found["by_language"][0])
        == set(found["by_length"][0])
        == (rates | {"name", "recordings"})
    )
    assert set(found["worst"][0]) == rates | {
        "path", "language", "duration_s", "reference", "text"
    }  # fmt: skip
    assert json.dumps(found, allow_nan=False)


def test_columns_of_the_manifest_may_be_named(score, fails, table):
    manifest = "clip;path;said\na.wav;1;so it is\n"
    told = score("--json", "--path-column", "clip", "--text-column", "said", manifest=manifest)
    assert told.answer["recordings"] == 1
    assert "--text-column" in fails(2, "score", "t", "--reference", "m.csv")


def test_wrong_use_is_one_line_that_names_the_thing(fails, files, transcripts, table):
    import pyarrow as pa

    from stenopool.catalog import open_catalog
    from stenopool.settings import Settings

    with open_catalog(Settings.from_env()) as catalog:
        catalog.create_table(catalog.name("other"), pa.schema([("path", pa.string())]))
    transcripts(name="empty")
    transcripts(row("x/a.wav"), row("y/a.wav"), name="alike")
    transcripts(row("a.wav"), row("a.wav", source="/data"), name="sources")
    files({"m.csv": MANIFEST, "far.csv": "path,text\nfar/away.wav,so\n", "none.csv": ""})
    assert "NOPE" in fails(2, "score", "nope", "--reference", "m.csv")
    assert "no column duration_s, error, error_class" in fails(
        2, "score", "other", "--reference", "m.csv"
    )
    assert "'empty' has no row" in fails(2, "score", "empty", "--reference", "m.csv")
    assert "nope.csv" in fails(2, "score", "t", "--reference", "nope.csv")
    assert "is empty" in fails(2, "score", "t", "--reference", "none.csv")
    assert "--reference" in fails(2, "score", "t")
    assert "'far/away.wav'" in fails(2, "score", "t", "--reference", "far.csv")
    assert "same file name" in fails(2, "score", "alike", "--reference", "m.csv")
    assert "source = '/data'" in fails(2, "score", "sources", "--reference", "m.csv")
    assert "model = 'x'" in (
        fails(2, "score", "t", "--reference", "m.csv", "--where", "model = 'x'")
    )
