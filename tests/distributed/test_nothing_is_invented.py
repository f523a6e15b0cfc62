"""Nothing is said where nobody speaks, or the row warns of it, on a run's own way."""

from __future__ import annotations

import numpy as np
import pytest

from distributed.conftest import AUDIO, write_wav
from sounds import SOUNDS, samples
from stenopool.asr import describe_model
from stenopool.audio import decode_audio
from stenopool.distributed.planning import reference_table
from stenopool.distributed.reading import UnitReader
from stenopool.distributed.transcribing import Transcriber, Work
from stenopool.model import TranscribeOptions
from stenopool.settings import Settings
from stenopool.storage import open_storage

MISTAKEN = {
    "band", "chirps", "chords", "clipped noise", "loud pink noise", "loud white noise", "low tone",
    "siren",
}  # fmt: skip
"""What the VAD takes for speech somewhere in two minutes."""

NOT_FOUND_OUT = {("chirps", 1)}
"""Sounds and seconds that VAD and model both take for a word, so that nothing tells."""


@pytest.fixture(scope="module")
def transcribed(tmp_path_factory):
    """`transcribed(folder, **options)`: a row for each recording of a folder, by name."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings.from_env({"STENOPOOL_HOME": str(home)})

    def transcribe(folder, **chosen):
        options = TranscribeOptions(**{"model": "demo"} | chosen)
        files = open_storage(str(folder)).list()
        references = reference_table((file, file.path) for file in files)
        model = describe_model(options, settings)
        work = Work(run_id="r", source="s", options=options, settings=settings, model=model)
        reader = UnitReader(str(folder), vad=options.vad, block_windows=8, settings=settings)
        transcriber = Transcriber(work)
        parts = [part for units in reader(references) for part in transcriber(units).to_pylist()]
        assert all(part["unit"] == 0 and part["last"] for part in parts)
        return {part["path"].removesuffix(".wav"): part for part in parts}

    return transcribe


def heard(transcribed, folder, sounds, seconds, **options):
    for name in sounds:
        write_wav(folder / f"{name}.wav", samples(name, seconds))
    return transcribed(folder, **options)


@pytest.mark.parametrize("seconds", [1, 12, pytest.param(120, marks=pytest.mark.proof)])
def test_nothing_is_invented_in_silence_noise_tones_and_music(transcribed, tmp_path, seconds):
    rows = heard(transcribed, tmp_path, SOUNDS, seconds)
    assert set(rows) == set(SOUNDS)
    for name, row in rows.items():
        assert row["error"] is None, row["error"]
        if (name, seconds) in NOT_FOUND_OUT:
            continue
        if name in MISTAKEN:
            assert row["warnings"] or not row["text"], (name, row["text"])
        else:
            assert (row["text"], row["segments"], row["warnings"]) == ("", [], []), name
            assert (row["coverage"], row["speech_s"]) == (None, 0.0)


def test_what_pocketsphinx_makes_of_sounds_that_the_vad_mistakes_has_a_warning(
    transcribed, tmp_path
):
    rows = heard(transcribed, tmp_path, MISTAKEN, 12, engine="pocketsphinx")
    assert any(row["text"] for row in rows.values())
    assert all(row["warnings"] or not row["text"] for row in rows.values())


LOUD = ("loud white noise", "tone", "band")


@pytest.mark.parametrize(
    ("engine", "sounds", "seconds"),
    [("ctranslate2", SOUNDS, 2), ("pocketsphinx", LOUD, 2)],
)
def test_without_vad_what_is_invented_has_a_warning(transcribed, tmp_path, engine, sounds, seconds):
    rows = heard(transcribed, tmp_path, sounds, seconds, engine=engine, vad=False)
    assert any(row["text"] for row in rows.values())
    assert all(row["warnings"] or not row["text"] for row in rows.values())
    for name in {"silence"} & set(sounds):
        assert (rows[name]["text"], rows[name]["warnings"]) == ("", [])


def test_real_words_in_faint_noise_are_kept_and_have_no_warning(transcribed, tmp_path):
    noise = samples("faint noise", 4)
    for number, word in ((7, "seven"), (2, "two"), (9, "nine"), (4, "four")):
        spoken = decode_audio(AUDIO / "digits" / f"{number}_jackson_{number}.wav")
        sound = (spoken * 32_767).astype(np.int16)
        write_wav(tmp_path / f"{word}.wav", np.concatenate([noise, sound, noise]))
    for word, row in transcribed(tmp_path).items():
        assert (row["text"], row["warnings"]) == (word, [])
        assert row["coverage"] > 0.5
