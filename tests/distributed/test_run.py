"""The promises of a run, on real recordings and a real Ray, with the engine made for tests."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from distributed.conftest import AUDIO, speech, write_wav
from stenopool.catalog import open_catalog, parse_name
from stenopool.catalog.ledger import Ledger
from stenopool.distributed.reading import UNIT_SCHEMA
from stenopool.distributed.transcribing import Transcriber, Work
from stenopool.errors import AlreadyExistsError, NotFoundError, RunBusyError, RunFailedError
from stenopool.model import SAMPLE_RATE, ModelInfo, TranscribeOptions
from stenopool.storage import open_storage

pytestmark = pytest.mark.integration


@pytest.fixture
def digits(folder):
    """Eight real recordings of one word each."""
    for path in sorted((AUDIO / "digits").glob("*_george_1.wav"))[:8]:
        shutil.copy(path, folder)
    return folder


def interrupt_after(recordings):
    """An `on_progress` that presses Ctrl-C once so many recordings have a row."""

    def on_progress(progress):
        if progress.phase == "transcribing" and progress.run.recordings >= recordings:
            raise KeyboardInterrupt

    return on_progress


def test_every_recording_becomes_one_row_with_its_text(run, rows, digits):
    record = run(digits, "CALLS.PUBLIC.TRANSCRIPTS")
    found = rows("SELECT path, text, duration_s, size_bytes, error FROM calls.public.transcripts")
    assert {path for path, *_ in found} == {file.name for file in digits.iterdir()}
    assert all(
        text and seconds > 0.1 and size and not error for _, text, seconds, size, error in found
    )
    assert (record.recordings, record.failed, record.state) == (8, 0, "succeeded")
    assert record.speed > 0


def test_a_row_says_where_its_text_comes_from(run, rows, digits):
    before = datetime.now(UTC)
    record = run(digits, language="en")
    names = (
        "source, engine, model, model_revision, run_id, attempts, language, transcribed_at, etag"
    )
    for row in rows(f"SELECT {names} FROM t"):
        assert row[:5] == (str(digits), "fake", "fake", "fake-1:fake", record.run_id)
        assert row[5:7] == (1, "en")
        assert before <= row[7] <= datetime.now(UTC)
        assert row[8]
    assert len({key for (key,) in rows("SELECT transcript_id FROM t")}) == 8


def test_a_second_run_does_nothing_and_adds_nothing(run, rows, digits):
    run(digits)
    before = rows("SELECT path, run_id, transcribed_at FROM t ORDER BY path")
    phases = []
    record = run(digits, on_progress=lambda progress: phases.append(progress.phase))
    assert (record.recordings, record.skipped, record.listed) == (0, 8, 8)
    assert "transcribing" not in phases
    assert rows("SELECT path, run_id, transcribed_at FROM t ORDER BY path") == before


def test_only_what_is_new_or_changed_is_done_again(run, rows, digits):
    run(digits)
    write_wav(digits / "new.wav", speech(1))
    write_wav(digits / "0_george_1.wav", speech(2))
    record = run(digits)
    assert (record.recordings, record.skipped) == (2, 7)
    assert rows("SELECT count(*), count(DISTINCT transcript_id) FROM t") == [(10, 10)]


def test_other_options_give_other_transcripts(run, rows, digits):
    run(digits, language="en")
    assert run(digits, language="de").recordings == 8
    assert rows("SELECT count(*), count(DISTINCT transcript_id) FROM t") == [(16, 16)]


@pytest.mark.proof
def test_a_folder_and_its_parent_agree_about_what_is_done(run, digits):
    run(digits)
    assert run(digits.parent).skipped == 8


def test_overwrite_replaces_rows_and_doubles_none(run, rows, digits):
    first = run(digits)
    second = run(digits, overwrite=True)
    assert second.recordings == 8
    found = rows("SELECT run_id, count(*) FROM t GROUP BY 1")
    assert found == [(second.run_id, 8)]
    assert second.run_id != first.run_id


def test_patterns_and_limit_choose_recordings(run, rows, digits):
    run(digits, patterns=("1_*", "2_*"))
    assert sorted(rows("SELECT path FROM t")) == [("1_george_1.wav",), ("2_george_1.wav",)]
    assert run(digits, limit=3).recordings == 3


@pytest.mark.proof
def test_an_interrupted_run_shows_readers_nothing_and_the_same_call_goes_on(run, rows, folder):
    for i in range(300):
        write_wav(folder / f"{i}.wav", speech(0.3, seed=i))
    with pytest.raises(KeyboardInterrupt):
        run(folder, on_progress=interrupt_after(1))
    assert rows("SELECT count(*) FROM t") == [(0,)]
    resumed = []
    record = run(folder, on_progress=lambda progress: resumed.append(progress.resumed))
    assert 0 < resumed[-1] < 300
    assert (record.recordings, record.skipped, record.state) == (300, 0, "succeeded")
    assert rows("SELECT count(*), count(DISTINCT path), count(DISTINCT run_id) FROM t") == [
        (300, 300, 1)
    ]


def test_a_run_that_fails_is_recorded_with_its_reason(run, settings, digits):
    def on_progress(progress):
        if progress.phase == "transcribing":
            raise RunFailedError("the power went")

    with pytest.raises(RunFailedError, match="the power went"):
        run(digits, on_progress=on_progress)
    with open_catalog(settings) as catalog:
        [record] = catalog.runs()
    assert (record.state, record.error) == ("failed", "the power went")
    assert record.ended_at is not None


def test_publishing_twice_shows_rows_once(run, rows, settings, digits):
    record = run(digits)
    with open_catalog(settings) as catalog:
        target = parse_name("T", database=settings.database, schema=settings.schema)
        Ledger(catalog, target, record.run_id).publish()
    assert rows("SELECT count(*) FROM t") == [(8,)]


@pytest.mark.proof
def test_two_runs_of_the_same_recordings_at_once_publish_each_once(run, rows, settings, digits):
    def meanwhile(progress):
        if progress.phase == "publishing":
            # Another run: it names the same recordings in another way.
            run(digits, patterns=("*.wav",))  # sees nothing published yet, and is through first

    run(digits, on_progress=meanwhile)
    assert rows("SELECT count(*), count(DISTINCT transcript_id) FROM t") == [(8, 8)]


@pytest.mark.proof
def test_the_same_run_twice_at_once_steps_back_and_names_the_other(run, rows, digits):
    refused = []

    def meanwhile(progress):
        if progress.phase == "transcribing" and not refused:
            with pytest.raises(RunBusyError) as error:
                run(digits)
            refused.append(str(error.value))

    record = run(digits, on_progress=meanwhile)
    assert record.run_id in refused[0]
    assert str(os.getpid()) in refused[0]
    assert rows("SELECT count(*), count(DISTINCT transcript_id) FROM t") == [(8, 8)]


@pytest.mark.proof
def test_a_recording_that_changed_while_the_run_was_interrupted_is_no_obstacle(run, rows, folder):
    for i in range(120):
        write_wav(folder / f"{i}.wav", speech(0.3, seed=i))
    with pytest.raises(KeyboardInterrupt):
        run(folder, on_progress=interrupt_after(1))
    for i in range(120):
        write_wav(folder / f"{i}.wav", speech(0.4, seed=i))
    assert run(folder).state == "succeeded"
    assert rows("SELECT count(DISTINCT path) FROM t") == [(120,)]


@pytest.mark.proof
def test_a_long_recording_is_one_row_with_times_in_order(run, rows, folder):
    minutes = 25
    pause = np.zeros(3 * SAMPLE_RATE, np.int16)
    stretch = np.concatenate([digit_string(), pause])
    repeats = minutes * 60 * SAMPLE_RATE // len(stretch)
    write_wav(folder / "lecture.wav", np.tile(stretch, repeats))
    run(folder, language="en")
    [(seconds, speech_s, segments)] = rows("SELECT duration_s, speech_s, segments FROM t")
    assert seconds == pytest.approx(repeats * len(stretch) / SAMPLE_RATE, abs=0.001)
    assert 0.3 * seconds < speech_s < seconds
    starts = [segment["start_s"] for segment in segments]
    ends = [segment["end_s"] for segment in segments]
    assert starts == sorted(starts)
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    assert ends[-1] > seconds - 15


def languages_of(rows):
    [(language, segments)] = rows("SELECT language, segments FROM t")
    return language, [segment["language"] for segment in segments]


def test_each_segment_says_in_which_language_it_is(run, rows, folder):
    write_wav(folder / "talk.wav", np.tile(speech(20), 12))
    run(folder, vad=False)
    language, found = languages_of(rows)
    assert len(found) > 4
    assert len(set(found)) > 1  # the engine made for tests hears one in each window
    assert language in found


@pytest.mark.parametrize("short_clips", ["context", "pack"])
def test_words_are_read_alike_where_short_clips_spare_work(run, rows, digits, short_clips):
    demo = {"model": "demo", "engine": "ctranslate2", "language": "en"}
    run(digits, **demo)
    run(digits, "SHORT", short_clips=short_clips, **demo)
    texts = "SELECT path, text FROM {} ORDER BY path"
    assert rows(texts.format("short")) == rows(texts.format("t"))
    [(options,)] = rows("SELECT DISTINCT options FROM short")
    assert json.loads(options)["short_clips"] == short_clips


def test_clips_of_one_language_share_windows_where_that_is_asked_for(settings):
    options = TranscribeOptions(model="fake", engine="fake", language="en", short_clips="pack")
    model = ModelInfo(name="fake", revision="r")
    work = Work(run_id="r", source="s", options=options, settings=settings, model=model)
    transcriber, heard = Transcriber(work), []
    transcribe = transcriber._engine.transcribe

    def noting(windows, *more):
        heard.append(len(windows))
        return transcribe(windows, *more)

    transcriber._engine.transcribe = noting
    clip = dict.fromkeys(UNIT_SCHEMA.names) | {
        "unit": 0, "last": True, "windows": [{"start": 0, "end": 4 * SAMPLE_RATE}], "warnings": [],
        "decoded_samples": 4 * SAMPLE_RATE, "speech_samples": 4 * SAMPLE_RATE, "read_s": 0.0,
    }  # fmt: skip
    units = [clip | {"path": str(n), "samples": speech(4, n).tobytes()} for n in range(4)]
    rows = transcriber(pa.Table.from_pylist(units, UNIT_SCHEMA)).to_pylist()
    assert heard[0] == 1  # all four, of 4 s and three gaps
    assert all(row["text"] and row["duration_s"] == 4 for row in rows)


def test_no_other_language_is_found_than_those_allowed(run, rows, folder):
    write_wav(folder / "talk.wav", np.tile(speech(20), 12))
    run(folder, vad=False, languages=("nl", "is"))
    language, found = languages_of(rows)
    assert {language, *found} == {"nl", "is"}


def digit_string():
    """A few real spoken digits with short pauses; int16, 16 kHz."""
    from stenopool.audio import decode_audio

    files = sorted((AUDIO / "digits").glob("*_jackson_7.wav"))[:6]
    pause = np.zeros(SAMPLE_RATE // 5, np.int16)
    parts = [(decode_audio(file) * 32768).astype(np.int16) for file in files]
    return np.concatenate([piece for part in parts for piece in (part, pause)])


def test_a_recording_on_which_the_engine_fails_costs_one_recording(run, rows, folder):
    for i in range(6):
        write_wav(folder / f"{i}.wav", speech(1, seed=i))
    loud = speech(1)
    loud[::100] = 32767
    write_wav(folder / "loud.wav", loud)
    record = run(folder, model="fake:raise-on-loud", vad=False)
    assert (record.done, record.failed) == (6, 1)
    assert record.details["failed_by_class"] == {"engine": 1}
    [(path, text, error)] = rows("SELECT path, text, error FROM t WHERE error_class IS NOT NULL")
    assert (path, text) == ("loud.wav", None)
    assert "loud.wav" in error


def test_a_recording_that_vanishes_after_the_listing_is_a_row(run, rows, digits):
    gone = digits / "3_george_1.wav"

    def on_progress(progress):
        if progress.phase == "starting":
            gone.unlink(missing_ok=True)

    record = run(digits, on_progress=on_progress)
    assert (record.done, record.failed) == (7, 1)
    assert rows("SELECT path, error_class FROM t WHERE text IS NULL") == [(gone.name, "vanished")]


def test_silence_is_an_empty_text_and_no_error(run, rows, folder):
    write_wav(folder / "silence.wav", np.zeros(20 * SAMPLE_RATE, np.int16))
    run(folder)
    assert rows("SELECT text, segments, speech_s, error FROM t") == [("", [], 0.0, None)]


ODD_NAMES = [
    "a b.wav",
    "it's.wav",
    'say "hi".wav',
    "line\nbreak.wav",
    "😀.wav",
    "[x]*?.wav",
    "ä/ö#1%.wav",
]


def test_odd_names_are_read_and_kept(run, rows, folder):
    for seed, name in enumerate(ODD_NAMES):
        write_wav(folder / name, speech(1, seed=seed))
    assert run(folder).failed == 0
    assert sorted(path for (path,) in rows("SELECT path FROM t")) == sorted(ODD_NAMES)


def test_a_name_that_is_not_utf8_costs_one_recording(run, rows, digits):
    (digits / "0_george_1.wav").rename(digits / os.fsdecode(b"caf\xe9.wav"))
    record = run(digits)
    assert (record.done, record.failed) == (7, 1)
    [(path, error)] = rows("SELECT path, error FROM t WHERE text IS NULL")
    assert path == "caf\\xe9.wav"
    assert path in error


@pytest.mark.proof
def test_a_stage_in_a_bucket_is_transcribed(run, rows, settings, digits, bucket):
    with open_catalog(settings) as catalog:
        name = parse_name("CLIPS", database=settings.database, schema=settings.schema)
        catalog.create_stage(name, url=f"s3://{bucket}/clips")
    storage = open_storage(f"s3://{bucket}/clips")
    for file in digits.iterdir():
        storage.put(file, f"2026/{file.name}")
    assert run("@clips/2026").recordings == 8
    assert rows("SELECT DISTINCT source FROM t") == [("@STENOPOOL.PUBLIC.CLIPS",)]
    assert run(f"s3://{bucket}/clips", "other").recordings == 8


def test_a_missing_stage_is_named_before_anything_starts(run, settings):
    with pytest.raises(NotFoundError, match=r"@STENOPOOL\.PUBLIC\.NOWHERE.*stage create"):
        run("@nowhere")
    with open_catalog(settings) as catalog:
        assert list(catalog.runs()) == []
        assert catalog.tables() == []


def test_a_table_of_something_else_is_not_written_to(run, settings, digits):
    import pyarrow as pa

    with open_catalog(settings) as catalog:
        name = parse_name("T", database=settings.database, schema=settings.schema)
        catalog.create_table(name, pa.schema([("x", pa.int64())]))
    with pytest.raises(AlreadyExistsError, match="not a table of transcripts"):
        run(digits)
