"""Each engine over each random checkpoint, loaded once."""

from __future__ import annotations

from functools import cache

import pytest

from asr.random_weights.engines import ctranslate2_backend, to_ctranslate2, torch_backend


@pytest.fixture(scope="session")
def backends(checkpoint_of, tmp_path_factory):
    """Give the backend of an engine over a checkpoint, and how it is to be made."""

    @cache
    def folder(*which):
        return to_ctranslate2(checkpoint_of(*which), tmp_path_factory.mktemp("ctranslate2"))

    @cache
    def backend(engine, *which, **how):
        if engine == "ctranslate2":
            return ctranslate2_backend(folder(*which), **how)
        return torch_backend(checkpoint_of(*which), **how)

    return backend


@pytest.fixture(scope="session", params=["ctranslate2", "torch"])
def backend_of(request, backends):
    """Give the backend of either engine over a checkpoint."""
    return lambda *which, **how: backends(request.param, *which, **how)


@pytest.fixture
def backend(backend_of):
    """Either engine over a checkpoint of large-v3's shape."""
    return backend_of(51_866, 128)
