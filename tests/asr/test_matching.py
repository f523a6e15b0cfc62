"""Which path is which recording, when a table and a manifest name them differently."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenopool.asr.matching import match, stem_of

PATHS = st.sets(
    st.lists(st.sampled_from(["a", "b", "1.wav", "2.wav"]), min_size=1, max_size=3).map("/".join),
    max_size=6,
)


def matched(ones, twos):
    found = match(ones, twos)
    return found.how, found.pairs


def test_equal_paths_match_and_then_no_other_does():
    found = match(["a/1.wav", "b/1.wav"], ["a/1.wav", "c/1.wav"])
    assert (found.how, found.pairs) == ("path", {"a/1.wav": "a/1.wav"})


@pytest.mark.parametrize("other", ["./a/1.wav", "a\\1.wav"])
def test_same_path_written_otherwise_matches(other):
    assert matched(["a/1.wav"], [other]) == ("path", {"a/1.wav": other})


def test_letters_with_accents_match_however_they_are_composed():
    assert matched(["caf\u00e9.wav"], ["cafe\u0301.wav"])[1] == {"caf\u00e9.wav": "cafe\u0301.wav"}


@pytest.mark.parametrize("prefix", ["/data/", "/data/calls/", "s3://bucket/calls/", "calls/"])
def test_paths_below_another_folder_match(prefix):
    paths = ["a/1.wav", "b/1.wav", "1.wav"]
    longer = [f"{prefix}{path}" for path in paths]
    found = match(paths, longer)
    assert (found.how, found.prefix) == ("folder", prefix)
    assert found.pairs == dict(zip(paths, longer, strict=True))
    assert match(longer, paths).pairs == dict(zip(longer, paths, strict=True))


def test_path_that_could_be_in_either_of_two_folders_matches_neither():
    found = match(["x/1.wav", "y/1.wav"], ["1.wav"])
    assert (found.how, found.ambiguous) == (None, ("x/1.wav", "y/1.wav"))


def test_file_names_match_in_other_folders_where_they_are_theirs_alone():
    found = match(["x/1.wav", "x/2.wav", "y/2.wav"], ["z/1.wav", "z/2.wav"])
    assert (found.how, found.pairs) == ("name", {"x/1.wav": "z/1.wav"})
    assert found.ambiguous == ("x/2.wav", "y/2.wav")
    assert "file name" in found.shown


def test_names_without_endings_match_where_they_are_theirs_alone():
    assert matched(["x/LJ1.flac"], ["LJ1"]) == ("stem", {"x/LJ1.flac": "LJ1"})
    found = match(["LJ1.flac", "LJ1.wav"], ["LJ1"])
    assert (found.how, found.pairs) == (None, {})
    assert found.ambiguous == ("LJ1.flac", "LJ1.wav")


def test_nothing_in_common_matches_nothing():
    assert matched(["a.wav"], ["b.wav"]) == (None, {})
    assert matched([], ["b.wav"]) == (None, {})


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("a/b.c.wav", "b.c"),
        ("v1.2 talk", "v1.2 talk"),
        ("call.2024", "call.2024"),
        (".wav", ".wav"),
    ],
)
def test_ending_is_a_short_word_behind_the_last_dot(path, stem):
    assert stem_of(path) == stem


@given(PATHS, PATHS)
def test_a_path_matches_one_other_with_the_same_stem_and_none_is_taken_twice(ones, twos):
    found = match(ones, twos)
    assert set(found.pairs) <= ones
    assert set(found.pairs.values()) <= twos
    assert len(set(found.pairs.values())) == len(found.pairs)
    assert all(stem_of(one) == stem_of(two) for one, two in found.pairs.items())
    assert (found.how is None) == (not found.pairs)


@given(PATHS, PATHS)
def test_order_and_sides_do_not_matter(ones, twos):
    there, back = match(sorted(ones), twos), match(twos, sorted(ones, reverse=True))
    assert there.pairs == {one: two for two, one in back.pairs.items()}
