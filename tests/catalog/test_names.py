"""Names fold and are quoted as in the dialect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenopool.catalog import ObjectName, parse_name
from stenopool.catalog.places import place_of
from stenopool.errors import InvalidNameError

PARTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=".\0"), min_size=1, max_size=20
)
NAMES = st.builds(ObjectName, PARTS, PARTS, PARTS)


def parse(text):
    return parse_name(text, database="DB", schema="my schema")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("calls", ("DB", "my schema", "CALLS")),
        ("S.calls", ("DB", "S", "CALLS")),
        ("a.b.c", ("A", "B", "C")),
        ('"calls"', ("DB", "my schema", "calls")),
        ('a."b c"."d""e"', ("A", "b c", 'd"e')),
        ("  _x$1 ", ("DB", "my schema", "_X$1")),
        ('"@/é"', ("DB", "my schema", "@/é")),
    ],
)
def test_a_name_is_completed_and_folded(text, parts):
    assert parse(text) == ObjectName(*parts)


@pytest.mark.parametrize(
    "text",
    ["", " ", ".", "a.", ".a", "a..b", "a.b.c.d", '""', 'a.""', "1a", "a-b", "a b", '"a', 'a"b"',
     '"a.b"', '"a\0b"', '"\ud800"', "a" * 128, "a;b", "é"],
)  # fmt: skip
def test_what_is_no_name_is_refused(text):
    with pytest.raises(InvalidNameError):
        parse(text)


def test_a_name_is_written_with_quotes_where_it_needs_them():
    assert str(ObjectName("DB", "low", 'a"b')) == 'DB."low"."a""b"'


@given(NAMES)
def test_a_name_is_read_as_it_was_written(name):
    assert parse_name(str(name), database="X", schema="Y") == name


@given(PARTS, PARTS)
def test_unquoted_parts_fold_and_never_change_again(first, second):
    text = f"{first}.{second}"
    try:
        name = parse(text)
    except InvalidNameError:
        return
    if '"' not in text:
        assert (name.schema, name.name) == (first.strip().upper(), second.strip().upper())


@given(NAMES, NAMES)
def test_different_names_get_different_places_that_any_file_system_takes(one, other):
    places = [place_of("/top", name) for name in (one, other)]
    assert (places[0] == places[1]) is (one == other)
    for part in places[0].removeprefix("/top/").split("/"):
        assert part.isascii()
        assert 0 < len(part) <= 120
        assert part not in (".", "..")
        assert not set(part) & set("%?#[]*:\\\"' \n")


def test_a_name_that_looks_like_an_encoded_one_gets_a_place_of_its_own():
    names = [ObjectName("D", "S", text) for text in ("é", "~C3~A9", "%C3%A9", "~7EC3~7EA9")]
    assert len({place_of("/top", name) for name in names}) == len(names)


def test_long_names_with_one_beginning_get_different_places():
    names = [ObjectName("D", "S", "é" * 100 + end) for end in "ab"]
    assert len({place_of("/top", name) for name in names}) == 2
