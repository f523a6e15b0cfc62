"""`stenopool compare`: where two tables of transcripts of the same recordings differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from stenopool.cli import console
from stenopool.cli.differences import counted, examples, percent, show_recording, uncertain
from stenopool.cli.naming import is_failure
from stenopool.cli.options import AsJson, Language
from stenopool.cli.progress import counting
from stenopool.cli.score import rates
from stenopool.cli.table_rows import newest_rows
from stenopool.errors import InvalidOptionError
from stenopool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stenopool.asr.matching import Matching
    from stenopool.asr.report import Scored
    from stenopool.asr.scoring import Score
    from stenopool.catalog import Catalog
    from stenopool.cli.table_rows import Newest

COLUMNS: Final = ("text", "language", "duration_s", "model", "segments")

TableName = "TABLE, SCHEMA.TABLE or DATABASE.SCHEMA.TABLE."


@dataclass(kw_only=True)
class Times:
    """How far segments moved in recordings whose words are the same.

    Attributes:
        recordings: with as many segments in both.
        cut_otherwise: with the same words in other segments.
        moves_s: of every start and end.
        farthest: the largest move (s), and the path of its recording.
    """

    recordings: int = 0
    cut_otherwise: int = 0
    moves_s: list[float] = field(default_factory=list)
    farthest: tuple[float, str] = (0.0, "")

    def add(self, path: str, before: list[float], after: list[float]) -> None:
        """Take the starts and ends of one recording's segments in both tables."""
        if len(before) != len(after):
            self.cut_otherwise += 1
            return
        self.recordings += 1
        moves = [abs(one - other) for one, other in zip(before, after, strict=True)]
        self.moves_s += moves
        self.farthest = max(self.farthest, (max(moves, default=0.0), path))


@dataclass(kw_only=True)
class Compared:
    """Two tables beside each other; A is what B is held against.

    Attributes:
        matching: how the paths match.
        both: recordings with a transcript in both.
        same_text: of these, with the same text to the letter.
        same_words: of these, with the same words after normalising.
        total: errors of B, as if A were right.
        different: recordings whose words differ, the most different first.
        only: paths that are in A alone, and in B alone.
        failed: paths that failed in A, and in B.
        repeated: recordings of which A or B has several rows.
        times: of segments.
    """

    matching: Matching
    both: int = 0
    same_text: int = 0
    same_words: int = 0
    total: Score
    different: list[Scored] = field(default_factory=list)
    only: tuple[list[str], list[str]]
    failed: tuple[list[str], list[str]]
    repeated: int = 0
    times: Times = field(default_factory=Times)


def compare(
    table_a: Annotated[str, typer.Argument(metavar="TABLE_A", help=TableName)],
    table_b: Annotated[str, typer.Argument(metavar="TABLE_B", help="Held against TABLE_A.")],
    where_a: Annotated[
        str | None,
        typer.Option(metavar="CONDITION", help="Take only these rows of A: \"model = 'small'\"."),
    ] = None,
    where_b: Annotated[
        str | None, typer.Option(metavar="CONDITION", help="Take only these rows of B.")
    ] = None,
    language: Language = None,
    worst: Annotated[
        int, typer.Option(min=0, help="Show so many recordings, the most different first.")
    ] = 5,
    as_json: AsJson = False,
) -> None:
    """Show where two tables of the same recordings differ.

    How many texts are the same, the word error rate of B as if A were right,
    what is in one of them alone, how far the times of segments moved, and the
    most different recordings word by word. The same table may be given twice,
    with two conditions.
    """
    from stenopool.catalog import open_catalog

    with open_catalog(Settings.from_env()) as catalog:
        if (catalog.name(table_a), where_a) == (catalog.name(table_b), where_b):
            raise InvalidOptionError(
                f"{table_a!r} is compared with itself; name another table, or choose different "
                "rows with --where-a and --where-b"
            )
        first = rows_of(catalog, table_a, where_a)
        second = rows_of(catalog, table_b, where_b)
    found = compared(first, second, language, (table_a, table_b))
    if as_json:
        console.print_json({"table_a": table_a, "table_b": table_b} | answer(found, worst))
    else:
        show(found, worst)
    raise typer.Exit(1 if any(found.failed) else 0)


def rows_of(catalog: Catalog, table: str, where: str | None) -> Newest:
    """A row for each recording of a table.

    Raises:
        InvalidOptionError: there is none.
    """
    newest = newest_rows(catalog.table(catalog.name(table)), COLUMNS, where, with_times_alone)
    if not newest.rows:
        chosen = "" if where is None else f" where {where}"
        raise InvalidOptionError(f"table {table!r} has no row{chosen}; there is nothing to compare")
    return newest


