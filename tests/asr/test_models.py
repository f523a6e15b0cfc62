"""Models on this machine: where they are found, what pins them, what is wrong with them."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace

import pytest

from stenopool.asr import describe_model, known_models, load_engine, verify, verify_model
from stenopool.asr.models import HUB_MODELS, RECORD, demo_folder, folder_revision, model_info
from stenopool.errors import InvalidOptionError, ModelError, NotFoundError
from stenopool.model import TranscribeOptions


@pytest.fixture
def folder(tmp_path):
    """A copy of the demo model."""
    return shutil.copytree(demo_folder(), tmp_path / "copy")


def test_demo_model_is_always_here_and_the_others_are_not(settings):
    found = {model.name: model for model in known_models(settings)}
    assert found["demo"].path == demo_folder()
    assert 5_000_000 < found["demo"].size_bytes < 20_000_000
    assert found["small"].path is None
    assert set(found) == {"demo", *HUB_MODELS}


def test_every_hub_model_is_pinned_to_a_commit():
    for model in HUB_MODELS.values():
        assert re.fullmatch(r"[0-9a-f]{40}", model.revision)
    assert len({model.revision for model in HUB_MODELS.values()}) == len(HUB_MODELS)


def test_names_are_those_of_faster_whispers_table():
    from faster_whisper.utils import _MODELS

    assert {n: m.repository for n, m in HUB_MODELS.items()} == {
        n: repository for n, repository in _MODELS.items() if n not in ("large", "turbo")
    }


def test_fetched_model_is_found_by_name_and_alias_with_its_commit(settings, folder):
    settings.models.mkdir(parents=True)
    target = settings.models / "large-v3-turbo"
    folder.rename(target)
    (target / RECORD).write_text(json.dumps({"revision": "f" * 40}))
    for name in ("turbo", "large-v3-turbo"):
        info = model_info(name, settings)
        assert (info.name, info.revision) == (name, "f" * 40)
    found = {model.name: model for model in known_models(settings)}
    assert found["large-v3-turbo"].path == target


def test_folder_is_pinned_by_its_content_wherever_it_lies(settings, folder):
    revision = model_info(str(folder), settings).revision
    assert revision == model_info("demo", settings).revision
    (folder / "README.md").write_text("says nothing to an engine")
    assert model_info(str(folder), settings).revision == revision
    with (folder / "model.bin").open("r+b") as file:
        file.seek(5_000_000)
        file.write(b"\xff\x00\xff")
    assert model_info(str(folder), settings).revision != revision


def test_unchanged_folder_is_hashed_once(settings, folder):
    revision = folder_revision(folder, settings)
    model = folder / "model.bin"
    times = model.stat()
    model.write_bytes(b"\0" * times.st_size)
    os.utime(model, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert folder_revision(folder, settings) == revision
    os.utime(model, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert folder_revision(folder, settings) != revision


def test_revision_needs_no_place_to_write(settings, folder):
    (settings.home).mkdir()
    settings.models.write_text("a file where the folder should be")
    assert folder_revision(folder, settings) == folder_revision(demo_folder(), settings)


def test_folder_of_something_else_is_no_model(settings, tmp_path):
    (tmp_path / "call.wav").touch()
    with pytest.raises(NotFoundError, match="is no model"):
        model_info(str(tmp_path), settings)


def test_folder_that_is_not_whole_says_what_is_missing(settings, folder):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(
        ModelError, match=r"lacks tokenizer\.json; fetch or convert it again into a new folder"
    ):
        model_info(str(folder), settings)


def test_folder_in_transformers_format_says_how_to_convert_it(settings, tmp_path):
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ModelError, match="ct2-transformers-converter --model"):
        model_info(str(tmp_path), settings)


def test_english_only_model_refuses_other_languages_and_translation(settings, folder):
    settings.models.mkdir(parents=True)
    folder.rename(settings.models / "small.en")
    options = TranscribeOptions(model="small.en", language="en")
    assert describe_model(options, settings).name == "small.en"
    english = replace(options, language=None, languages=("en",))
    assert describe_model(english, settings).name == "small.en"
    for changed in (
        {"language": "de"},
        {"language": None, "languages": ("de", "en")},
        {"task": "translate"},
    ):
        with pytest.raises(InvalidOptionError, match="such as 'small'"):
            describe_model(replace(options, **changed), settings)


def test_damaged_record_is_named(settings, folder):
    (folder / RECORD).write_text("{half")
    with pytest.raises(ModelError, match=r"stenopool\.json"):
        model_info(str(folder), settings)


def failed(path):
    """The one check that failed; those before it passed."""
    *passed, last = verify_model(path)
    assert all(check.ok for check in passed)
    assert not last.ok
    return last


def test_whole_model_passes_every_check():
    checks = verify_model(demo_folder())
    assert [check.name for check in checks] == ["files", "sizes", "config", "tokenizer", "load"]
    assert all(check.ok for check in checks), checks
    assert "[1, 1500, 128]" in checks[-1].detail


def test_missing_folder_is_not_checked(tmp_path):
    with pytest.raises(NotFoundError, match=r"holds model\.bin"):
        verify_model(tmp_path / "nowhere")


def test_missing_file_is_found(folder):
    (folder / "model.bin").unlink()
    assert failed(folder).detail == "model.bin is missing"


def test_empty_file_is_found(folder):
    (folder / "model.bin").write_bytes(b"")
    assert failed(folder).detail == "model.bin is empty"


def test_file_of_another_size_than_was_fetched_is_found(folder):
    size = (folder / "model.bin").stat().st_size
    (folder / RECORD).write_text(json.dumps({"files": {"model.bin": size + 1}}))
    assert (failed(folder).name, str(size + 1) in failed(folder).detail) == ("sizes", True)


@pytest.mark.parametrize("text", ["{half", "[]", "{}"])
def test_config_of_something_else_is_found(folder, text):
    (folder / "config.json").write_text(text)
    assert failed(folder).name == "config"


def test_tokenizer_that_cannot_be_read_is_found(folder):
    (folder / "tokenizer.json").write_text("{}")
    assert failed(folder).name == "tokenizer"


@pytest.mark.parametrize("name", ["vocabulary.json", "vocabulary.txt"])
def test_tokenizer_of_a_larger_model_is_found_before_it_crashes_the_process(settings, folder, name):
    tokens = json.loads((folder / "vocabulary.json").read_bytes())[:-1]
    (folder / "vocabulary.json").unlink()
    text = json.dumps(tokens) if name.endswith("json") else "".join(f"{t}\n" for t in tokens)
    (folder / name).write_text(text)
    assert failed(folder).name == "tokenizer"
    with pytest.raises(ModelError, match=r"do not belong together|cannot be loaded"):
        load_engine(TranscribeOptions(model=str(folder)), settings, device="cpu")


def test_folder_without_a_vocabulary_file_is_checked_by_loading(folder):
    (folder / "vocabulary.json").unlink()
    assert failed(folder).name == "load"


def test_truncated_weights_are_found_by_loading_them(folder):
    model = folder / "model.bin"
    model.write_bytes(model.read_bytes()[:4_000_000])
    check = failed(folder)
    assert check.name == "load"
    assert check.detail.startswith("the model does not load")


@pytest.mark.parametrize(
    ("program", "says"),
    [("import os; os.abort()", "SIGABRT"), ("raise ImportError('libcublas')", "libcublas")],
)
def test_process_that_dies_on_loading_is_a_finding_and_not_our_end(monkeypatch, program, says):
    monkeypatch.setattr(verify, "_PROBE", program)
    assert says in failed(demo_folder()).detail


def test_load_that_never_ends_is_a_finding(monkeypatch):
    monkeypatch.setattr(verify, "_PROBE", "import time; time.sleep(60)")
    monkeypatch.setattr(verify, "LOAD_TIMEOUT_S", 0.2)
    assert "0.2 s" in failed(demo_folder()).detail


def test_loading_a_damaged_model_is_one_line_with_the_next_step(settings, folder):
    model = folder / "model.bin"
    model.write_bytes(model.read_bytes()[:4_000_000])
    with pytest.raises(ModelError, match="stenopool models verify"):
        load_engine(TranscribeOptions(model=str(folder)), settings, device="cpu")
