"""A home of its own for each test, recordings to run on, and a run in one call."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import av
import numpy as np
import pytest

from stenopool.catalog import open_catalog
from stenopool.distributed.requesting import Request
from stenopool.distributed.run import transcribe
from stenopool.model import SAMPLE_RATE, TranscribeOptions
from stenopool.settings import Settings

AUDIO = Path(__file__).parents[3] / "shared" / "audio"


@pytest.fixture
def settings(tmp_path):
    return Settings.from_env({"STENOPOOL_HOME": str(tmp_path / "home")})


@pytest.fixture
def folder(tmp_path):
    """An empty folder for recordings."""
    place = tmp_path / "recordings"
    place.mkdir()
    return place


@pytest.fixture
def run(settings, ray_cluster):
    """`run(source, table, **request)`: a run with the fake engine, unless told otherwise."""

    def start(source, to="T", *, on_progress=lambda _: None, model="fake", engine="fake", **more):
        names = {field.name for field in fields(TranscribeOptions)} & set(more)
        chosen = {name: more.pop(name) for name in names}
        options = TranscribeOptions(model=model, engine=engine, **chosen)
        request = Request(source=str(source), target=to, options=options, **more)
        return transcribe(request, settings, on_progress)

    return start


@pytest.fixture
def rows(settings):
    """`rows("SELECT …")`: what a reader of the tables sees now."""
    from stenopool.warehouse import query

    def fetch(statement):
        with open_catalog(settings) as catalog:
            return query(statement, catalog, settings).fetchall()

    return fetch


def speech(seconds, seed=0):
    """Noise in the rhythm of words; int16, shape (n,), 16 kHz. Same seed, same sound."""
    random = np.random.default_rng(seed)
    count = int(seconds * SAMPLE_RATE)
    envelope = np.sin(np.arange(count) * 2 * np.pi * 3 / SAMPLE_RATE) ** 2
    return (random.normal(0, 4000, count) * envelope).astype(np.int16)


def write_wav(path, samples, rate=SAMPLE_RATE):
    """Write int16 samples, shape (n,), as a WAV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
