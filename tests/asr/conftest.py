"""An installation of its own for each test, and every engine loaded once."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

import pytest

from asr.clips import OPTIONS
from stenopool.asr import load_engine
from stenopool.asr.models import demo_folder
from stenopool.model import TranscribeOptions
from stenopool.settings import Settings


@pytest.fixture
def settings(tmp_path):
    """An installation of its own, with no model fetched."""
    return Settings.from_env({"STENOPOOL_HOME": str(tmp_path / "home")})


@pytest.fixture(scope="session")
def shared_settings(tmp_path_factory):
    return Settings.from_env({"STENOPOOL_HOME": str(tmp_path_factory.mktemp("home"))})


@pytest.fixture(scope="session")
def demo_engine(shared_settings):
    return load_engine(OPTIONS["ctranslate2"], shared_settings, device="cpu", threads=2)


@pytest.fixture(scope="session")
def demo_in_transformers_format(tmp_path_factory):
    """A folder with the demo model's own weights in the format that the torch engine loads."""
    from asr.torch_whisper.converted import to_transformers

    return to_transformers(demo_folder(), tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def torch_engine(demo_in_transformers_format, shared_settings):
    options = TranscribeOptions(engine="torch", model=str(demo_in_transformers_format))
    return load_engine(options, shared_settings, device="cpu", threads=2)


@pytest.fixture(scope="session")
def checkpoint_of():
    """Give the random checkpoint of a vocabulary and a number of mel bins, each made once."""
    import torch

    from asr.random_weights.checkpoints import checkpoint

    before = torch.get_num_threads()
    # Small matrices are multiplied faster by one thread, and the sums come out alike.
    torch.set_num_threads(1)
    yield cache(checkpoint)
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pocketsphinx_engine(shared_settings):
    return load_engine(OPTIONS["pocketsphinx"], shared_settings)


@pytest.fixture(scope="session")
def fake_engine(shared_settings):
    return load_engine(OPTIONS["fake"], shared_settings)


@pytest.fixture
def run_python(settings):
    """Run a program in a fresh Python with a home of its own; gives what it printed."""

    def run(program: str, *arguments: str, **variables: str) -> str:
        environ = {**os.environ, "STENOPOOL_HOME": str(settings.home), **variables}
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environ, check=True)
        return done.stdout.strip()

    return run
