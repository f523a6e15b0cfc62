"""The `torch` engine over the demo model's weights, beside the `ctranslate2` engine on the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from asr.clips import OPTIONS, demo_clips, digit, text_of
from stenopool.asr import describe_model, load_engine, quality
from stenopool.asr import torch_engine as engine_module
from stenopool.asr.ctranslate2 import CTranslate2Engine
from stenopool.asr.models import demo_folder
from stenopool.errors import EngineError, InvalidOptionError, MissingExtraError, ModelError
from stenopool.model import TranscribeOptions

SHOWN = 4
"""Of the demo recordings."""


@pytest.fixture
def folder(demo_in_transformers_format, tmp_path):
    """A copy of the demo model that a test may damage."""
    return shutil.copytree(demo_in_transformers_format, tmp_path / "copy")


def load(folder, settings, device="cpu"):
    options = TranscribeOptions(engine="torch", model=str(folder))
    return load_engine(options, settings, device=device, threads=1)


def test_segments_and_words_are_those_of_the_other_engine_on_the_same_weights(
    torch_engine, demo_engine, monkeypatch
):
    """Greedily alone: draws are by chance, and so not the same in two engines."""
    from faster_whisper import WhisperModel

    # int8 activations move a probability by a hundredth; weights are the same in both.
    model = WhisperModel(str(demo_folder()), device="cpu", compute_type="float32", cpu_threads=1)
    other = CTranslate2Engine(demo_engine.info, model)
    monkeypatch.setattr(quality, "TEMPERATURES", (0.0,))
    options = replace(OPTIONS["torch"], word_timestamps=True)
    clips = demo_clips()
    windows = [samples for samples, _ in clips[:: len(clips) // SHOWN][:SHOWN]]
    found = torch_engine.transcribe(windows, options, [None] * len(windows))
    wanted = other.transcribe(windows, options, [None] * len(windows))
    assert all(sum(len(s.words) for s in result.segments) >= 3 for result in found)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.language == theirs.language
        for segment, reference in zip(ours.segments, theirs.segments, strict=True):
            assert segment.text == reference.text
            assert (segment.start_s, segment.end_s) == (reference.start_s, reference.end_s)
            assert segment.avg_logprob == pytest.approx(reference.avg_logprob, abs=0.02)
            assert segment.no_speech_prob == pytest.approx(reference.no_speech_prob, abs=1e-4)
            for word, same in zip(segment.words, reference.words, strict=True):
                assert (word.text, word.start_s, word.end_s) == (
                    same.text,
                    same.start_s,
                    same.end_s,
                )
                assert word.probability == pytest.approx(same.probability, abs=1e-3)


def test_bfloat16_reads_the_demo_recordings_as_float32_does(
    torch_engine, demo_in_transformers_format, monkeypatch
):
    """Greedily: all 48 that fit a window say the same, in float16 as well."""
    info, place = torch_engine.info, torch.device("cpu")
    less = engine_module.load_folder(demo_in_transformers_format, info, place, torch.bfloat16)
    monkeypatch.setattr(quality, "TEMPERATURES", (0.0,))
    windows = [samples for samples, _ in demo_clips()[::8]]
    found, wanted = (
        [text_of(r) for r in engine.transcribe(windows, OPTIONS["torch"], ["en"] * len(windows))]
        for engine in (less, torch_engine)
    )
    assert sum(a != b for a, b in zip(found, wanted, strict=True)) <= 1
    assert any(wanted)


def test_what_fails_is_drawn_again_and_comes_out_the_same_in_any_company(torch_engine, monkeypatch):
    monkeypatch.setattr(quality, "MIN_AVG_LOGPROB", 0.0)
    monkeypatch.setattr(quality, "TEMPERATURES", (0.0, 0.3))
    monkeypatch.setattr("stenopool.asr.torch_whisper.backend.SAMPLES_PER_RETRY", 2)
    monkeypatch.setattr(quality, "best_attempt", lambda attempts: attempts[-1])
    windows, options = [digit(6), digit(2)], OPTIONS["torch"]
    together = torch_engine.transcribe(windows, options, ["en"] * 2)
    assert {s.temperature for result in together for s in result.segments} == {0.3}
    assert torch_engine.transcribe(windows[1:], options, ["en"]) == together[1:]


def test_batches_that_go_side_by_side_keep_their_order(demo_in_transformers_format, settings):
    engine = load(demo_in_transformers_format, settings)
    windows = [digit(n) for n in range(5)]
    one_by_one = engine.transcribe(windows, OPTIONS["torch"], ["en"] * 5)
    engine._backend.layout = replace(engine._backend.layout, batch=2, batches=2)
    assert engine.transcribe(windows, OPTIONS["torch"], ["en"] * 5) == one_by_one
    with pytest.raises(ValueError, match="480000 samples"):
        engine.transcribe([np.zeros(500_000, np.float32)] * 5, OPTIONS["torch"], ["en"] * 5)


def test_probabilities_of_languages_are_those_of_the_other_engine(torch_engine, demo_engine):
    windows = [digit(3), digit(8)[:6000], np.zeros(16_000, np.float32)]
    ours, theirs = (
        backend.detect(backend.encode([backend.mel(window) for window in windows]))
        for backend in (torch_engine._backend, demo_engine._backend)
    )
    for found, wanted in zip(ours, theirs, strict=True):
        assert sum(found.values()) == pytest.approx(1.0)
        assert found == pytest.approx(wanted, abs=0.02)  # the other one computes in int8


def test_weights_in_several_files_are_the_same_model(folder, settings, torch_engine):
    state = load_file(folder / "model.safetensors")
    names = sorted(state)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: state[name] for name in part}, folder / file)
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    again = load(folder, settings).transcribe([digit(4)], OPTIONS["torch"], ["en"])
    assert again == torch_engine.transcribe([digit(4)], OPTIONS["torch"], ["en"])


def test_any_byte_of_the_weights_changes_the_revision(folder, settings):
    options = TranscribeOptions(engine="torch", model=str(folder))
    before = describe_model(options, settings)
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"\x01\x02\x03")
    assert describe_model(options, settings).revision != before.revision


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tokenizer.json", "lacks tokenizer.json"),
        ("config.json", "lacks config.json"),
        ("model.safetensors", "lacks model.safetensors"),
    ],
)
def test_missing_file_is_named(folder, settings, name, says):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=says):
        load(folder, settings)


def test_folder_of_the_other_engine_is_told_which_engine_takes_it(settings):
    with pytest.raises(ModelError, match="--engine ctranslate2"):
        load(demo_folder(), settings)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("config.json", b"{}", "num_mel_bins"),
        ("config.json", b"{half", "cannot be read"),
        ("tokenizer.json", b"{}", "tokenizer.json"),
        ("model.safetensors", b"nothing", "cannot be read"),
    ],
)
def test_damaged_file_is_one_line_that_names_it(folder, settings, name, content, says):
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=says):
        load(folder, settings)


def test_weights_that_only_pickle_holds_are_told_how_to_be_written(folder, settings):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"reads safetensors.*save_pretrained"):
        load(folder, settings)


def test_output_layer_that_is_not_the_embedding_is_refused(folder, settings):
    state = load_file(folder / "model.safetensors")
    tokens = state["model.decoder.embed_tokens.weight"]
    save_file({**state, "proj_out.weight": tokens.clone()}, folder / "model.safetensors")
    load(folder, settings)
    save_file({**state, "proj_out.weight": tokens + 1}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"'proj_out\.weight' that is not"):
        load(folder, settings)


def test_alignment_heads_of_layers_that_are_not_there_do_not_count(folder, settings):
    generation = json.loads((folder / "generation_config.json").read_text())
    generation["alignment_heads"] = [[7, 0], [10, 17]]
    (folder / "generation_config.json").write_text(json.dumps(generation))
    options = replace(OPTIONS["torch"], word_timestamps=True)
    (result,) = load(folder, settings).transcribe([digit(4)], options, ["en"])
    assert [word.text for segment in result.segments for word in segment.words] == ["four"]


def test_weights_of_another_model_are_refused(folder, settings):
    state = load_file(folder / "model.safetensors")
    tokens = "model.decoder.embed_tokens.weight"
    save_file(state | {tokens: state[tokens][:100]}, folder / "model.safetensors")
    with pytest.raises(ModelError, match="not the sizes"):
        load(folder, settings)
    del state["model.decoder.layers.1.fc1.weight"]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"decoder\.layers\.1\.fc1\.weight"):
        load(folder, settings)


def test_tokenizer_of_a_larger_model_is_refused(folder, settings):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 51_865}))
    with pytest.raises(ModelError, match="does not belong to the model"):
        load(folder, settings)


def test_english_only_model_refuses_other_languages(folder, settings):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 51_864}))
    for changes in ({"language": "de"}, {"languages": ("de", "en")}):
        options = TranscribeOptions(engine="torch", model=str(folder), **changes)
        with pytest.raises(InvalidOptionError, match="English and nothing else"):
            describe_model(options, settings)


@pytest.mark.parametrize("code", ["xx", "translate", "nospeech", "0.00", "notimestamps"])
@pytest.mark.parametrize("among", [(), ("en",)])
def test_language_that_the_model_does_not_know_is_refused(folder, settings, code, among):
    changes = {"languages": (*among, code)} if among else {"language": code}
    options = TranscribeOptions(engine="torch", model=str(folder), **changes)
    with pytest.raises(InvalidOptionError, match=f"'{code}' is not one that the model knows"):
        describe_model(options, settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_gpu_that_is_not_there_and_unknown_device_are_said(folder, settings):
    with pytest.raises(EngineError, match="sees no NVIDIA GPU"):
        load(folder, settings, device="cuda")
    with pytest.raises(InvalidOptionError, match="auto, cpu, cuda"):
        load(folder, settings, device="tpu")


def test_torch_that_is_not_installed_is_named_with_its_extra(folder, settings, monkeypatch):
    monkeypatch.setattr(engine_module, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match=r"stenopool\[torch\]"):
        load(folder, settings)


def test_failure_inside_the_library_is_an_engine_error(torch_engine, monkeypatch):
    monkeypatch.setattr(
        torch_engine._backend, "_spectrograms", lambda _sounds: torch.zeros(1, 80, 3000)
    )
    with pytest.raises(EngineError, match="could not encode 1 windows"):
        torch_engine.transcribe([digit(3)], OPTIONS["torch"], ["en"])
