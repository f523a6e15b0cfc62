"""Stored segments become subtitles and texts: SRT, WebVTT, plain text, TSV and JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stenopool.model import Segment


def to_srt(segments: Sequence[Segment]) -> str:
    """SubRip: numbered cues with times to the millisecond."""
    cues = [
        f"{number}\n{_clock(s.start_s, ',')} --> {_clock(s.end_s, ',')}\n{_line(s.text)}\n"
        for number, s in enumerate(segments, start=1)
    ]
    return "\n".join(cues)


def to_vtt(segments: Sequence[Segment]) -> str:
    """WebVTT, as browsers take it; `&`, `<` and `>` are escaped.

    See https://www.w3.org/TR/webvtt1/.
    """
    cues = [
        f"{_clock(s.start_s, '.')} --> {_clock(s.end_s, '.')}\n{_escaped(_line(s.text))}\n"
        for s in segments
    ]
    return "\n".join(["WEBVTT\n", *cues])


def to_txt(segments: Sequence[Segment]) -> str:
    """A line for every segment."""
    return "".join(f"{_line(segment.text)}\n" for segment in segments)


def to_tsv(segments: Sequence[Segment]) -> str:
    """Tab-separated start and end (whole milliseconds) and text, under a header."""
    rows = [
        f"{_milliseconds(s.start_s)}\t{_milliseconds(s.end_s)}\t{_line(s.text)}\n" for s in segments
    ]
    return "".join(["start\tend\ttext\n", *rows])


def to_json(segments: Sequence[Segment], details: Mapping[str, Any] | None = None) -> str:
    """All that is known, as one JSON object.

    Args:
        segments: go under `segments`, field by field; their joined texts under `text`.
        details: further keys that come first, such as the recording's path and language.
    """
    whole = {
        **(details or {}),
        "text": " ".join(segment.text for segment in segments),
        "segments": [asdict(segment) for segment in segments],
    }
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def _line(text: str) -> str:
    # A blank line would end the cue, and a tab the field.
    return " ".join(text.split())


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _clock(seconds: float, separator: str) -> str:
    whole, milliseconds = divmod(_milliseconds(seconds), 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}{separator}{milliseconds:03}"
