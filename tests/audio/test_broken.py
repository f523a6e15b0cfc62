"""What is broken is named by its cause, and what can be saved is saved."""

import io
import subprocess
import sys
from itertools import pairwise

import av
import numpy as np
import pytest
from av.error import FFmpegError
from hypothesis import given, settings
from hypothesis import strategies as st

from stenopool.audio import decode_audio, probe, read_units, stream_audio
from stenopool.audio.source import OPTIONS, _refuse_to_open
from stenopool.errors import (
    NoAudioStreamError,
    NotAudioError,
    RecordingError,
    UnreadableError,
)

KINDS = {
    "wav": ("wav", "pcm_s16le"),
    "flac": ("flac", "flac"),
    "mp3": ("mp3", "libmp3lame"),
    "m4a": ("ipod", "aac"),
    "opus": ("opus", "libopus"),
    "webm": ("webm", "libopus"),
    "aiff": ("aiff", "pcm_s16be"),
    "amr": ("amr", "libopencore_amrnb"),
    "ts": ("mpegts", "aac"),
}

PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{path}\n#EXT-X-ENDLIST\n"


@pytest.fixture(scope="module")
def recordings(encode, speech):
    """The sentence in the usual formats."""
    return {
        name: encode(speech[::2], kind, 8_000) if name == "amr" else encode(speech, kind)
        for name, kind in KINDS.items()
    }


def refused(data, error, *words):
    """Check that every door refuses the bytes alike, with the recording's name and these words."""
    for door in (decode_audio, probe, lambda *args: list(read_units(*args))):
        with pytest.raises(error) as caught:
            door(io.BytesIO(data), "calls/a.wav")
        assert type(caught.value) is error
        for word in ("'calls/a.wav'", *words):
            assert word in str(caught.value)


def warnings_of(data, **options):
    units = list(read_units(io.BytesIO(data), **options))
    assert all(not unit.warnings for unit in units[:-1])
    return units[-1].warnings


def test_an_empty_file_is_not_audio():
    refused(b"", NotAudioError, "empty")


@pytest.mark.parametrize(
    "data",
    [
        b"To whom it may concern.\n" * 100,
        b"\0" * 5_000,
        b"<!doctype html><title>404</title>" + b"<p>" * 1_000,
        b'{"error": "AccessDenied"}',
        b"%PDF-1.7\n" + bytes(range(256)) * 20,
        b"PK\x03\x04" + bytes(range(256)) * 20,
        b"RIFF\x24\0\0\0WEBPVP8 " + b"\0" * 200,
        np.random.default_rng(5).bytes(20_000),
        b"1\n00:00:01,000 --> 00:00:02,000\nHello.\n\n" * 20,
    ],
    ids=["text", "zeros", "html", "json", "pdf", "zip", "webp", "noise", "subtitles"],
)
def test_other_files_are_not_audio(data):
    refused(data, NotAudioError)


def test_a_picture_is_not_audio(picture):
    refused(picture, NotAudioError)


def test_a_film_without_sound_has_no_audio_stream(film):
    refused(film, NoAudioStreamError, "no sound track")


def test_zero_channels_are_no_audio_stream(wav_header):
    refused(wav_header(1_000, channels=0) + bytes(1_000), NoAudioStreamError, "no channel")


@pytest.mark.parametrize("rate", [0, 1, 500_000_000])
def test_a_rate_that_no_recording_has_is_unreadable(rate, wav_header):
    refused(wav_header(1_000, rate=rate) + bytes(1_000), UnreadableError)


def test_a_header_that_is_cut_off_is_unreadable(recordings):
    refused(recordings["wav"][:20], UnreadableError, "cut off")
    refused(recordings["flac"][:20], UnreadableError, "cut off")


