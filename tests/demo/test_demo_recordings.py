"""What the demo data promises: the recordings, their texts and the size of it all."""

import csv
import sys
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

import stenopool

DATA = Path(stenopool.__file__).parent / "data"
RECORDINGS = DATA / "recordings"
CODECS = {"flac", "mp3", "opus", "pcm_s16le", "pcm_mulaw"}
COLUMNS = ["path", "text", "seconds", "codec", "channels", "sample_rate_hz"]


def read_rows() -> list[dict[str, str]]:
    with (RECORDINGS / "texts.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ROWS = read_rows()
LONG = max(ROWS, key=lambda row: float(row["seconds"]))
SHORT = [row for row in ROWS if row is not LONG]


def decode(path: Path) -> tuple[np.ndarray, str, int, int]:
    """Return float32 samples, shape (channels, n_samples), codec name, rate in Hz, channels."""
    with av.open(str(path)) as container:
        codec = container.streams.audio[0].codec_context
        to_float = av.AudioResampler(format="fltp")
        blocks = [
            block.to_ndarray()
            for frame in container.decode(audio=0)
            for block in to_float.resample(frame)
        ]
        samples = np.concatenate(blocks, axis=1)
        return samples, codec.name.removesuffix("float"), codec.sample_rate, codec.channels


def longest_silences_s(sound: np.ndarray, rate_hz: int) -> list[float]:
    """Return how long each stretch lasts in which nothing is louder than -40 dB of the peak."""
    block = rate_hz // 2
    blocks = sound[: len(sound) // block * block].reshape(-1, block)
    quiet = np.abs(blocks).max(axis=1) < 0.01 * np.abs(sound).max()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(int)))
    return sorted((edges[1::2] - edges[::2]) * 0.5, reverse=True)


def test_texts_have_the_promised_columns() -> None:
    assert list(ROWS[0]) == COLUMNS


def test_every_recording_has_one_text_and_every_text_a_recording() -> None:
    found = {p.relative_to(RECORDINGS).as_posix() for p in RECORDINGS.rglob("*") if p.is_file()}
    assert Counter(row["path"] for row in ROWS) == Counter(found - {"texts.csv"})


def test_texts_are_plain_lower_case_words() -> None:
    for row in ROWS:
        words = row["text"].split(" ")
        assert all(word.isalpha() and word.islower() for word in words), row


def test_there_are_forty_clips_of_two_to_twenty_seconds() -> None:
    assert len(SHORT) >= 40
    assert all(2 <= float(row["seconds"]) <= 20 for row in SHORT)


def test_no_two_clips_say_the_same() -> None:
    assert len({row["text"] for row in ROWS}) == len(ROWS)


def test_one_recording_lasts_three_minutes_with_long_silences() -> None:
    samples, _, rate_hz, _ = decode(RECORDINGS / LONG["path"])
    assert float(LONG["seconds"]) == pytest.approx(180, abs=5)
    assert sum(length_s >= 20 for length_s in longest_silences_s(samples[0], rate_hz)) >= 3


def test_all_four_formats_are_there() -> None:
    suffixes = Counter(Path(row["path"]).suffix for row in SHORT)
    assert min(suffixes[".flac"], suffixes[".wav"], suffixes[".mp3"]) >= 5
    assert suffixes[".opus"] + suffixes[".ogg"] >= 5


def test_stereo_and_telephone_recordings_are_there() -> None:
    assert any(row["channels"] == "2" for row in SHORT)
    assert any(row["sample_rate_hz"] == "8000" and row["codec"] == "pcm_s16le" for row in SHORT)
    assert any(row["sample_rate_hz"] == "8000" and row["codec"] == "pcm_mulaw" for row in SHORT)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["path"])
def test_a_file_is_what_its_row_says(row: dict[str, str]) -> None:
    samples, codec, rate_hz, channels = decode(RECORDINGS / row["path"])
    assert codec in CODECS
    said = (row["codec"], int(row["sample_rate_hz"]), int(row["channels"]))
    assert (codec, rate_hz, channels) == said
    # MP3 pads its last frames.
    assert samples.shape[1] / rate_hz == pytest.approx(float(row["seconds"]), abs=0.12)
    assert np.abs(samples).max() > 0.3
    assert np.abs(samples).max() <= 1.05


def test_the_sides_of_a_stereo_recording_differ() -> None:
    for row in (row for row in SHORT if row["channels"] == "2"):
        samples, *_ = decode(RECORDINGS / row["path"])
        loud = np.abs(samples) > 0.1
        assert loud.any(axis=1).all(), row["path"]
        assert not np.allclose(samples[0], samples[1], atol=0.1)


def test_the_model_folder_has_what_an_engine_loads() -> None:
    names = {path.name for path in (DATA / "demo_model").iterdir()}
    assert {"model.bin", "config.json", "tokenizer.json", "preprocessor_config.json"} <= names


def test_the_data_stays_under_twenty_megabytes() -> None:
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 20e6


def test_voices_of_the_demo_are_not_voices_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "tools"))
    monkeypatch.delitem(sys.modules, "spoken_words", raising=False)
    import spoken_words

    assert not set(spoken_words.DEMO_VARIANTS) & set(spoken_words.TRAINING_VARIANTS)
    said = {word for row in ROWS for word in row["text"].split()}
    assert said <= set(spoken_words.VOCABULARY)
