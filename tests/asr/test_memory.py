"""What an engine has done leaves no memory behind, however often it has done it."""

from __future__ import annotations

import pytest

from memory import growth_mb, in_fresh_process

pytestmark = [pytest.mark.proof, pytest.mark.slow, pytest.mark.timeout(1800)]

LOADS = 100
CLIPS = {"ctranslate2": 10_000, "torch": 2_000, "pocketsphinx": 500}
"""As many as each engine reads in some minutes on two cores."""

MOST_LOADED_MB = 10.0
"""Over the last eighty loads: an eighth of a MB each, where the smallest model has 14 MB."""

MOST_READ_MB = {"ctranslate2": 20.0, "torch": 20.0, "pocketsphinx": 10.0}
"""Over the last four fifths of the clips, of whose samples alone 240, 48 and 12 MB were heard."""


@pytest.fixture(params=CLIPS)
def engine(request, tmp_path, demo_in_transformers_format):
    """An engine's name, its model and a home."""
    model = demo_in_transformers_format if request.param == "torch" else "demo"
    return request.param, str(model), str(tmp_path)


def test_a_hundred_loads_and_unloads_leave_memory_flat(engine):
    figures = in_fresh_process("asr.repeating", "loads", *engine, str(LOADS))
    assert growth_mb(figures) < MOST_LOADED_MB, figures


def test_thousands_of_clips_leave_memory_flat(engine):
    figures = in_fresh_process("asr.repeating", "clips", *engine, str(CLIPS[engine[0]]))
    assert growth_mb(figures) < MOST_READ_MB[engine[0]], figures