def test_a_film_whose_index_is_missing_is_unreadable(recordings):
    refused(recordings["m4a"][: len(recordings["m4a"]) // 2], UnreadableError, "index")


def test_a_header_with_nothing_behind_it_is_unreadable(wav_header):
    for data in (wav_header(0), wav_header(32_000)):
        with pytest.raises(UnreadableError, match=r"'a\.wav': no sound could be decoded"):
            list(read_units(io.BytesIO(data), "a.wav"))


def test_sound_that_is_all_garbage_is_unreadable(recordings):
    data = bytearray(recordings["flac"])
    data[200:] = bytes(len(data) - 200)
    with pytest.raises(UnreadableError):
        list(read_units(io.BytesIO(data)))


@pytest.mark.parametrize(
    "text",
    [
        PLAYLIST,
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{path}\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/a\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{path}'\n",
        "ffconcat version 1.0\nfile 'file:{path}'\n",
        "concat:{path}|{path}\n",
        "subfile,,start,0,end,0,,:{path}\n",
        "[playlist]\nFile1={path}\nNumberOfEntries=1\n",
    ],
)
@pytest.mark.parametrize("name", ["list.m3u8", "list.ffconcat", "list.wav"])
def test_a_playlist_opens_nothing(text, name, recordings, tmp_path):
    (tmp_path / "secret.wav").write_bytes(recordings["wav"])
    playlist = tmp_path / name
    playlist.write_text(text.format(path=tmp_path / "secret.wav"))

    with pytest.raises(NotAudioError):
        decode_audio(playlist)


@pytest.mark.parametrize("text", ["ffconcat version 1.0\nfile '{path}'\n", PLAYLIST])
def test_even_a_playlist_that_is_understood_opens_nothing(text, recordings, tmp_path):
    """The second guard, should a format that refers to others ever be let in."""
    (tmp_path / "secret.wav").write_bytes(recordings["wav"])
    playlist = text.format(path=tmp_path / "secret.wav").encode()
    second = {"protocol_whitelist": OPTIONS["protocol_whitelist"]}

    with pytest.raises((FFmpegError, UnreadableError)):
        av.open(
            io.BytesIO(playlist),
            io_open=_refuse_to_open,
            options={"safe": "0", "extension_picky": "0"},
            container_options=second,
        )


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "webm", "aiff"])
def test_a_truncated_recording_is_read_as_far_as_it_goes(kind, recordings, speech):
    data = recordings[kind]
    half = data[: len(data) // 2]
    units = list(read_units(io.BytesIO(half), vad=False))

    decoded = units[-1].decoded_samples
    assert len(speech) * 0.3 < decoded < len(speech) * 0.7
    said = f"truncated: {decoded / 16_000:.1f} s of {len(speech) / 16_000:.1f} s could be decoded"
    assert said in units[-1].warnings
    whole = np.concatenate(list(stream_audio(io.BytesIO(data))))
    assert np.array_equal(units[0].samples[:-4_000], whole[: decoded - 4_000])


def test_a_truncated_film_is_held_to_the_length_of_its_sound(encode, speech):
    data = encode(speech[:48_000], ("matroska", "flac"), video_s=7.0)

    assert warnings_of(data) == ()
    (warning,) = [said for said in warnings_of(data[: len(data) // 2]) if "truncated" in said]
    assert "of 3.0 s" in warning


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_recording_has_no_warning(kind, recordings):
    assert warnings_of(recordings[kind]) == ()


def test_a_missing_second_is_no_truncation_of_a_long_recording(wav_header):
    data = bytes(2 * 16_000 * 100)
    assert warnings_of(wav_header(len(data) + 2 * 31_000) + data) == ()
    assert warnings_of(wav_header(len(data) + 2 * 34_000) + data) == (
        "truncated: 100.0 s of 102.1 s could be decoded",
    )


@pytest.mark.parametrize("declared", [0, 2**31 - 1, 2**31 - 4_096, 2**32 - 1, 2**32 - 256])
def test_a_wav_file_that_was_streamed_is_whole(declared, wav_header, speech):
    data = wav_header(declared) + speech.tobytes()
    units = list(read_units(io.BytesIO(data), vad=False))

    assert units[-1].warnings == ()
    assert np.array_equal(units[-1].samples, speech)


@pytest.mark.parametrize("declared", [1, 2**36 - 1])
def test_a_flac_file_that_lies_about_its_length_is_read(declared, recordings, speech):
    data = bytearray(recordings["flac"])
    at = 8 + 13  # the low 36 bits of STREAMINFO's bytes 10 to 17 count the samples
    data[at : at + 5] = (data[at] >> 4 << 36 | declared).to_bytes(5, "big")
    units = list(read_units(io.BytesIO(data), vad=False))

    assert np.array_equal(units[-1].samples, speech)


def test_an_mp3_without_a_declared_length_is_never_called_truncated(encode, speech):
    """FFmpeg's estimate takes the bit rate of the silence at its start for all of it."""
    varying = np.concatenate([np.zeros(160_000, np.int16), speech, speech])
    options = {"flags": "+qscale", "global_quality": "236"}
    data = encode(varying, KINDS["mp3"], options=options, muxer={"write_xing": "0"})

    assert probe(io.BytesIO(data)).duration_s > 1.1 * len(varying) / 16_000
    assert warnings_of(data) == ()


@pytest.mark.parametrize(("kind", "first_word"), [("m4a", "damaged: "), ("webm", "gaps: ")])
def test_damage_is_told_and_the_rest_keeps_its_place(kind, first_word, recordings):
    data = bytearray(recordings[kind])
    middle = len(data) // 2
    data[middle : middle + 4_000] = b"\xff" * 4_000
    whole = np.concatenate(list(stream_audio(io.BytesIO(recordings[kind]))))
    units = list(read_units(io.BytesIO(data), vad=False))
    samples = units[-1].samples

    assert units[-1].warnings[0].startswith(first_word)
    assert len(samples) == pytest.approx(len(whole), abs=1_600)
    assert np.array_equal(samples[:40_000], whole[:40_000])


@pytest.mark.parametrize("kind", ["flac", "aiff"])
def test_damage_in_the_middle_leaves_the_beginning_and_the_end(kind, recordings):
    data = bytearray(recordings[kind])
    middle = len(data) // 2
    data[middle : middle + 2_000] = bytes(2_000)
    whole = np.concatenate(list(stream_audio(io.BytesIO(recordings[kind]))))
    damaged = np.concatenate(list(stream_audio(io.BytesIO(data))))

    assert len(whole) * 0.8 < len(damaged) <= len(whole)
    assert np.array_equal(damaged[:40_000], whole[:40_000])
    assert np.array_equal(damaged[-40_000:], whole[-40_000:])


def test_of_several_tracks_one_is_read_and_the_warning_says_so(encode, speech):
    data = encode(speech, ("mp4", "aac"), tracks=2)

    assert warnings_of(data) == ("2 audio tracks: only track 1 was used",)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "m4a", "webm"])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.9])
