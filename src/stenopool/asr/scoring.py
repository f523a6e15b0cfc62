"""How far a text is from what was said: error rates of words and characters, as the field counts.

Both texts go through Whisper's own normaliser first, so that case, punctuation and spelling do not
count; published error rates of Whisper are made so (Radford et al. 2022, appendix C).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from stenopool.model import UNSPACED_LANGUAGES, WINDOW_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

ENGLISH: Final = "whisper-english"
BASIC: Final = "whisper-basic"
MARKS_KEPT: Final = "whisper-basic, marks kept"
LETTERS: Final = "whisper-basic, letter by letter"

MARK_LANGUAGES: Final = frozenset(
    {"as", "bn", "bo", "gu", "hi", "kn", "ml", "mr", "ne", "pa", "sa", "sd", "si", "ta", "te"}
)
"""Languages whose vowels are Unicode marks, which the basic normaliser would cut out of words."""

DRAWS: Final = 1000
"""Samples that a bootstrap draws."""

LEAST_RECORDINGS: Final = 2
"""One recording does not vary."""

LEVEL: Final = 0.95
"""Of the interval."""

LENGTHS: Final = (
    (5, "under 5 s"),
    (15, "5 to 15 s"),
    (WINDOW_S, "15 to 30 s"),
    (300, "30 s to 5 min"),
    (3600, "5 min to 1 h"),
    (float("inf"), "over 1 h"),
)
"""Upper ends (s) and names of the classes of lengths; the first three fit one window."""

UNKNOWN_LENGTH: Final = "unknown"

Kind = Literal["equal", "substitute", "delete", "insert"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Edits:
    """What turns a reference into what was heard, in words or in characters.

    Attributes:
        hits: that are the same.
        substitutions: heard as another.
        deletions: not heard.
        insertions: heard, and not said.
    """

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __add__(self, other: Edits) -> Edits:
        return Edits(
            hits=self.hits + other.hits,
            substitutions=self.substitutions + other.substitutions,
            deletions=self.deletions + other.deletions,
            insertions=self.insertions + other.insertions,
        )

    @property
    def length(self) -> int:
        """Words or characters of the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """All that are not hits."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float | None:
        """Errors over the reference's length, 0 for none, over 1 for many; None where it is 0."""
        return self.errors / self.length if self.length else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """How far one text, or many together, are from their references."""

    words: Edits = field(default_factory=Edits)
    characters: Edits = field(default_factory=Edits)

    def __add__(self, other: Score) -> Score:
        return Score(words=self.words + other.words, characters=self.characters + other.characters)


@dataclass(frozen=True, slots=True)
class Change:
    """A stretch of an alignment: words of the reference, and what was heard for them."""

    kind: Kind
    said: tuple[str, ...]
    heard: tuple[str, ...]


def normaliser_name(language: str | None) -> str:
    """Which normaliser the texts of a language get."""
    language = language_code(language)
    if language == "en":
        return ENGLISH
    if language in UNSPACED_LANGUAGES:
        return LETTERS
    return MARKS_KEPT if language in MARK_LANGUAGES else BASIC


def language_code(language: str | None) -> str | None:
    """The ISO 639-1 code of a tag such as `en`, `en-US` or `EN_us`; None for none."""
    code = (language or "").strip().replace("_", "-").partition("-")[0].lower()
    return code or None


@cache
def _normaliser(name: str) -> Callable[[str], str]:
    from whisper_normalizer.basic import BasicTextNormalizer
    from whisper_normalizer.english import EnglishTextNormalizer

    made: Callable[[str], str]
    if name == ENGLISH:
        made = EnglishTextNormalizer()
    else:
        # Chinese, Japanese, Thai and the like have no words to count: each letter is one.
        made = BasicTextNormalizer(split_letters=name == LETTERS, preserve_marks=name != BASIC)
    return lru_cache(maxsize=4096)(made)  # corpora of words and digits say the same again


def normalised(text: str, language: str | None) -> str:
    """A text as it is compared: words in lower case with one space between them."""
    return " ".join(_normaliser(normaliser_name(language))(text).split())


def score(reference: str, heard: str, language: str | None) -> Score:
    """Compare one text with what was said.

    Args:
        reference: what was said.
        heard: what a transcript says; `""` counts as all deleted.
        language: of the recording, which chooses the normaliser.
    """
    said, found = normalised(reference, language), normalised(heard, language)
    words = count_edits(said.split(), found.split())
    if normaliser_name(language) == LETTERS:
        return Score(words=words, characters=words)
    return Score(words=words, characters=count_edits(list(said), list(found)))


def count_edits(said: Sequence[str], heard: Sequence[str]) -> Edits:
    """The fewest edits that turn one list of words or characters into the other."""
    counts: Counter[str] = Counter()
    for change in _chunks(said, heard):
        counts[change.kind] += max(len(change.said), len(change.heard))
    return Edits(
        hits=counts["equal"],
        substitutions=counts["substitute"],
        deletions=counts["delete"],
        insertions=counts["insert"],
    )


def align(reference: str, heard: str, language: str | None) -> list[Change]:
    """What was said and heard, word by word, after normalising."""
    return _chunks(normalised(reference, language).split(), normalised(heard, language).split())


def _chunks(said: Sequence[str], heard: Sequence[str]) -> list[Change]:
    import jiwer

    if said == heard:
        return [Change("equal", tuple(said), tuple(heard))] if said else []
    as_it_is = jiwer.Compose([])
    # Its own types know sentences alone; a transform of nothing lets it take lists of words.
    one: Any = [said]
    other: Any = [heard]
    found = jiwer.process_words(one, other, as_it_is, as_it_is)
    return [
        Change(
            cast("Kind", chunk.type),
            tuple(said[chunk.ref_start_idx : chunk.ref_end_idx]),
            tuple(heard[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in found.alignments[0]
    ]


def length_class(duration_s: float | None) -> str:
    """The name of the class of lengths that a recording belongs to."""
    if duration_s is None:
        return UNKNOWN_LENGTH
    return next(name for end, name in LENGTHS if duration_s < end)


def interval(parts: Iterable[Edits], *, draws: int = DRAWS) -> tuple[float, float] | None:
    """Where the error rate of all recordings of this kind lies, with a probability of `LEVEL`.

    A bootstrap: recordings are drawn again with replacement, so often, and the middle of the
    rates is taken. It knows what the sample knows: of few recordings it is too narrow.

    Args:
        parts: one for each recording.
        draws: how often.

    Returns:
        The lower and upper end; None for fewer than two recordings with words, and where there
        are no errors: drawing again finds none, and says nothing of those that were not seen.
    """
    import numpy as np

    counted = [(one.errors, one.length) for one in parts]
    spoken = sum(1 for _, length in counted if length)
    if spoken < LEAST_RECORDINGS or not any(errors for errors, _ in counted):
        return None
    errors, lengths = np.array(counted, dtype=np.float64).T
    random = np.random.default_rng(0)
    rates = []
    for _ in range(draws):
        drawn = random.integers(len(counted), size=len(counted))
        if total := lengths[drawn].sum():
            rates.append(errors[drawn].sum() / total)
    low, high = np.quantile(rates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
