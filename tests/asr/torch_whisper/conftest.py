"""Random checkpoints, each made once."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from asr.torch_whisper.checkpoints import checkpoint


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Small matrices are multiplied faster by one thread, and the sums come out alike."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def checkpoint_of():
    """Give the checkpoint of a vocabulary and a number of mel bins."""
    return cache(checkpoint)
