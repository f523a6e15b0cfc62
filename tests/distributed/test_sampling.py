"""Samples: which recordings they are, and what they say of a long run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from distributed.conftest import speech, write_wav
from stenopool.catalog import open_catalog
from stenopool.distributed.requesting import Request, Sample, request_of
from stenopool.distributed.sampling import Sampled, busy_seconds, forecast
from stenopool.errors import InvalidOptionError
from stenopool.model import FileRef, RunRecord, TranscribeOptions


class Listed:
    """A source that lists these paths."""

    def __init__(self, *paths):
        self.paths = paths

    def list(self):
        return (FileRef(path=path, size_bytes=1, etag="e") for path in self.paths)


PATHS = [f"{number}.wav" for number in range(40)]


def chosen(paths, size, **more):
    return [file.path for file in Sampled(Listed(*paths), Sample(size=size, **more)).list()]


def test_same_seed_gives_the_same_recordings_in_whatever_order_they_are_listed():
    assert chosen(PATHS, 5) == chosen(PATHS[::-1], 5)
    assert len(set(chosen(PATHS, 5))) == 5
    assert chosen(PATHS, 5, seed=1) != chosen(PATHS, 5)


def test_larger_sample_holds_the_smaller():
    assert chosen(PATHS, 20)[:5] == chosen(PATHS, 5)
    assert sorted(chosen(PATHS, 99)) == sorted(PATHS)


def test_every_recording_is_as_likely_as_any_other():
    counts = Counter(path for seed in range(400) for path in chosen(PATHS, 10, seed=seed))
    assert set(counts) == set(PATHS)
    assert 60 <= min(counts.values()) <= max(counts.values()) <= 140  # 100 each, by chance


def test_only_recordings_of_the_manifest_are_chosen(tmp_path):
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,text\nx/1.wav,one\nx/2.wav,two\n")
    paths = ["x/1.wav", "y/1.wav", "x/2.wav", "x/3.wav"]
    assert sorted(chosen(paths, 9, reference=str(manifest))) == ["x/1.wav", "x/2.wav"]
    with pytest.raises(InvalidOptionError, match=r"no recording of the source is in .*'x/1.wav'"):
        chosen(["far.wav"], 9, reference=str(manifest))


@pytest.fixture
def request_for(folder):
    """Twenty recordings of one second, and the request of a sample of five of them."""
    for number in range(20):
        write_wav(folder / f"{number}.wav", speech(1, seed=number))
    options = TranscribeOptions(model="fake", engine="fake")
    return Request(source=str(folder), target="T", options=options, sample=Sample(size=5))


def record(**changes):
    values = {
        "run_id": "r", "source": "s", "target": "STENOPOOL.PUBLIC.T", "state": "succeeded",
        "options": "{}", "started_at": datetime.now(UTC), "listed": 5, "done": 5,
        "audio_s": 5.0, "wall_s": 12.0,
        "details": {"report": {"engines": 2, "engine_s": 4.0, "read_s": 1.0}},
    }  # fmt: skip
    return RunRecord(**values | changes)


def test_rest_takes_the_start_once_and_the_speed_of_the_engines(request_for, settings):
    found = forecast(request_for, settings, record())
    assert found.speed == pytest.approx(5 * 2 / 4)  # two engines worked four seconds together
    assert found.start_s == pytest.approx(12 - 2)
    assert found.estimate.audio_s == pytest.approx(20, abs=0.1)
    assert found.wall_s == pytest.approx(10 + 20 / 2.5, abs=0.1)
    assert "2 engines" in found.judged_by


def test_reading_sets_the_speed_where_it_takes_longer(request_for, settings):
    report = {"engines": 1, "engine_s": 1.0, "read_s": 10.0}
    assert forecast(request_for, settings, record(details={"report": report})).speed == 0.5


def test_run_that_had_nothing_to_do_is_judged_by_the_last_that_had(request_for, settings):
    idle = record(run_id="idle", audio_s=0.0, details={"report": {"engines": 0}})
    assert forecast(request_for, settings, idle).speed is None
    with open_catalog(settings) as catalog:
        catalog.save_run(record())
        catalog.save_run(record(run_id="other", options='{"model": "x"}', audio_s=500.0))
    assert forecast(request_for, settings, idle).speed == 2.5
    assert busy_seconds(idle) == 0


@pytest.mark.proof
@pytest.mark.integration
def test_sample_is_done_first_and_the_whole_run_does_the_rest(run, rows, request_for):
    first = run(request_for.source, sample=request_for.sample)
    assert (first.recordings, first.listed, first.skipped) == (5, 5, 0)
    keys = {key for (key,) in rows("SELECT transcript_id FROM t")}
    assert keys == set(first.details["sample"])
    again = run(request_for.source, sample=request_for.sample)
    assert (again.recordings, again.skipped) == (0, 5)
    rest = run(request_for.source)
    assert (rest.recordings, rest.skipped) == (15, 5)
    assert request_of(first) == replace(request_for, target="STENOPOOL.PUBLIC.T")
