"""The rules for paths, and the shell wildcards, with Python's own glob as the oracle."""

from __future__ import annotations

import glob
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stenopool.errors import InvalidNameError
from stenopool.storage import matches
from stenopool.storage.paths import check_path, is_temporary, temporary_name

NAMES = st.sampled_from(["a", "b", "ab", "c.x", ".d"])
FILES = st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join), min_size=1, max_size=6)
PIECES = st.sampled_from(["*", "a*", "?", "[ab]", "**", "a", "*.x", "[!a]*"])


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("x/a.wav", "*.wav", True),
        ("x/a.wav", "/*.wav", False),
        ("a.wav", "/*.wav", True),
        ("x/a.wav", "x/*", True),
        ("x/y/a.wav", "x/*", False),
        ("x/y/a.wav", "x/**", True),
        ("x/y/a.wav", "**/y/*.wav", True),
        ("a.wav", "**/*.wav", True),
        ("x/y/z/a.wav", "x/**/a.wav", True),
        ("a.WAV", "*.wav", False),
        ("a.wav", "?.wav", True),
        ("ab.wav", "?.wav", False),
        ("[a].wav", "[[]a].wav", True),
        ("x/a.wav", "x", False),
        ("a\nb.wav", "*.wav", True),
    ],
)
def test_a_pattern_fits(path, pattern, fits):
    assert matches(path, [pattern]) is fits


def test_no_pattern_fits_every_path_and_one_of_several_is_enough():
    assert matches("x", [])
    assert matches("x.wav", ["*.flac", "*.wav"])


@settings(max_examples=60, deadline=None)
@given(files=FILES, pattern=st.lists(PIECES, min_size=1, max_size=4).map("/".join))
def test_a_pattern_with_slashes_fits_what_the_shell_would_find(files, pattern):
    with tempfile.TemporaryDirectory() as top:
        for name in files:
            place = Path(top, name)
            if not any(parent.is_file() for parent in place.parents) and not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
        there = {str(p.relative_to(top)) for p in Path(top).rglob("*") if p.is_file()}
        # Path.glob has no way to take names with a dot in front, as ours does.
        found = glob.glob(  # noqa: PTH207
            pattern, root_dir=top, recursive=True, include_hidden=True
        )
        assert {p for p in there if matches(p, [f"/{pattern}"])} == there.intersection(found)


@given(st.lists(st.sampled_from(["a", "..", ".", "", "b c"]), min_size=1, max_size=5))
def test_a_path_that_is_allowed_stays_below_its_root(parts):
    path = "/".join(parts)
    try:
        check_path(path)
    except InvalidNameError:
        return
    assert Path("/root", path).is_relative_to("/root")
    assert ".." not in Path(path).parts


def test_temporary_names_are_told_from_others_and_cannot_be_used():
    assert is_temporary(temporary_name())
    assert not is_temporary(".stenopool-x.part")
    assert temporary_name() != temporary_name()
    with pytest.raises(InvalidNameError):
        check_path(f"a/{temporary_name()}")