def test_the_file_objects_own_error_passes_unchanged(kind, share, recordings):
    data = recordings[kind]
    good = int(len(data) * share)

    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() + size > good:
                raise failure
            return super().read(size)

    failure = ConnectionResetError(104, "the bucket went away")
    for door in (decode_audio, lambda file: list(read_units(file))):
        with pytest.raises(ConnectionResetError) as caught:
            door(Failing(data))
        assert caught.value is failure


@pytest.mark.parametrize("kind", KINDS)
def test_probing_never_hides_the_file_objects_error(kind, recordings):
    class Failing(io.BytesIO):
        good, failed = 0, False

        def read(self, size=-1):
            if self.tell() >= self.good:
                self.failed = True
                raise ConnectionResetError("the bucket went away")
            return super().read(min(size, self.good - self.tell()))

    for good in range(0, len(recordings[kind]), 5_000):
        file = Failing(recordings[kind])
        file.good = good
        try:
            probe(file)
        except ConnectionResetError:
            assert file.failed
        else:
            assert not file.failed


def test_an_error_while_seeking_passes_unchanged(recordings):
    class Failing(io.BytesIO):
        def seek(self, offset, whence=0):
            if offset:
                raise TimeoutError("the bucket is slow")
            return super().seek(offset, whence)

    with pytest.raises(TimeoutError, match="the bucket is slow"):
        decode_audio(Failing(recordings["m4a"]))


def test_a_missing_file_is_the_operating_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        decode_audio(tmp_path / "gone.wav")


def test_nothing_is_printed_about_damage(recordings, tmp_path):
    """In a process of its own, because FFmpeg writes past Python's streams."""
    data = bytearray(recordings["mp3"])
    data[4_000:6_000] = np.random.default_rng(3).bytes(2_000)
    (tmp_path / "a.mp3").write_bytes(data)
    code = f"from stenopool.audio import decode_audio; decode_audio({str(tmp_path / 'a.mp3')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert done.stdout == done.stderr == b""


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=30),
    keep=st.floats(0.05, 1),
)
def test_any_damage_gives_units_or_one_of_our_errors(kind, places, keep, recordings):
    data = bytearray(recordings[kind])
    for place, value in places:
        data[min(int(place**3 * len(data)), len(data) - 1)] = value  # mostly in the header
    try:
        units = list(read_units(io.BytesIO(data[: int(len(data) * keep)]), vad=False, unit_s=5))
    except RecordingError:
        return
    assert [unit.last for unit in units] == [False] * (len(units) - 1) + [True]
    assert sum(unit.decoded_samples for unit in units) == sum(len(unit.samples) for unit in units)
    spans = [span for unit in units for span in unit.windows]
    assert all(left.end == right.start for left, right in pairwise(spans))
