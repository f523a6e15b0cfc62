"""What a run takes a recording's language for, and what its row says of it."""

from __future__ import annotations

import numpy as np
import pytest

from stenopool.distributed.transcribing import Heard, presumed_languages, spoken_columns
from stenopool.model import SAMPLE_RATE, Segment, TranscribeOptions, WindowResult


class Ears:
    """An engine whose windows say what is heard in them: a key and a probability."""

    def __init__(self):
        self.asked = []

    def detect_languages(self, windows, allowed=()):
        self.asked.append((windows, allowed))
        return windows


CLEAR_DE, CLEAR_EN = ("de", 0.9), ("en", 0.95)


def presumed(*units, **options):
    ears = Ears()
    found = presumed_languages(ears, units, TranscribeOptions(**options), stall_s=60.0)
    return found, ears.asked


def test_the_first_window_decides_where_it_is_clear_and_all_first_ones_are_asked_together():
    found, asked = presumed([CLEAR_DE, CLEAR_EN], [CLEAR_EN, CLEAR_DE, CLEAR_DE])
    assert found == ["de", "en"]
    assert asked == [([CLEAR_DE, CLEAR_EN], ())]


def test_the_next_windows_are_asked_of_those_alone_whose_first_one_is_not_clear():
    vague = ("cy", 0.4)
    found, asked = presumed([vague, CLEAR_EN, CLEAR_DE], [CLEAR_DE, CLEAR_EN])
    assert found == ["en", "de"]
    assert [windows for windows, _ in asked] == [[vague, CLEAR_DE], [CLEAR_EN]]


def test_where_none_of_the_first_windows_is_clear_the_likeliest_decides():
    unit = [("cy", 0.4), ("en", 0.6), ("nn", 0.3), CLEAR_DE]
    found, asked = presumed(unit, unit[:2])
    assert found == ["en", "en"]
    assert [len(windows) for windows, _ in asked] == [2, 2, 1]


def test_a_unit_of_one_window_and_one_of_a_given_language_are_not_asked():
    assert presumed([CLEAR_DE], []) == ([None, None], [])
    assert presumed([CLEAR_DE, CLEAR_EN], language="fr") == ([None], [])


def test_allowed_languages_are_told_to_the_engine():
    _, asked = presumed([CLEAR_DE, CLEAR_EN], languages=("en", "de"))
    assert [allowed for _, allowed in asked] == [("de", "en")]


def heard(*windows):
    """The columns for windows of so many seconds, languages, probabilities and texts."""
    ends = np.cumsum([seconds for seconds, *_ in windows]) * SAMPLE_RATE
    spans = [
        {"start": int(end - seconds * SAMPLE_RATE), "end": int(end)}
        for end, (seconds, *_) in zip(ends, windows, strict=True)
    ]
    results = tuple(
        WindowResult(
            segments=(Segment(start_s=0.0, end_s=1.0, text=text),) if text else (),
            language=language,
            language_probability=probability,
        )
        for _, language, probability, text in windows
    )
    row = {"error_class": None, "windows": spans, "warnings": []}
    return spoken_columns(row, Heard(results=results), translated=False)


def test_a_segment_is_in_the_language_of_its_window_and_the_row_in_that_of_most_of_them():
    found = heard(
        (20, "en", 0.9, "good"),
        (30, "zh", 0.99, "你好"),
        (15, "en", 0.8, "day"),
        (9, "zh", 1, "世"),
    )
    assert [one["language"] for one in found["segments"]] == ["en", "zh", "en", "zh"]
    assert (found["language"], found["language_probability"]) == ("zh", 0.99)
    assert found["text"] == "good 你好 day 世"


def test_windows_in_which_nothing_is_said_do_not_count_for_the_language():
    found = heard((30, "cy", 0.3, ""), (2, "en", 0.7, "yes"))
    assert (found["language"], found["language_probability"]) == ("en", 0.7)


@pytest.mark.parametrize("windows", [(), ((5, "en", 0.0, ""),)])
def test_a_recording_without_speech_has_no_segments(windows):
    assert heard(*windows)["segments"] == []
