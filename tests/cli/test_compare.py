import json

import pytest

from cli.making import failure, later, row


def segments(*times):
    return [{"start_s": start, "end_s": end, "text": "so", "words": []} for start, end in times]


@pytest.fixture
def tables(transcripts):
    """Two tables of five recordings: same, same words, other words, failed in A, failed in B."""
    transcripts(
        row("a.wav", "so it is", segments=segments((0, 1), (2, 3))),
        row("b.wav", "So it is!", segments=segments((0, 1))),
        row("c.wav", "they ran home again", segments=segments((0, 1))),
        failure("d.wav"),
        row("e.wav"),
        row("only-a.wav"),
        name="A",
    )
    transcripts(
        row("a.wav", "so it is", segments=segments((0, 1.25), (2.5, 3))),
        row("b.wav", "so it is", segments=segments((0, 0.5), (0.5, 1))),
        row("c.wav", "they ran homeward", segments=segments((9, 9))),
        row("d.wav"),
        failure("e.wav"),
        row("only-b.wav"),
        name="B",
    )


def test_differences_are_said_on_lines_that_a_person_reads(steno, tables):
    told = steno("compare", "A", "B")
    assert (told.code, told.err) == (1, "")  # recordings failed
    assert told.out == (
        "3 recordings with a transcript in A and B, matched by path\n"
        "  same   words in 2 (66.7%), text to the letter in 1 (33.3%)\n"
        "  WER    20.0% of B, as if A were right: 1 substituted, 1 deleted\n"
        "  CER    14.3%\n"
        "  times  where the words are the same, starts and ends of segments differ by 0.12 s "
        "(median), 0.50 s at most (a.wav)\n"
        "  cut    1 recording with the same words in another number of segments\n"
        "  only in A: 1 recording (only-a.wav)\n"
        "  only in B: 1 recording (only-b.wav)\n"
        "  failed in A: 1 recording (d.wav)\n"
        "  failed in B: 1 recording (e.wav)\n"
        "\n"
        "the most different recordings, with [-what A says-]{+what B says+}:\n"
        "  c.wav  50.0% of 4 words: 1 substituted, 1 deleted\n"
        "    they ran [-home-]{+homeward+} [-again-]\n"
    )


def test_answer_for_a_program_says_the_same(steno, tables):
    found = steno("compare", "A", "B", "--json").answer
    assert (found["recordings"], found["same_words"], found["same_text"]) == (3, 2, 1)
    assert found["wer"] == 2 / 10
    assert found["times"] == {
        "recordings": 1, "median_s": 0.125, "max_s": 0.5, "max_path": "a.wav", "cut_otherwise": 1
    }  # fmt: skip
    assert (found["only_a"], found["only_b"]) == (["only-a.wav"], ["only-b.wav"])
    assert (found["failed_a"], found["failed_b"]) == (["d.wav"], ["e.wav"])
    assert set(found) == {
        "table_a", "table_b", "matched_by", "matched_below", "recordings", "same_words",
        "same_text", "wer", "cer", "words", "characters", "times", "only_a", "only_b", "failed_a",
        "failed_b", "repeated", "different",
    }  # fmt: skip
    [one] = found["different"]
    assert (one["path"], one["text_b"], one["wer"]) == ("c.wav", "they ran homeward", 0.5)
    assert json.dumps(found, allow_nan=False)


def test_equal_tables_have_no_difference(steno, transcripts):
    for name in ("A", "B"):
        transcripts(row("a.wav", "so it is. and it was"), row("b.wav", ""), name=name)
    told = steno("compare", "A", "B")
    assert told.code == 0
    assert "same   words in 2 (100.0%), text to the letter in 2 (100.0%)" in told.out
    assert "WER    0.0% of B, as if A were right: no errors" in told.out
    assert "differ by 0.00 s (median), 0.00 s at most\n" in told.out
    assert "most different" not in told.out


def test_the_tables_change_places(steno, tables):
    there = steno("compare", "A", "B", "--json").answer["words"]
    back = steno("compare", "B", "A", "--json").answer["words"]
    assert (there["deletions"], there["insertions"]) == (back["insertions"], back["deletions"])
    assert there["substitutions"] == back["substitutions"]


def test_two_models_in_one_table_are_compared_by_conditions(steno, transcripts):
    transcripts(
        row("a.wav", "so it is", model="small", transcribed_at=later(1)),
        row("a.wav", "so it was", model="tiny", transcribed_at=later(2)),
    )
    line = ("compare", "t", "t", "--where-a", "model = 'small'", "--where-b", "model = 'tiny'")
    assert steno(*line, "--json").answer["wer"] == 1 / 3


@pytest.mark.parametrize("columns", ["40", "100", "200"])
def test_terminal_of_any_width_shows_the_difference(steno, tables, terminal, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    told = steno("compare", "A", "B")
    for shown in ("66.7%", "20.0%", "only-b.wav", "[-home-]{+homeward+}"):
        assert shown in told.out
    assert "\x1b" not in told.out


def test_differences_are_coloured_where_colours_are(process, tables, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain = process("compare", "A", "B").stdout
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[31m[-home-]\x1b[0m\x1b[32m{+homeward+}\x1b[0m" in (
        process("compare", "A", "B").stdout
    )
    assert "\x1b" not in plain


def test_most_different_come_first_and_as_many_as_asked(steno, transcripts):
    transcripts(row("a.wav", "so it is"), row("b.wav", "so it is"), name="A")
    transcripts(row("a.wav", "so it was"), row("b.wav", "so was it not"), name="B")
    found = steno("compare", "A", "B", "--json").answer["different"]
    assert [one["path"] for one in found] == ["b.wav", "a.wav"]
    assert "most different" not in steno("compare", "A", "B", "--worst", "0").out


def test_tables_of_other_folders_are_matched(steno, transcripts):
    transcripts(row("x/a.wav"), row("b.wav"), name="A")
    transcripts(row("calls/x/a.wav"), row("calls/b.wav"), name="B")
    assert "2 recordings with a transcript in A and B, matched by path below calls/" in (
        steno("compare", "A", "B").out
    )


def test_wrong_use_is_one_line_that_names_the_thing(fails, transcripts, tables):
    transcripts(name="empty")
    transcripts(row("far.wav"), name="far")
    assert "NOPE" in fails(2, "compare", "A", "nope")
    assert "with itself" in fails(2, "compare", "A", "A")
    assert "with itself" in fails(2, "compare", "a", "STENOPOOL.PUBLIC.A")
    assert "'empty' has no row" in fails(2, "compare", "A", "empty")
    assert "'far.wav'" in fails(2, "compare", "A", "far")
    assert "where model = 'x'" in fails(2, "compare", "A", "B", "--where-b", "model = 'x'")
    assert "TABLE_B" in fails(2, "compare", "A")
