"""Subtitles and texts, read back by FFmpeg's own parsers."""

from __future__ import annotations

import io
import json

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stenopool.asr import to_json, to_srt, to_tsv, to_txt, to_vtt
from stenopool.model import Segment, Word

TEXTS = st.text(st.sampled_from("abcXYZ 0123456789 .,?!'-é漢字ß"), min_size=1, max_size=40).filter(
    lambda text: any(c.isalnum() for c in text)
)


@st.composite
def segment_lists(draw):
    times = draw(st.lists(st.integers(0, 360_000_000), min_size=2, max_size=12, unique=True))
    pairs = zip(sorted(times)[::2], sorted(times)[1::2], strict=False)
    return [Segment(start_s=a / 1000, end_s=b / 1000, text=draw(TEXTS)) for a, b in pairs]


def read_back(text: str, kind: str) -> list[tuple[int, int, str]]:
    """Cues as FFmpeg reads them: start and end (ms), text."""
    cues = []
    with av.open(io.BytesIO(text.encode()), format=kind) as container:
        for packet in container.demux(subtitles=0):
            if packet.size:
                shown = " ".join(s.dialogue.decode() for s in packet.decode())
                cues.append((packet.pts, packet.pts + packet.duration, shown))
    return cues


def expected(segments):
    return [
        (round(s.start_s * 1000), round(s.end_s * 1000), " ".join(s.text.split())) for s in segments
    ]


@settings(max_examples=50, deadline=None)
@given(segment_lists())
def test_subtitles_read_back_with_the_same_times_and_texts(segments):
    assert read_back(to_srt(segments), "srt") == expected(segments)
    assert read_back(to_vtt(segments), "webvtt") == expected(segments)


def test_marks_and_arrows_in_a_text_survive_webvtt():
    segment = Segment(start_s=0.0, end_s=1.0, text="a < b & c --> d <i> &lt;")
    assert read_back(to_vtt([segment]), "webvtt") == [(0, 1000, segment.text)]


@pytest.mark.parametrize(("render", "kind"), [(to_srt, "srt"), (to_vtt, "webvtt")])
def test_blank_lines_and_tabs_in_a_text_do_not_end_its_cue(render, kind):
    segments = [
        Segment(start_s=0.0, end_s=1.0, text="one\n\n2\n00:00:05,000 --> 00:00:06,000\tx"),
        Segment(start_s=1.0, end_s=2.0, text="two"),
    ]
    assert len(read_back(render(segments), kind)) == 2


def test_srt_looks_as_players_expect():
    segments = [
        Segment(start_s=0.0, end_s=1.5, text="first"),
        Segment(start_s=3661.0, end_s=3662.0, text="second"),
    ]
    assert to_srt(segments) == (
        "1\n00:00:00,000 --> 00:00:01,500\nfirst\n\n2\n01:01:01,000 --> 01:01:02,000\nsecond\n"
    )


def test_no_segments_are_empty_but_valid_files():
    assert to_srt([]) == ""
    assert to_vtt([]) == "WEBVTT\n"
    assert to_txt([]) == ""
    assert to_tsv([]) == "start\tend\ttext\n"
    assert json.loads(to_json([])) == {"text": "", "segments": []}


def test_tsv_counts_milliseconds_in_three_columns():
    segment = Segment(start_s=0.02, end_s=1.9999, text="tab\there")
    assert to_tsv([segment]).splitlines()[1].split("\t") == ["20", "2000", "tab here"]


def test_txt_has_a_line_for_every_segment():
    segments = [Segment(start_s=0.0, end_s=1.0, text=t) for t in ("one", "two\nthree")]
    assert to_txt(segments) == "one\ntwo three\n"


def test_json_holds_everything_that_is_stored():
    word = Word(start_s=0.1, end_s=0.5, text="hé", probability=0.9)
    segment = Segment(start_s=0.0, end_s=1.0, text="hé", avg_logprob=-0.2, words=(word,))
    found = json.loads(to_json([segment, segment], {"path": "a.wav", "language": "fr"}))
    assert (found["path"], found["language"], found["text"]) == ("a.wav", "fr", "hé hé")
    assert found["segments"][0]["avg_logprob"] == -0.2
    assert found["segments"][0]["words"] == [
        {"start_s": 0.1, "end_s": 0.5, "text": "hé", "probability": 0.9}
    ]
    assert next(iter(found)) == "path"
