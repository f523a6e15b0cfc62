"""Every format that a recording may have gives the samples that went into it."""

import io
import struct
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stenopool.audio import decode_audio, probe, stream_audio
from stenopool.audio.mono import MonoResampler

EXACT = {
    "wav16": ("wav", "pcm_s16le"),
    "wav24": ("wav", "pcm_s24le"),
    "wav32": ("wav", "pcm_s32le"),
    "wav-float": ("wav", "pcm_f32le"),
    "wav-double": ("wav", "pcm_f64le"),
    "wave64": ("w64", "pcm_s16le"),
    "au": ("au", "pcm_s16be"),
    "caf": ("caf", "pcm_s16le"),
    "aiff": ("aiff", "pcm_s16be"),
    "flac": ("flac", "flac"),
    "ogg-flac": ("ogg", "flac"),
    "m4a-alac": ("ipod", "alac"),
    "mkv-flac": ("matroska", "flac"),
    "mov-pcm": ("mov", "pcm_s16le"),
    "avi-pcm": ("avi", "pcm_s16le"),
}
"""Formats that keep every bit: container, codec."""

LOSSY = {
    "wav8": ("wav", "pcm_u8", 0.998, 0),
    "wav-a-law": ("wav", "pcm_alaw", 0.999, 0),
    "wav-mu-law": ("wav", "pcm_mulaw", 0.999, 0),
    "wav-adpcm": ("wav", "adpcm_ima_wav", 0.99, 0),
    "mp3": ("mp3", "libmp3lame", 0.97, 0),
    "m4a-aac": ("ipod", "aac", 0.999, 0),
    "mp4-aac": ("mp4", "aac", 0.999, 0),
    "opus": ("opus", "libopus", 0.99, 0),
    "webm-opus": ("webm", "libopus", 0.99, 0),
    "wma": ("asf", "wmav2", 0.98, 512),
    "aac": ("adts", "aac", 0.999, 1_024),
    "mpeg-ts": ("mpegts", "libmp3lame", 0.97, 1_105),
}
"""Formats that lose some: container, codec, least correlation, greatest shift (samples).

The last three have no field for the encoder's delay, which therefore stays in.
"""

FILMS = {"mkv-flac", "mov-pcm", "avi-pcm", "mp4-aac", "mpeg-ts"}


@pytest.fixture(scope="module")
def recorded(encode, speech):
    """Encode the sentence in one of the formats above."""

    def record(name, container, codec):
        options = {"b": "64000"} if codec == "wmav2" else {}
        film_s = len(speech) / 16_000 if name in FILMS else 0.0
        return encode(speech, (container, codec), options=options, video_s=film_s)

    return record


def as_int16(decoded):
    return np.rint(decoded * 32_768).astype(int)


@pytest.mark.parametrize("name", EXACT)
def test_lossless_formats_keep_every_sample(name, recorded, speech):
    decoded = decode_audio(io.BytesIO(recorded(name, *EXACT[name])), name)

    assert decoded.dtype == np.float32
    assert np.array_equal(as_int16(decoded), speech)


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_formats_keep_the_sound_and_its_place(name, recorded, speech, alignment):
    container, codec, least, greatest_shift = LOSSY[name]
    decoded = decode_audio(io.BytesIO(recorded(name, container, codec)), name)

    correlation, shift = alignment(decoded, speech)
    assert correlation >= least
    assert shift <= greatest_shift
    assert abs(len(decoded) - len(speech)) <= 2_048


@pytest.mark.parametrize("name", [*EXACT, *LOSSY])
def test_probe_reads_length_rate_channels_and_codec(name, recorded, speech):
    container, codec = (EXACT.get(name) or LOSSY[name])[:2]
    info = probe(io.BytesIO(recorded(name, container, codec)), name)

    assert info.duration_s == pytest.approx(len(speech) / 16_000, abs=0.15)
    assert info.sample_rate_hz in (16_000, 48_000 if "opus" in name else 16_000)
    assert info.channels == 1
    assert info.codec == {"libmp3lame": "mp3", "libopus": "opus"}.get(codec, codec)
    assert info.container


def test_amr_is_read(encode, speech, alignment):
    data = encode(speech[::2], ("amr", "libopencore_amrnb"), 8_000, options={"b": "12200"})

    correlation, shift = alignment(decode_audio(io.BytesIO(data)), speech)
    assert correlation > 0.75  # a speech codec of 12 kbit/s, and half the band
    assert shift < 160
    assert probe(io.BytesIO(data)).codec == "amr_nb"


