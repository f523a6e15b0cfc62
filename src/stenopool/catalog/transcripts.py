"""The table of transcripts: its columns, and how the parts of a long recording become one row."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

from stenopool.asr.flags import flags_of
from stenopool.model import UNSPACED_LANGUAGES, Segment, Span, Word

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

PART_COLUMNS = ("unit", "last", "read_s", "storage_retries", "speech")
"""What a part has beside a row's columns."""

NEEDED = frozenset({"path", "text", "segments", "error_class", "transcript_id", "run_id"})
"""Columns of every table of transcripts, whichever version made it."""


@cache
def transcript_schema() -> pa.Schema:
    """The Arrow schema of a table of transcripts: one row a recording.

    `text` is `""` for silence and NULL for a failure; then `error_class` and `error` say why.
    Times in `segments` count from the start of the recording, in seconds. `language` is that in
    which most is said; a segment has its own, which is NULL in rows of older tables. From
    `coverage` to `silence_phrases` they are those of `Flags`, NULL for a failure.
    """
    import pyarrow as pa

    word = pa.struct(
        [("start_s", pa.float64()), ("end_s", pa.float64()), ("text", pa.string()),
         ("probability", pa.float64())]
    )  # fmt: skip
    segment = pa.struct(
        [
            ("start_s", pa.float64()),
            ("end_s", pa.float64()),
            ("text", pa.string()),
            ("avg_logprob", pa.float64()),
            ("no_speech_prob", pa.float64()),
            ("compression_ratio", pa.float64()),
            ("temperature", pa.float64()),
            ("words", pa.list_(word)),
            ("language", pa.string()),
        ]
    )
    return pa.schema(
        [
            ("path", pa.string()),
            ("text", pa.string()),
            ("language", pa.string()),
            ("language_probability", pa.float64()),
            ("duration_s", pa.float64()),
            ("speech_s", pa.float64()),
            ("segments", pa.list_(segment)),
            ("coverage", pa.float64()),
            ("avg_logprob", pa.float64()),
            ("low_confidence_share", pa.float64()),
            ("compression_ratio", pa.float64()),
            ("silence_phrases", pa.int32()),
            ("warnings", pa.list_(pa.string())),
            ("error_class", pa.string()),
            ("error", pa.string()),
            ("source", pa.string()),
            ("etag", pa.string()),
            ("size_bytes", pa.int64()),
            ("model", pa.string()),
            ("model_revision", pa.string()),
            ("engine", pa.string()),
            ("options", pa.string()),
            ("transcript_id", pa.string()),
            ("run_id", pa.string()),
            ("node", pa.string()),
            ("attempts", pa.int32()),
            ("wall_s", pa.float64()),
            ("transcribed_at", pa.timestamp("us", tz="UTC")),
        ]
    )


@cache
def part_schema() -> pa.Schema:
    """A row of `transcript_schema` for one unit of a recording, and what `PART_COLUMNS` say.

    `unit` counts from 0, `last` is set in the recording's last one, `read_s` is the part of
    `wall_s` that went into reading, `storage_retries` how often storage was asked again, `speech`
    where the VAD heard speech (samples; NULL without VAD).
    """
    import pyarrow as pa

    spans = pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64())]))
    kinds = (pa.int32(), pa.bool_(), pa.float64(), pa.int32(), spans)
    more = [pa.field(name, kind) for name, kind in zip(PART_COLUMNS, kinds, strict=True)]
    return pa.schema([*transcript_schema(), *more])


def join_text(said: Iterable[tuple[str, str | None]], *, translated: bool) -> str:
    """The texts of consecutive segments as one, with spaces where the scripts have them.

    Args:
        said: each segment's text and language.
        translated: whether they are English, whichever language they were said in.
    """
    parts: list[str] = []
    before: str | None = None
    for text, language in said:
        if text:
            spaced = translated or not {before, language} <= UNSPACED_LANGUAGES
            parts += [" ", text] if parts and spaced else [text]
            before = language
    return "".join(parts)


def main_language(
    heard: Iterable[tuple[str | None, float | None, float]],
) -> tuple[str | None, float | None]:
    """The language in which most is said, and its probability where it is heard longest.

    Args:
        heard: of each stretch its language (None where nothing was heard), that one's
            probability, and how much is said in it, in any unit.
    """
    known = list(heard)
    if not known:
        return None, None
    amounts: defaultdict[str | None, float] = defaultdict(float)
    for language, _, amount in known:
        amounts[language] += amount
    main = max(amounts, key=amounts.__getitem__)
    return max((one for one in known if one[0] == main), key=lambda one: one[2])[:2]


def is_complete(parts: Sequence[dict[str, Any]]) -> bool:
    """Whether these parts of one recording, in any order, are all that it has."""
    if any(part["error_class"] for part in parts):
        # A failure is reported by the last part that is sent.
        return any(part["last"] for part in parts)
    last = [part["unit"] for part in parts if part["last"]]
    return bool(last) and len(parts) == last[0] + 1


def join_parts(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One row out of a recording's parts, in any order; a failure of one is the row's failure."""
    ordered = sorted(parts, key=lambda part: part["unit"])
    failures = [part for part in ordered if part["error_class"]]
    row = {name: (failures or ordered)[0][name] for name in transcript_schema().names}
    row["attempts"] = max(part["attempts"] or 1 for part in ordered)
    row["wall_s"] = sum(part["wall_s"] for part in ordered)
    row["transcribed_at"] = max(part["transcribed_at"] for part in ordered)
    row["warnings"] = list(dict.fromkeys(text for part in ordered for text in part["warnings"]))
    if failures:
        return row
    row["language"], row["language_probability"] = main_language(
        (part["language"], part["language_probability"], part["speech_s"]) for part in ordered
    )
    row["duration_s"] = sum(part["duration_s"] for part in ordered)
    row["speech_s"] = sum(part["speech_s"] for part in ordered)
    row["segments"] = [segment for part in ordered for segment in part["segments"]]
    row["text"] = join_text(
        ((one["text"], one["language"]) for one in row["segments"]),
        translated=json.loads(row["options"])["task"] == "translate",
    )
    unchecked = any(part["speech"] is None for part in ordered)
    speech = None if unchecked else [span for part in ordered for span in part["speech"]]
    return with_flags(row, speech)


def with_flags(row: dict[str, Any], speech: Sequence[dict[str, int]] | None) -> dict[str, Any]:
    """The row of a whole recording with its flags, and their warnings behind those it has.

    Args:
        row: has `segments`, `duration_s` and `warnings`.
        speech: where the VAD heard speech in the recording, in samples; None without VAD.
    """
    spans = None if speech is None else [Span(**span) for span in speech]
    flags = asdict(flags_of(segments_of(row), spans, row["duration_s"]))
    return {**row, **flags, "warnings": [*row["warnings"], *flags["warnings"]]}


def segments_of(row: dict[str, Any]) -> list[Segment]:
    """The segments of a row, times from the start of the recording."""
    return [
        Segment(**values | {"words": tuple(Word(**word) for word in values.get("words") or ())})
        for values in row["segments"] or ()
    ]
