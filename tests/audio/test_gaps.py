"""Where a container has no sound for a while, silence keeps the times right."""

import io

import numpy as np
import pytest

from stenopool.audio import read_units

RATE = 16_000
GAPPED = [("matroska", "flac"), ("webm", "libopus"), ("mp4", "aac"), ("asf", "wmav2")]


@pytest.fixture
def units_of(encode, speech):
    def units_of(kind, **options):
        if kind[1] == "wmav2":
            options["options"] = {"b": "64000"}
        return list(read_units(io.BytesIO(encode(speech, kind, **options)), vad=False))

    return units_of


@pytest.mark.parametrize("kind", GAPPED)
def test_a_gap_becomes_silence_of_its_length(kind, units_of, speech, alignment):
    """As in the recording of a call in which nobody spoke for three seconds."""
    (unit,) = units_of(kind, gap_s=3.0)

    half, gap, edge = len(speech) // 2 // 4_096 * 4_096, 3 * RATE, 2_500
    assert unit.decoded_samples == pytest.approx(len(speech) + gap, abs=2_000)
    assert unit.warnings == ("gaps: 3.0 s without sound became silence",)
    assert not unit.samples[half + edge : half + gap - edge].any()
    for decoded, original in (
        (unit.samples[:half], speech[:half]),
        (unit.samples[half + gap :], speech[half:]),
    ):
        correlation, shift = alignment(decoded, original)
        assert correlation > 0.9
        assert shift <= 512  # the delay of the wma decoder; the others have none


def test_the_sound_of_a_film_that_begins_late_keeps_its_place(units_of, speech):
    (unit,) = units_of(("matroska", "flac"), video_s=9.0, late_s=2.0)

    assert unit.decoded_samples == len(speech) + 2 * RATE
    assert not unit.samples[: 2 * RATE].any()
    assert np.array_equal(unit.samples[2 * RATE :], speech)


def test_a_time_stamp_that_cannot_be_is_not_believed(units_of, speech):
    (unit,) = units_of(("matroska", "flac"), gap_s=3_600.0)

    assert np.array_equal(unit.samples, speech)


def test_small_steps_between_packets_are_no_gaps(units_of, speech):
    (unit,) = units_of(("matroska", "flac"), gap_s=0.05)

    assert np.array_equal(unit.samples, speech)
    assert unit.warnings == ()