def test_ogg_vorbis_is_read(encode, speech, alignment):
    stereo = np.stack([speech, speech])
    data = encode(stereo, ("ogg", "vorbis"), options={"strict": "experimental"})

    correlation, shift = alignment(decode_audio(io.BytesIO(data)), speech)
    assert correlation > 0.95
    assert shift == 0
    assert probe(io.BytesIO(data)).channels == 2


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000])
def test_any_rate_becomes_16_khz(rate, encode, shared, read_wav, at_16_khz, alignment):
    samples, _ = read_wav(shared / "ljspeech" / "LJ001-0002.wav")  # taken for any rate
    decoded = decode_audio(io.BytesIO(encode(samples, rate=rate)))

    correlation, shift = alignment(decoded, at_16_khz(samples, rate))
    assert correlation > 0.99
    assert shift == 0
    assert len(decoded) == pytest.approx(len(samples) * 16_000 / rate, abs=2)


@pytest.mark.parametrize("rate", [16_000, 48_000])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6, 8, 9, 11, 24, 64])
def test_any_number_of_channels_is_mixed_to_one(channels, rate, wav_header, speech):
    data = np.repeat(speech[:8_000, None], channels, axis=1).tobytes()
    decoded = decode_audio(io.BytesIO(wav_header(len(data), channels, rate) + data))

    alone = decode_audio(io.BytesIO(wav_header(16_000, 1, rate) + speech[:8_000].tobytes()))
    assert np.abs(decoded - alone).max() < 3 / 32_768


@pytest.mark.parametrize("kind", [("mp4", "aac"), ("webm", "libopus")])
def test_eight_channels_in_planes_are_mixed_to_one(kind, encode, speech, alignment):
    """PyAV's own view of such frames reads past their end."""
    decoded = decode_audio(io.BytesIO(encode(np.tile(speech, (8, 1)), kind, 48_000)))

    assert alignment(decoded, decode_audio(io.BytesIO(encode(speech, kind, 48_000))))[0] > 0.99


@pytest.mark.parametrize("sample_format", ["s16p", "s32p", "fltp", "dblp"])
@pytest.mark.parametrize("layout", ["7.1", "9 channels", "hexadecagonal", "64 channels"])
def test_any_planes_are_read(layout, sample_format):
    frame = av.AudioFrame(format=sample_format, layout=layout, samples=500)
    frame.sample_rate = 16_000
    resampler = MonoResampler()
    pieces = [*resampler.push(frame), *resampler.flush()]

    assert sum(len(piece) for piece in pieces) == 500


@settings(max_examples=60, deadline=None)
@given(channels=st.integers(1, 10), mask=st.integers(0, 2**32 - 1))
def test_any_channel_mask_is_read(channels, mask, wav_header, speech):
    """A WAV file may say which loudspeakers its channels are for, in any combination."""
    plain = wav_header(channels * 1_000, channels)
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    extension = b"\xfe\xff" + plain[22:36] + struct.pack("<HHI", 22, 16, mask) + guid
    data = np.repeat(speech[20_000:20_500, None], channels, axis=1).tobytes()
    file = plain[:16] + struct.pack("<I", 40) + extension + b"data" + plain[40:44] + data

    assert len(decode_audio(io.BytesIO(file))) == 500


@pytest.mark.parametrize(
    "form", [("wav", "pcm_s16le"), ("wav", "pcm_f32le"), ("flac", "flac"), ("ipod", "aac")]
)
def test_a_channel_that_is_the_other_one_turned_over_leaves_no_silence(encode, speech, form):
    stereo = np.stack([speech, -speech])
    plain, crossed = (
        decode_audio(io.BytesIO(encode(channels, form)))
        for channels in (np.stack([speech, speech]), stereo)
    )
    assert np.corrcoef(plain, crossed)[0, 1] > 0.99
    assert np.std(crossed) == pytest.approx(np.std(plain), rel=0.05)


def test_stereo_is_the_mean_of_its_channels(encode, speech):
    stereo = np.stack([speech, np.zeros_like(speech)])
    decoded = as_int16(decode_audio(io.BytesIO(encode(stereo))))

    assert np.abs(decoded - speech / 2).max() <= 1


