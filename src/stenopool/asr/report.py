"""The error rates of many recordings together, and of the groups that a reader asks about."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from stenopool.asr.scoring import (
    LENGTHS,
    UNKNOWN_LENGTH,
    Score,
    interval,
    language_code,
    length_class,
    normaliser_name,
    score,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A recording with what was said in it and what its transcript says.

    Attributes:
        path: of the recording.
        reference: what was said.
        text: what was heard; None for a recording that failed.
        language: of the recording; None where nobody knows.
        duration_s: of the recording; None likewise.
        model: that transcribed it; None likewise.
    """

    path: str
    reference: str
    text: str | None
    language: str | None = None
    duration_s: float | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """A pair, and how far its text is from the reference."""

    pair: Pair
    score: Score

    @property
    def worst_first(self) -> tuple[float, int, str]:
        """Sorts by rate, then by errors, then by path; words out of nothing are worst."""
        words = self.score.words
        rate = words.errors / words.length if words.length else float(words.errors)
        return -rate, -words.errors, self.pair.path


@dataclass(frozen=True, slots=True)
class Group:
    """Recordings that have something in common, and their errors."""

    name: str
    recordings: int
    score: Score


class Report:
    """The errors of all pairs; failed recordings are counted apart.

    Args:
        pairs: one for each recording.
        on_scored: is called after each of them, since many take long.
    """

    def __init__(self, pairs: Iterable[Pair], on_scored: Callable[[], None] = lambda: None) -> None:
        self.heard: list[Scored] = []
        self.failed: list[Scored] = []
        for pair in pairs:
            found = Scored(pair, score(pair.reference, pair.text or "", pair.language))
            (self.failed if pair.text is None else self.heard).append(found)
            on_scored()

    @cached_property
    def total(self) -> Score:
        """Of the recordings with a transcript."""
        return total(self.heard)

    @cached_property
    def total_with_failed(self) -> Score:
        """Of all recordings; nothing of what was said in a failed one was heard."""
        return total([*self.heard, *self.failed])

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Of the word error rate of recordings with a transcript; see `scoring.interval`."""
        return interval(one.score.words for one in self.heard)

    @property
    def normalisers(self) -> dict[str, list[str]]:
        """Languages by the normaliser that their texts got; `?` where nobody knows."""
        found: dict[str, set[str]] = {}
        for one in [*self.heard, *self.failed]:
            language = one.pair.language
            found.setdefault(normaliser_name(language), set()).add(language_code(language) or "?")
        return {name: sorted(languages) for name, languages in sorted(found.items())}

    @property
    def models(self) -> dict[str, int]:
        """Recordings by the model that transcribed them, the most frequent first."""
        return dict(Counter(one.pair.model or "?" for one in self.heard).most_common())

    @property
    def empty_references(self) -> int:
        """Recordings in which, as their reference has it, nobody speaks."""
        return sum(1 for one in self.heard if not one.score.words.length)

    def by_language(self) -> list[Group]:
        """The most frequent first."""
        groups = _grouped(self.heard, lambda pair: language_code(pair.language) or "?")
        return sorted(groups, key=lambda group: (-group.recordings, group.name))

    def by_length(self) -> list[Group]:
        """The shortest first."""
        order = [*(name for _, name in LENGTHS), UNKNOWN_LENGTH]
        groups = _grouped(self.heard, lambda pair: length_class(pair.duration_s))
        return sorted(groups, key=lambda group: order.index(group.name))

    def worst(self, count: int) -> list[Scored]:
        """So many recordings with errors, the worst first."""
        wrong = [one for one in self.heard if one.score.words.errors]
        return sorted(wrong, key=lambda one: one.worst_first)[:count]


def total(parts: Sequence[Scored]) -> Score:
    """The sum of scores."""
    return sum((one.score for one in parts), Score())


def _grouped(parts: Sequence[Scored], key: Callable[[Pair], str]) -> list[Group]:
    found: dict[str, list[Scored]] = {}
    for one in parts:
        found.setdefault(key(one.pair), []).append(one)
    return [Group(name, len(members), total(members)) for name, members in found.items()]
