"""Which language is spoken: in a window, in a recording, and where a recording changes it.

Where the options name no language, a recording of one window is in the one that this window is
likeliest in. In a longer one, the first windows of each stretch (a unit, some ten minutes) say
which language it seems to be in: the first that is clear (`CLEARLY`), or else the likeliest of
`FIRST_WINDOWS`. Each window is then looked at by itself, in the batch that transcribes it, and is
taken for another language only where it is clearly in that one; short or noisy windows are often
mistaken for others, and their neighbours know better. A window of two languages is in one. Where
the options name the language, nothing is looked for, which saves a step of the decoder a window.

With a list of allowed languages, the likeliest of them is taken, and its probability is that among
all languages: a low one says that somebody may speak none of those allowed. For the same reason a
window must be clearly in an allowed language, and not just more so than in the others, to differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

CLEARLY: Final = 0.8
"""From this probability on a window is clearly in a language: four to one against all others."""

FIRST_WINDOWS: Final = 3
"""Windows at the start of a stretch that are asked, one after another, until one is clear."""


def likeliest(probabilities: Mapping[str, float], allowed: Collection[str]) -> tuple[str, float]:
    """The likeliest language of those allowed, and its probability among all.

    Args:
        probabilities: 0 to 1, by language code.
        allowed: language codes; none allows all.
    """
    code = max(allowed or probabilities, key=lambda code: probabilities.get(code, 0.0))
    return code, probabilities.get(code, 0.0)


def settled(
    probabilities: Mapping[str, float], allowed: Collection[str], presumed: str | None
) -> tuple[str, float]:
    """The language that a window is taken for, and its probability in that window.

    Args:
        probabilities: 0 to 1, by language code.
        allowed: language codes; none allows all.
        presumed: what the recording seems to speak; None where the window is all that is known.
    """
    code, probability = likeliest(probabilities, allowed)
    if presumed is None or probability >= CLEARLY:
        return code, probability
    return presumed, probabilities.get(presumed, 0.0)
