"""Where a container has no sound for a while, silence keeps the times right."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stenopool.audio import decode_audio, read_units

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
    (unit,) = units_of(("matroska", "flac"), gap_s=0.01)

    assert np.array_equal(unit.samples, speech)
    assert unit.warnings == ()


def stamped(samples, times):
    """A Matroska file with a packet for every time stamp (ms), each of as many samples."""
    written = io.BytesIO()
    with av.open(written, "w", format="matroska") as file:
        stream = file.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for piece, at_ms in zip(np.split(samples, len(times)), times, strict=True):
            packet = av.Packet(piece.tobytes())
            packet.stream, packet.time_base = stream, Fraction(1, 1_000)
            packet.pts = packet.dts = at_ms
            packet.duration = len(piece) * 1_000 // RATE
            file.mux(packet)
    return io.BytesIO(written.getvalue())


@settings(max_examples=15)
@given(
    lost=st.sets(st.integers(1, 198), min_size=1, max_size=60),
    jitter=st.lists(st.integers(0, 9), min_size=200, max_size=200),
)
@example(lost=set(range(1, 198, 2)), jitter=[0] * 200)
def test_packets_of_20_ms_that_were_lost_on_the_way_do_not_add_up(lost, jitter):
    """As in a call over a poor line: what comes after a hundred of them is still in its place."""
    sent = np.repeat(np.arange(1, 201, dtype=np.int16), RATE // 50)
    kept = [number for number in range(200) if number not in lost]
    arrived = np.concatenate([sent[number * 320 : number * 320 + 320] for number in kept])
    (unit,) = read_units(stamped(arrived, [n * 20 + jitter[n] * (n > 0) for n in kept]), vad=False)

    found = np.searchsorted(np.maximum.accumulate(unit.samples), np.array(kept) + 1)
    assert np.abs(found - np.array(kept) * 320).max() <= 20 * RATE // 1_000


def test_packets_that_are_stamped_late_again_and_again_do_not_add_up():
    """As where a recorder stamps what arrives, and the line stands still now and then."""
    sent = np.repeat(np.arange(1, 401, dtype=np.int16), RATE // 50)
    times = [0]
    for number in range(1, 400):
        times.append(max(number * 20 + 150 * (number % 40 == 39), times[-1] + 1))
    (unit,) = read_units(stamped(sent, times), vad=False)

    assert 0 <= unit.decoded_samples - len(sent) <= 150 * RATE // 1_000


@pytest.mark.parametrize(
    ("kind", "rate"),
    [
        (("matroska", "aac"), 44_100),
        (("flv", "aac"), 44_100),
        (("mp4", "aac"), 44_100),
        (("mpegts", "aac"), 48_000),
        (("ogg", "flac"), 22_050),
        (("webm", "libopus"), 48_000),
    ],
)
def test_where_nothing_is_missing_nothing_is_put_in(kind, rate, encode, speech):
    data = encode(np.tile(speech, 12), kind, rate)
    (unit,) = read_units(io.BytesIO(data), vad=False)

    assert unit.warnings == ()
    assert unit.decoded_samples == pytest.approx(len(speech) * 12 * RATE / rate, abs=1_100)


@pytest.mark.parametrize(
    "kind",
    [("flac", "flac"), ("ogg", "flac"), ("matroska", "flac"), ("mp4", "aac"), ("opus", "libopus")],
)
def test_damage_moves_nothing_that_is_behind_it(kind, encode, speech, alignment):
    data = bytearray(encode(np.tile(speech, 6), kind))
    whole = decode_audio(io.BytesIO(bytes(data)))
    middle = len(data) // 2
    data[middle : middle + 300] = np.random.default_rng(0).bytes(300)
    mended = decode_audio(io.BytesIO(bytes(data)))

    assert len(mended) == pytest.approx(len(whole), abs=RATE // 50)
    behind = slice(len(whole) * 3 // 4, None)
    correlation, shift = alignment(mended[behind], whole[behind])
    assert correlation > 0.9
    assert shift <= RATE // 50
