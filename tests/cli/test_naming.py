from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from cli.making import failure, later, row
from stenopool.cli.naming import ExportNames, safe

ODD = st.text(alphabet=st.sampled_from("ab./\n@ "), min_size=1, max_size=8)
PATHS = st.builds("{}{}".format, ODD, st.sampled_from(["", ".flac", ".wav", ".srt", ".flac.srt"]))
SOURCES = st.sampled_from(["@A.B.C", "/data", "s3://bucket", "", "a"])


def names_of(rows):
    with ExportNames(".srt") as names:
        for one in rows:
            names.add(one)
        names.close_list()
        return [names.name(one) for one in rows if names.take(one)]


@given(st.lists(st.tuples(SOURCES, PATHS), unique=True, max_size=12))
def test_no_two_recordings_share_a_file(recordings):
    found = names_of([row(path, source=source) for source, path in recordings])
    assert len(set(found)) == len(found) == len(recordings)


@given(st.lists(PATHS, unique=True, max_size=8))
def test_every_name_is_relative_and_stays_below(paths):
    for name in names_of([row(path) for path in paths]):
        assert not {"", ".", ".."} & set(name.split("/"))
        assert name.endswith(".srt")


@given(st.text(max_size=30))
def test_any_text_becomes_a_relative_path(text):
    parts = safe(text).split("/")
    assert not {"", ".", ".."} & set(parts)
    assert "\0" not in safe(text)


def test_lone_recording_has_the_name_that_a_person_expects():
    for path in ("a.flac", "x/a.tar.gz", "x.y/a", "a b.wav", ".hidden"):
        (found,) = names_of([row(path)])
        assert found == str(PurePosixPath(path).parent / f"{PurePosixPath(path).stem}.srt")


def test_name_of_one_recording_that_is_the_short_name_of_another_is_given_once():
    found = names_of([row("a.wav"), row("a.flac"), row("a.wav.mp3"), row("a")])
    assert found == ["a.wav.srt", "a.flac.srt", "a.wav.mp3.srt", "a.srt"]


@given(st.permutations(range(4)))
def test_row_that_is_taken_does_not_depend_on_the_order(order):
    rows = [
        failure("a.wav", transcribed_at=later(9), transcript_id="0"),
        row("a.wav", transcribed_at=later(1), transcript_id="1"),
        row("a.wav", transcribed_at=later(2), transcript_id="2"),
        row("a.wav", transcribed_at=later(2).replace(microsecond=5), transcript_id="3"),
    ]
    with ExportNames(".srt") as names:
        for index in order:
            names.add(rows[index])
        names.close_list()
        taken = [one["transcript_id"] for one in rows if names.take(one)]
        assert taken == ["3"]
        assert (names.recordings, names.repeated, names.failed) == (1, 1, 0)


def test_row_that_is_there_twice_is_taken_once():
    assert names_of([row("a.wav"), row("a.wav")]) == ["a.srt"]
