import shutil

import pytest

from stenopool.asr.models import demo_folder


@pytest.fixture
def fetched(tmp_path):
    """The demo model's files where the model `tiny` would be fetched to."""
    folder = tmp_path / "home/models/tiny"
    shutil.copytree(demo_folder(), folder)
    return folder


def test_list_says_which_models_are_here(steno, fetched):
    found = {model["name"]: model for model in steno("models", "list", "--json").answer}
    assert found["demo"]["path"]
    assert found["tiny"]["path"] == str(fetched)
    assert found["large-v3"]["path"] is None
    assert len(found["large-v3"]["revision"]) == 40
    shown = {cells[0]: cells[1] for cells in steno("models", "list").rows}
    assert (shown["demo"], shown["tiny"], shown["small"]) == ("yes", "yes", "-")


def test_model_that_is_here_is_not_fetched_again(steno, fetched):
    told = steno("models", "get", "tiny")
    assert (told.code, told.err) == (0, "")
    assert told.out == f"model tiny is already in {fetched}\n"
    assert steno("models", "get", "demo", "--json").answer["name"] == "demo"


def test_unknown_model_is_named_with_those_that_exist(fails):
    error = fails(2, "models", "get", "tinny")
    assert "'tinny'" in error
    assert "large-v3-turbo" in error


def test_whole_model_is_good(steno, fetched):
    told = steno("models", "verify", "tiny", "--json")
    assert (told.code, told.answer["ok"]) == (0, True)
    assert told.answer["path"] == str(fetched)
    assert {check["name"] for check in told.answer["checks"]} >= {"files", "load"}


@pytest.mark.parametrize("damage", ["gone", "empty"])
def test_damaged_model_is_exit_code_3_and_says_what_is_wrong(steno, fetched, damage):
    if damage == "gone":
        (fetched / "tokenizer.json").unlink()
    else:
        (fetched / "tokenizer.json").write_bytes(b"")
    for name in ("tiny", fetched):
        told = steno("models", "verify", name)
        assert told.code == 3
        assert told.rows[-1][0] == "failed"
        assert "tokenizer.json" in told.rows[-1][2]


def test_model_that_is_not_here_says_how_to_fetch_it(fails):
    assert "models get small" in fails(2, "models", "verify", "small")
    fails(2, "models", "verify", "no/such/folder")