def test_nan_and_infinity_become_zero(encode, speech):
    data = bytearray(encode(speech, ("wav", "pcm_f32le")))
    at = data.index(b"data") + 8
    samples = np.frombuffer(data, "<f4", offset=at)
    samples[100], samples[200], samples[300] = np.nan, np.inf, -np.inf
    decoded = as_int16(decode_audio(io.BytesIO(data)))

    expected = speech.astype(int)
    expected[[100, 200, 300]] = 0
    assert np.array_equal(decoded, expected)


@pytest.mark.parametrize("sentence", ["LJ001-0001", "LJ001-0004", "LJ001-0008"])
def test_three_formats_of_a_sentence_agree(sentence, shared, alignment):
    wav, flac, mp3 = (
        decode_audio(shared / "ljspeech" / f"{sentence}.{ending}")
        for ending in ("wav", "flac", "mp3")
    )

    assert np.array_equal(wav, flac)
    assert alignment(mp3, wav)[0] > 0.99
    assert alignment(mp3, wav)[1] == 0
    assert len(mp3) == len(wav)


def test_a_recording_that_changes_its_rate_goes_on(encode, speech, alignment):
    data = encode(speech, ("mp3", "libmp3lame"), muxer={"write_xing": "0"})
    slower = encode(speech[::2], ("mp3", "libmp3lame"), 8_000, muxer={"write_xing": "0"})
    decoded = decode_audio(io.BytesIO(data + slower))

    assert len(decoded) == pytest.approx(2 * len(speech), abs=6_000)
    assert alignment(decoded[len(speech) :], speech)[0] > 0.8


def test_the_name_of_the_file_does_not_matter(encode, speech, tmp_path):
    path = tmp_path / 'sp"eech\n ü 🎤.txt.mp3'
    path.write_bytes(encode(speech, ("flac", "flac")))

    assert np.array_equal(as_int16(decode_audio(path)), speech)
    assert np.array_equal(as_int16(decode_audio(str(path))), speech)
    assert probe(path).codec == "flac"


def test_a_file_object_is_read_from_its_start_and_left_open(encode, speech):
    file = io.BytesIO(encode(speech))
    file.seek(1_000)

    assert len(decode_audio(file)) == len(speech)
    assert not file.closed


def test_a_source_that_cannot_seek_is_read(encode, speech):
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        seek = None

    for kind in (("wav", "pcm_s16le"), ("mp3", "libmp3lame"), ("opus", "libopus")):
        decoded = decode_audio(Pipe(encode(speech, kind)))
        assert len(decoded) == pytest.approx(len(speech), abs=400)


def test_threads_do_not_disturb_each_other(shared):
    paths = sorted((shared / "ljspeech").glob("LJ001-000[2-5].*"))
    alone = [decode_audio(path) for path in paths]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(decode_audio, paths * 3))

    assert all(np.array_equal(*pair) for pair in zip(together, alone * 3, strict=True))


def test_a_picture_of_the_cover_is_no_matter(encode, speech, picture):
    """ID3 tags may hold a picture, which FFmpeg shows as a film of one frame."""
    cover = b"\0image/png\0\x03\0" + picture
    frame = b"APIC" + struct.pack(">IH", len(cover), 0) + cover
    size = bytes((len(frame) >> shift) & 127 for shift in (21, 14, 7, 0))
    tagged = b"ID3\x03\0\0" + size + frame + encode(speech, ("mp3", "libmp3lame"))

    assert np.array_equal(
        decode_audio(io.BytesIO(tagged)),
        decode_audio(io.BytesIO(encode(speech, ("mp3", "libmp3lame")))),
    )


@settings(max_examples=20, deadline=None)
@given(block_samples=st.integers(1, 200_000))
def test_blocks_of_any_size_are_the_whole(block_samples, shared):
    path = shared / "ljspeech" / "LJ001-0002.mp3"
    blocks = list(stream_audio(path, block_samples=max(block_samples, 50)))

    assert {len(block) for block in blocks[:-1]} <= {max(block_samples, 50)}
    assert 0 < len(blocks[-1]) <= max(block_samples, 50)
    assert all(block.dtype == np.int16 for block in blocks)
    assert np.array_equal(np.concatenate(blocks), as_int16(decode_audio(path)))
