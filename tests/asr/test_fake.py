"""The fake engine behaves as its model's name asks for."""

from __future__ import annotations

import time

import numpy as np
import pytest

from asr.clips import digit, text_of
from stenopool.asr import load_engine
from stenopool.errors import EngineError
from stenopool.model import TranscribeOptions

QUIET = digit(3) * np.float32(0.5)
LOUD = np.append(QUIET, np.float32(1.0))


def load(model, settings):
    options = TranscribeOptions(engine="fake", model=model)
    return load_engine(options, settings), options


def test_text_depends_on_the_samples_alone(settings):
    first, options = load("fake", settings)
    second, _ = load("fake", settings)
    results = [e.transcribe([QUIET, LOUD], options, ["en", "en"]) for e in (first, second)]
    assert results[0] == results[1]
    assert text_of(results[0][0]) != text_of(results[0][1])


def test_only_allowed_languages_are_made_up(settings):
    engine, _ = load("fake", settings)
    windows = [digit(n) for n in range(6)]
    options = TranscribeOptions(engine="fake", model="fake", languages=("nl", "is"))
    results = engine.transcribe(windows, options, [None] * 6)
    found = [(result.language, result.language_probability) for result in results]
    assert found == engine.detect_languages(windows, options.languages)
    assert {language for language, _ in found} == {"nl", "is"}


def test_empty_hears_nothing(settings):
    engine, options = load("fake:empty", settings)
    assert engine.transcribe([LOUD], options, ["en"])[0].segments == ()


def test_raise_fails_every_call(settings):
    engine, options = load("fake:raise", settings)
    with pytest.raises(EngineError):
        engine.transcribe([QUIET], options, ["en"])
    with pytest.raises(EngineError):
        engine.detect_languages([QUIET])


def test_raise_on_loud_spares_the_calls_without_a_loud_window(settings):
    engine, options = load("fake:raise-on-loud", settings)
    assert text_of(engine.transcribe([QUIET], options, ["en"])[0])
    with pytest.raises(EngineError):
        engine.transcribe([QUIET, LOUD], options, ["en", "en"])


def test_slow_takes_its_time_for_every_window(settings):
    engine, options = load("fake:slow=0.05,empty", settings)
    start = time.monotonic()
    engine.transcribe([QUIET, QUIET], options, ["en", "en"])
    assert time.monotonic() - start >= 0.1


def test_exit_on_loud_takes_the_process_down(run_python):
    said = run_python(
        "import multiprocessing, numpy\n"
        "from stenopool.asr import load_engine\n"
        "from stenopool.model import TranscribeOptions\n"
        "from stenopool.settings import Settings\n"
        "options = TranscribeOptions(engine='fake', model='fake:exit-on-loud')\n"
        "engine = load_engine(options, Settings.from_env())\n"
        "window = numpy.ones(1600, dtype=numpy.float32)\n"
        "process = multiprocessing.get_context('fork').Process(\n"
        "    target=engine.transcribe, args=([window], options, ['en']))\n"
        "process.start(); process.join(); print(process.exitcode)\n"
    )
    assert said == "70"
