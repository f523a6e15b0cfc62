"""Engines are found by name; what cannot be done is said before anything is loaded."""

from __future__ import annotations

import pytest

from stenopool.asr import describe_model, engine_names, load_engine
from stenopool.errors import EngineError, InvalidOptionError, NotFoundError
from stenopool.model import TranscribeOptions


def test_shipped_engines_are_there():
    assert {"ctranslate2", "fake", "pocketsphinx", "torch"} <= set(engine_names())


@pytest.mark.parametrize("act", [load_engine, describe_model])
def test_unknown_engine_is_named_with_those_there_are(act, settings):
    with pytest.raises(
        NotFoundError, match=r"'nemo' is not installed.*take one of ctranslate2, pocketsphinx"
    ):
        act(TranscribeOptions(engine="nemo"), settings)


@pytest.mark.parametrize("act", [load_engine, describe_model])
@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"model": "small"}, NotFoundError, "stenopool models get small"),
        ({"model": "turbo"}, NotFoundError, "stenopool models get large-v3-turbo"),
        ({"model": "smal"}, NotFoundError, "neither a folder nor one of these names: demo, tiny"),
        ({"model": "demo", "language": "english"}, InvalidOptionError, "'english'"),
        ({"model": "demo", "languages": ("en", "xx")}, InvalidOptionError, "'xx' is not one"),
        ({"engine": "torch", "model": "small"}, NotFoundError, "hf download openai/whisper-small"),
        ({"engine": "torch", "model": "turbo"}, NotFoundError, "openai/whisper-large-v3-turbo"),
        ({"engine": "pocketsphinx", "language": "de"}, InvalidOptionError, "English only"),
        ({"engine": "pocketsphinx", "languages": ("en", "de")}, InvalidOptionError, "not 'de'"),
        ({"engine": "pocketsphinx", "task": "translate"}, InvalidOptionError, "cannot translate"),
        ({"engine": "pocketsphinx", "prompt": "So:"}, InvalidOptionError, "takes no prompt"),
        ({"engine": "pocketsphinx", "hotwords": "Stenopool"}, InvalidOptionError, "no hotwords"),
        ({"engine": "pocketsphinx", "short_clips": "context"}, InvalidOptionError, "spare no work"),
        ({"engine": "torch", "short_clips": "context"}, InvalidOptionError, "encodes 30 s always"),
        ({"engine": "fake", "model": "fake:fly"}, InvalidOptionError, "cannot 'fly'"),
        ({"engine": "fake", "model": "fake:slow=much"}, InvalidOptionError, "slow=much"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_next_step(act, options, error, says, settings):
    with pytest.raises(error, match=says):
        act(TranscribeOptions(**options), settings)


@pytest.mark.parametrize(
    "options",
    [
        TranscribeOptions(model="demo", language="de", task="translate"),
        TranscribeOptions(model="demo", languages=("en", "zh"), hotwords="Stenopool"),
        TranscribeOptions(model="demo", language="en", short_clips="pack"),
        TranscribeOptions(model="demo", short_clips="context"),
        TranscribeOptions(engine="pocketsphinx", language="en"),
        TranscribeOptions(engine="pocketsphinx", languages=("en",)),
        TranscribeOptions(engine="fake", model="fake:empty"),
    ],
)
def test_description_is_that_of_the_loaded_engine(options, settings):
    assert describe_model(options, settings) == load_engine(options, settings, device="cpu").info


def test_describing_loads_no_engine(run_python, demo_in_transformers_format):
    said = run_python(
        "import sys\n"
        "from stenopool.asr import describe_model\n"
        "from stenopool.model import TranscribeOptions\n"
        "from stenopool.settings import Settings\n"
        f"torch = {str(demo_in_transformers_format)!r}\n"
        "models = {'ctranslate2': 'demo', 'torch': torch, 'pocketsphinx': 'x', 'fake': 'fake'}\n"
        "for engine, model in models.items():\n"
        "    describe_model(TranscribeOptions(engine=engine, model=model), Settings.from_env())\n"
        "heavy = {'ctranslate2', 'faster_whisper', 'pocketsphinx', 'torch', 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert said == "[]"


def test_public_door_loads_nothing_heavy(run_python):
    said = run_python(
        "import sys, stenopool.asr\n"
        "heavy = {'numpy', 'ctranslate2', 'faster_whisper', 'huggingface_hub', 'tokenizers'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert said == "[]"


@pytest.fixture
def strangers(tmp_path, monkeypatch):
    """Somebody else's package with two engines: one that works and one that does not."""
    (tmp_path / "stranger.py").write_text(
        "from stenopool.asr.fake import FakeEngine\n"
        "from stenopool.model import ModelInfo\n"
        "def describe(options, settings):\n"
        "    return ModelInfo(name='stranger', revision='7')\n"
        "def load(options, settings, device, threads):\n"
        "    return FakeEngine(describe(options, settings))\n"
    )
    meta = tmp_path / "stranger-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text(
        "[stenopool.engines]\nstranger = stranger:load\nbroken = not_installed:load\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("strangers")
def test_engine_of_another_package_is_found_by_its_entry_point(settings):
    options = TranscribeOptions(engine="stranger")
    assert "stranger" in engine_names()
    assert describe_model(options, settings).revision == "7"
    assert load_engine(options, settings).info.name == "stranger"


@pytest.mark.usefixtures("strangers")
@pytest.mark.parametrize("act", [load_engine, describe_model])
def test_engine_that_cannot_be_imported_is_named_with_the_reason(act, settings):
    with pytest.raises(EngineError, match=r"'broken' cannot be used.*not_installed"):
        act(TranscribeOptions(engine="broken"), settings)


def test_gpu_that_is_not_there_and_unknown_device_are_said(settings, monkeypatch):
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 0)
    options = TranscribeOptions(model="demo")
    with pytest.raises(EngineError, match="sees no NVIDIA GPU"):
        load_engine(options, settings, device="cuda")
    with pytest.raises(InvalidOptionError, match="auto, cpu, cuda"):
        load_engine(options, settings, device="tpu")
    assert load_engine(options, settings, device="auto", threads=1).name == "ctranslate2"
