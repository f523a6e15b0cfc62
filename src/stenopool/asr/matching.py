"""Finds which path of one list is the same recording as which path of another."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

ENDING_CHARACTERS: Final = 5
"""Longest ending of a sound file, such as `.flac` or `.webm`."""

NO_VOTES: Final = (((0, ""), 0), ((0, ""), 0))

How = Literal["path", "folder", "name", "stem"]


@dataclass(frozen=True, kw_only=True)
class Matching:
    """Pairs of paths that are the same recording.

    Attributes:
        how: `path`: they are equal; `folder`: they are, once one side's paths begin with
            `prefix`; `name`: their file names are, in whatever folder; `stem`: their file names
            are, without their endings; None where nothing matches.
        pairs: the second list's path by the first list's.
        prefix: the folder that all paths of one side have more, with `/` at its end.
        ambiguous: paths of the first list whose name or stem is not theirs alone.
    """

    how: How | None
    pairs: dict[str, str] = field(default_factory=dict)
    prefix: str = ""
    ambiguous: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """How they match, for a person."""
        return {
            "path": "by path",
            "folder": f"by path below {self.prefix}",
            "name": "by file name",
            "stem": "by file name without its ending",
            None: "nothing",
        }[self.how]


def match(firsts: Iterable[str], seconds: Iterable[str]) -> Matching:
    """Match two lists of paths in the strictest way in which anything matches.

    One way for all of them: where some paths are equal, the others are other recordings, and no
    file that happens to have the same name in another folder is taken for one.

    Args:
        firsts: paths, each once.
        seconds: likewise.
    """
    ones, twos = sorted(firsts), sorted(seconds)
    if pairs := {path: path for path in set(ones) & set(twos)}:
        return Matching(how="path", pairs=pairs)
    tidied = _matched("path", _by_key(ones, tidy), _by_key(twos, tidy))
    if tidied.pairs:
        return tidied
    if (below := _below_a_folder(ones, twos)).pairs:
        return below
    by_name = _matched("name", _by_key(ones, name_of), _by_key(twos, name_of))
    by_stem = _matched("stem", _by_key(ones, stem_of), _by_key(twos, stem_of))
    if by_name.pairs:
        return by_name
    if by_stem.pairs:
        return by_stem
    return Matching(how=None, ambiguous=by_name.ambiguous or by_stem.ambiguous)


def _matched(
    how: How, first: dict[str, list[str]], second: dict[str, list[str]], prefix: str = ""
) -> Matching:
    """The pairs whose keys are equal and nobody else's."""
    common = [(first[name], second[name]) for name in first if name in second]
    return Matching(
        how=how,
        prefix=prefix,
        pairs={mine[0]: theirs[0] for mine, theirs in common if len(mine) == len(theirs) == 1},
        ambiguous=tuple(
            path for mine, theirs in common if max(len(mine), len(theirs)) > 1 for path in mine
        ),
    )


def _by_key(paths: list[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in paths:
        found.setdefault(key(path), []).append(path)
    return found


def _below_a_folder(ones: list[str], twos: list[str]) -> Matching:
    """The pairs of paths that are equal once one side's begin with the folder that most lack.

    None where no folder has most: then one path could be any of several.
    """
    first, second = _by_key(ones, tidy), _by_key(twos, tidy)
    votes = Counter([(1, prefix) for prefix in _prefixes(first, second)])
    votes.update((0, prefix) for prefix in _prefixes(second, first))
    ((side, prefix), most), (_, second_most) = [*votes.most_common(2), *NO_VOTES][:2]
    if most == second_most:
        return Matching(how=None)
    if side:
        second = {f"{prefix}{path}": paths for path, paths in second.items()}
    else:
        first = {f"{prefix}{path}": paths for path, paths in first.items()}
    return _matched("folder", first, second, prefix)


def _prefixes(longer: Iterable[str], shorter: Container[str]) -> Iterator[str]:
    """What the paths of one list have before a path of the other, once for each pair."""
    for path in longer:
        at = path.find("/")
        while at >= 0:
            if path[at + 1 :] in shorter:
                yield path[: at + 1]
            at = path.find("/", at + 1)


def tidy(path: str) -> str:
    """A path with `/` between folders, no `./` before it, and letters in one form (NFC)."""
    plain = unicodedata.normalize("NFC", path)
    if "/" not in plain:  # as Windows writes them
        plain = plain.replace("\\", "/")
    while plain.startswith("./"):
        plain = plain[2:]
    return plain


def name_of(path: str) -> str:
    """The file's name."""
    return tidy(path).rpartition("/")[2]


def stem_of(path: str) -> str:
    """The file's name without its ending: a few letters and digits behind the last dot."""
    name = name_of(path)
    stem, _, ending = name.rpartition(".")
    is_ending = len(ending) <= ENDING_CHARACTERS and ending.isalnum() and not ending.isdecimal()
    return stem if stem and is_ending else name