def with_times_alone(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the starts and ends of its segments in place of them."""
    times = [(one["start_s"], one["end_s"]) for one in row.pop("segments") or ()]
    return {**row, "times": [time for pair in times for time in pair]}


def compared(
    first: Newest, second: Newest, language: str | None, names: tuple[str, str]
) -> Compared:
    """Hold the rows of B against those of A.

    Raises:
        InvalidOptionError: no recording is in both.
    """
    from stenopool.asr.matching import match
    from stenopool.asr.scoring import Score

    matching = match(first.rows, second.rows)
    if not matching.pairs:
        raise InvalidOptionError(
            f"no recording is in both tables: {names[0]!r} has {min(first.rows)!r} and the like, "
            f"{names[1]!r} has {min(second.rows)!r}"
        )
    taken = set(matching.pairs.values())
    found = Compared(
        matching=matching,
        total=Score(),
        only=(
            sorted(set(first.rows) - set(matching.pairs)),
            sorted(set(second.rows) - taken),
        ),
        failed=(failed_paths(first), failed_paths(second)),
        repeated=first.repeated + second.repeated,
    )
    with counting("compared", len(matching.pairs)) as step:
        for path, other in sorted(matching.pairs.items()):
            add(found, first.rows[path], second.rows[other], language)
            step()
    found.different.sort(key=lambda one: one.worst_first)
    return found


def failed_paths(newest: Newest) -> list[str]:
    """The recordings that could not be transcribed."""
    return sorted(path for path, row in newest.rows.items() if is_failure(row))


def add(
    found: Compared, before: dict[str, Any], after: dict[str, Any], language: str | None
) -> None:
    """Take one recording that is in both tables."""
    from stenopool.asr.report import Pair, Scored
    from stenopool.asr.scoring import score

    if is_failure(before) or is_failure(after):
        return
    pair = Pair(
        path=before["path"],
        reference=before["text"] or "",
        text=after["text"] or "",
        language=language or before["language"] or after["language"],
        duration_s=before["duration_s"],
    )
    scored = Scored(pair, score(pair.reference, pair.text or "", pair.language))
    found.both += 1
    found.same_text += pair.reference == pair.text
    found.total += scored.score
    if scored.score.words.errors:
        found.different.append(scored)
    else:
        found.same_words += 1
        found.times.add(pair.path, before["times"], after["times"])


def show(found: Compared, worst: int) -> None:
    """Print the differences for a person."""
    for line in summary(found):
        console.say(line)
    listed = found.different[:worst]
    if listed:
        console.say()
        console.say("the most different recordings, with [-what A says-]{+what B says+}:")
    for one in listed:
        show_recording(one)


def summary(found: Compared) -> Iterator[str]:
    """All recordings together."""
    words = found.total.words
    yield (
        f"{console.plural(found.both, 'recording')} with a transcript in A and B, matched "
        f"{found.matching.shown}"
    )
    if found.both:
        yield (
            f"  same   words in {share(found.same_words, found.both)}, text to the letter in "
            f"{share(found.same_text, found.both)}"
        )
        yield f"  WER    {percent(words.rate)} of B, as if A were right: {counted(words)}"
        yield f"  CER    {percent(found.total.characters.rate)}"
        yield from times_lines(found.times)
    for what, pair in (("only", found.only), ("failed", found.failed)):
        for name, paths in zip("AB", pair, strict=True):
            if paths:
                count = console.plural(len(paths), "recording")
                yield f"  {what} in {name}: {count} ({examples(paths)})"
    yield from uncertain(found.matching)
    if found.repeated:
        repeated = console.plural(found.repeated, "recording")
        yield (
            f"  {repeated} with several rows: the newest was taken; choose with --where-a and "
            "--where-b"
        )


def share(part: int, whole: int) -> str:
    """`12 (80.0%)`; whole numbers say what a share rounds."""
    return f"{part:,} ({part / whole:.1%})"


def times_lines(times: Times) -> Iterator[str]:
    """How far segments moved, for a person."""
    if times.moves_s:
        far, path = times.farthest
        at = f" ({console.shown(path)})" if far else ""
        yield (
            f"  times  where the words are the same, starts and ends of segments differ by "
            f"{median(times.moves_s):.2f} s (median), {far:.2f} s at most{at}"
        )
    if times.cut_otherwise:
        number = console.plural(times.cut_otherwise, "recording")
        yield f"  cut    {number} with the same words in another number of segments"


def answer(found: Compared, worst: int) -> dict[str, Any]:
    """The differences for a program."""
    times = found.times
    return {
        "matched_by": found.matching.how,
        "matched_below": found.matching.prefix or None,
        "recordings": found.both,
        "same_words": found.same_words,
        "same_text": found.same_text,
        **rates(found.total),
        "times": {
            "recordings": times.recordings,
            "median_s": median(times.moves_s) if times.moves_s else None,
            "max_s": times.farthest[0] if times.moves_s else None,
            "max_path": times.farthest[1] or None,
            "cut_otherwise": times.cut_otherwise,
        },
        "only_a": found.only[0],
        "only_b": found.only[1],
        "failed_a": found.failed[0],
        "failed_b": found.failed[1],
        "repeated": found.repeated,
        "different": [
            {
                "path": one.pair.path,
                **rates(one.score),
                "text_a": one.pair.reference,
                "text_b": one.pair.text,
            }
            for one in found.different[:worst]
        ],
    }
