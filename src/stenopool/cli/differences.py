"""Shows where two texts differ, word by word, on one line that a terminal can fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from stenopool.cli import console

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stenopool.asr.matching import Matching
    from stenopool.asr.report import Scored
    from stenopool.asr.scoring import Change, Edits

CONTEXT_WORDS: Final = 4
"""Words that are the same, shown on each side of a difference."""

SHOWN_WORDS: Final = 12
"""Words of one side of a difference that are shown."""

SHOWN_DIFFERENCES: Final = 8
"""Of one recording."""

EXAMPLES: Final = 3
"""Paths that stand for a list of them."""

GONE, NEW = "red", "green"


def percent(rate: float | None) -> str:
    """A rate for a person; `-` where there is none."""
    return "-" if rate is None else f"{rate:.1%}"


def counted(edits: Edits) -> str:
    """How many words were heard wrongly, for a person."""
    counts = {
        "substituted": edits.substitutions,
        "deleted": edits.deletions,
        "inserted": edits.insertions,
    }
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "no errors"


def heading(one: Scored) -> str:
    """A recording and its errors, above its differences."""
    words = one.score.words
    rate = f"{percent(words.rate)} of {console.plural(words.length, 'word')}"
    where = rate if words.length else "no words"
    return f"  {console.shown(one.pair.path)}  {where}: {counted(words)}"


def show_recording(one: Scored) -> None:
    """Print a recording with what was heard otherwise."""
    from stenopool.asr.scoring import align

    console.say(heading(one))
    changes = align(one.pair.reference, one.pair.text or "", one.pair.language)
    console.show(difference(changes), indent=4)


def uncertain(matching: Matching) -> Iterator[str]:
    """How many recordings could be one of several, if any, for a person."""
    if matching.ambiguous:
        number = console.plural(len(matching.ambiguous), "recording")
        yield f"  not certain: {number} that share their file name with others"


def examples(paths: Sequence[str]) -> str:
    """The first few of a list of paths, on one line."""
    more = ["…"] if len(paths) > EXAMPLES else []
    return ", ".join([*map(console.shown, paths[:EXAMPLES]), *more])


def difference(changes: Sequence[Change]) -> Text:
    """An alignment as `the [-cat-]{+bat+} sat`: the marks say without colours what they say."""
    parts = list(_parts(changes))
    return Text(" ").join(part for part in parts if part)


def _parts(changes: Sequence[Change]) -> Iterator[Text]:
    left = SHOWN_DIFFERENCES
    for index, change in enumerate(changes):
        if change.kind == "equal":
            first, last = index == 0, index == len(changes) - 1 or not left
            yield Text(_context(change.said, first=first, last=last))
            continue
        if not left:
            more = sum(1 for one in changes[index:] if one.kind != "equal")
            yield Text(f"(and {console.plural(more, 'more difference')})")
            return
        left -= 1
        shown = Text()
        if change.said:
            shown.append(f"[-{_shortened(change.said)}-]", style=GONE)
        if change.heard:
            shown.append(f"{{+{_shortened(change.heard)}+}}", style=NEW)
        yield shown


def _context(words: Sequence[str], *, first: bool, last: bool) -> str:
    """Words that are the same, without those that are far from a difference."""
    before = [] if first else list(words[:CONTEXT_WORDS])
    after = [] if last else list(words[len(before) :][-CONTEXT_WORDS:])
    gap = ["…"] if len(before) + len(after) < len(words) else []
    return console.shown(" ".join([*before, *gap, *after]))


def _shortened(words: Sequence[str]) -> str:
    some = " ".join(words[:SHOWN_WORDS])
    more = f" … {len(words) - SHOWN_WORDS:,} more" if len(words) > SHOWN_WORDS else ""
    return console.shown(f"{some}{more}")
