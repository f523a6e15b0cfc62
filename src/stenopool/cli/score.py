"""`stenopool score`: how good a table of transcripts is, against what was really said."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from stenopool.cli import console
from stenopool.cli.differences import counted, examples, percent, show_recording, uncertain
from stenopool.cli.naming import is_failure
from stenopool.cli.options import AsJson, Language, Where
from stenopool.cli.progress import counting
from stenopool.cli.table_rows import newest_rows
from stenopool.errors import InvalidOptionError
from stenopool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from stenopool.asr.manifest import Reference
    from stenopool.asr.matching import Matching
    from stenopool.asr.report import Group, Pair, Report, Scored
    from stenopool.asr.scoring import Edits, Score
    from stenopool.cli.table_rows import Newest

COLUMNS: Final = ("text", "language", "duration_s", "model")

TABLE_CHARACTERS: Final = 72
"""A terminal that is narrower has no room for the columns of a group."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A table's recordings beside a manifest's.

    Attributes:
        report: of the recordings that are in both.
        matching: how their paths match.
        repeated: recordings that had several rows.
        missing: paths of the manifest that are not in the table.
        without_reference: rows of the table that are not in the manifest.
    """

    report: Report
    matching: Matching
    repeated: int
    missing: list[str]
    without_reference: int


def score(
    table: Annotated[
        str, typer.Argument(metavar="TABLE", help="TABLE, SCHEMA.TABLE or DATABASE.SCHEMA.TABLE.")
    ],
    reference: Annotated[
        Path,
        typer.Option(
            "--reference",
            metavar="FILE",
            help="A manifest of what was said: CSV, TSV or JSON lines with columns such as path "
            "and transcript.",
        ),
    ],
    path_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The manifest's column of paths.")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The manifest's column of texts.")
    ] = None,
    where: Where = None,
    language: Language = None,
    worst: Annotated[
        int, typer.Option(min=0, help="Show so many recordings, the worst first.")
    ] = 5,
    as_json: AsJson = False,
) -> None:
    """Say how many words and characters of a table's transcripts are wrong.

    Word and character error rates (WER, CER) against the texts of a manifest:
    of all recordings, by language, by length and of the worst. Case, punctuation
    and spelling do not count: both texts go through Whisper's normaliser (the
    English one for en, the basic one otherwise). Recordings are matched by path
    or by file name; those without a transcript are counted apart.
    """
    from stenopool.asr.manifest import Columns, read_manifest
    from stenopool.catalog import open_catalog

    references = read_manifest(reference, Columns(path=path_column, text=text_column))
    with open_catalog(Settings.from_env()) as catalog:
        opened = catalog.table(catalog.name(table))
        newest = newest_rows(opened, COLUMNS, where, in_manifest(references))
    if not newest.rows and not newest.others:
        chosen = "" if where is None else f" where {where}"
        raise InvalidOptionError(f"table {table!r} has no row{chosen}; there is nothing to score")
    found = compared(newest, references, language, f"table {table!r}", str(reference))
    if as_json:
        console.print_json({"table": table, "reference": reference} | answer(found, worst))
    else:
        show(found, worst)
    raise typer.Exit(1 if found.report.failed else 0)


def in_manifest(
    references: Sequence[Reference],
) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    """Gives the rows that may be in the manifest: however paths match, stems are the same."""
    from stenopool.asr.matching import stem_of

    stems = {stem_of(one.path) for one in references}
    return lambda row: row if stem_of(row["path"]) in stems else None


def compared(
    newest: Newest,
    references: Sequence[Reference],
    language: str | None,
    what: str,
    manifest: str,
) -> Found:
    """Match rows with references, and score those that are in both.

    Raises:
        InvalidOptionError: nothing matches.
    """
    from stenopool.asr.matching import match
    from stenopool.asr.report import Report

    by_path = {one.path: one for one in references}
    matching = match(newest.rows, by_path)
    if not matching.pairs:
        raise InvalidOptionError(no_match(what, manifest, references, matching))
    pairs = {path: by_path[other] for path, other in matching.pairs.items()}
    with counting("scored", len(pairs)) as count:
        report = Report(as_pairs(newest.rows, pairs, language), count)
    taken = set(matching.pairs.values())
    return Found(
        report=report,
        matching=matching,
        repeated=newest.repeated,
        missing=[one.path for one in references if one.path not in taken],
        without_reference=newest.others + len(newest.rows) - len(pairs),
    )


def no_match(what: str, manifest: str, references: Sequence[Reference], matching: Matching) -> str:
    """What to say where no recording is in both."""
    begin = f"no recording of {what} is in manifest {manifest!r}"
    if matching.ambiguous:
        return (
            f"{begin} for certain: several have the same file name, such as "
            f"{matching.ambiguous[0]!r}; write the paths into it as the table has them"
        )
    return (
        f"{begin}, which has {references[0].path!r} and the like; look at the table's paths with "
        "`stenopool sql`, or name another column with --path-column"
    )


def as_pairs(
    rows: Mapping[str, dict[str, Any]], pairs: Mapping[str, Reference], language: str | None
) -> Iterator[Pair]:
    """What was said and heard in each recording.

    The language is what the user says, else what the manifest says, else what was detected.
    """
    from stenopool.asr.report import Pair

    for path, said in sorted(pairs.items()):
        row = rows[path]
        yield Pair(
            path=path,
            reference=said.text,
            text=None if is_failure(row) else row["text"] or "",
            language=language or said.language or row["language"],
            duration_s=row["duration_s"],
            model=row["model"],
        )


def show(found: Found, worst: int) -> None:
    """Print the error rates for a person."""
    report = found.report
    for line in summary(found):
        console.say(line)
    for what, groups in (("language", report.by_language()), ("length", report.by_length())):
        if report.heard:
            console.say()
            show_groups(what, groups)
    listed = report.worst(worst)
    if listed:
        console.say()
        console.say("the worst recordings, with [-what was said-]{+what was heard+}:")
    for one in listed:
        show_recording(one)


def summary(found: Found) -> Iterator[str]:
    """All recordings together, and what is not among them."""
    report, matching = found.report, found.matching
    counts = console.plural(len(report.heard), "recording")
    yield f"{counts} with a transcript and a reference, matched {matching.shown}"
    yield from rate_lines(report)
    for name, languages in report.normalisers.items():
        yield f"  texts  compared after {name} ({', '.join(languages)})"
    if len(report.models) > 1:
        models = ", ".join(f"{name} {count:,}" for name, count in report.models.items())
        yield f"  models {models}; for one alone: --where \"model = 'NAME'\""
    yield from left_out(found)


def rate_lines(report: Report) -> Iterator[str]:
    """The error rates of all recordings together."""
    words, characters = report.total.words, report.total.characters
    yield f"  WER    {percent(words.rate)}{interval_text(report)}"
    yield f"  CER    {percent(characters.rate)}"
    yield f"  words  {words.length:,} in the references: {counted(words)}"
    if report.failed:
        rate = percent(report.total_with_failed.words.rate)
        failed = console.plural(len(report.failed), "recording")
        yield f"  failed {failed}; WER {rate} with all of their words as deleted"
    if report.empty_references:
        silent = console.plural(report.empty_references, "recording")
        yield f"  silent {silent} with an empty reference; what was heard there is inserted"


def interval_text(report: Report) -> str:
    """How sure the word error rate is, for a person."""
    if report.interval is None:
        return ""
    low, high = report.interval
    return (
        f" (95% interval {percent(low)} to {percent(high)}: bootstrap over "
        f"{console.plural(len(report.heard), 'recording')})"
    )


def left_out(found: Found) -> Iterator[str]:
    """Which recordings are not scored, and why."""
    if found.missing:
        yield (
            f"  not in the table: {len(found.missing):,} of the manifest, which are not counted "
            f"({examples(found.missing)})"
        )
    if found.without_reference:
        yield f"  not in the manifest: {console.plural(found.without_reference, 'row')}"
    yield from uncertain(found.matching)
    if found.repeated:
        repeated = console.plural(found.repeated, "recording")
        yield (
            f"  {repeated} with several rows: the newest was taken; choose with "
            "--where \"model = 'NAME'\""
        )


def show_groups(what: str, groups: Sequence[Group]) -> None:
    """Print a table of groups, or a line each where the table does not fit."""
    if console.out.is_terminal and console.out.width < TABLE_CHARACTERS:
        console.say(f"by {what}:")
        for group in groups:
            console.say(f"  {group.name}: {group_text(group)}")
        return
    columns = (what, "recordings", "words", "WER", "CER", "sub", "del", "ins")
    console.print_table(columns, [group_row(group) for group in groups])


def group_text(group: Group) -> str:
    """A group on one line."""
    return (
        f"WER {percent(group.score.words.rate)}, CER {percent(group.score.characters.rate)}, "
        f"{console.plural(group.recordings, 'recording')}, "
        f"{console.plural(group.score.words.length, 'word')}"
    )


def group_row(group: Group) -> tuple[object, ...]:
    """A group as the table shows it."""
    words = group.score.words
    return (
        group.name,
        group.recordings,
        words.length,
        percent(words.rate),
        percent(group.score.characters.rate),
        words.substitutions,
        words.deletions,
        words.insertions,
    )


def answer(found: Found, worst: int) -> dict[str, Any]:
    """The error rates for a program."""
    report = found.report
    return {
        **rates(report.total),
        "wer_interval": report.interval,
        "wer_with_failed_as_deleted": report.total_with_failed.words.rate,
        "matched_by": found.matching.how,
        "matched_below": found.matching.prefix or None,
        "recordings": len(report.heard),
        "failed": len(report.failed),
        "missing": len(found.missing),
        "missing_paths": found.missing,
        "without_reference": found.without_reference,
        "ambiguous": len(found.matching.ambiguous),
        "repeated": found.repeated,
        "empty_references": report.empty_references,
        "normalisers": report.normalisers,
        "models": report.models,
        "by_language": [group_answer(group) for group in report.by_language()],
        "by_length": [group_answer(group) for group in report.by_length()],
        "worst": [scored_answer(one) for one in report.worst(worst)],
        "failed_paths": [one.pair.path for one in report.failed],
    }


def rates(found: Score) -> dict[str, Any]:
    """Error rates and what they are made of."""
    return {
        "wer": found.words.rate,
        "cer": found.characters.rate,
        "words": edits(found.words),
        "characters": edits(found.characters),
    }


def edits(found: Edits) -> dict[str, int]:
    """Counts of words or characters."""
    return {"reference": found.length, **asdict(found)}


def group_answer(group: Group) -> dict[str, Any]:
    """A group for a program."""
    return {"name": group.name, "recordings": group.recordings, **rates(group.score)}


def scored_answer(one: Scored) -> dict[str, Any]:
    """A recording for a program; texts as they are, before normalising."""
    pair = one.pair
    return {
        "path": pair.path,
        "language": pair.language,
        "duration_s": pair.duration_s,
        **rates(one.score),
        "reference": pair.reference,
        "text": pair.text,
    }
