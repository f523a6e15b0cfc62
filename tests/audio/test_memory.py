"""Reading recordings leaves no memory behind, however many they are."""

from __future__ import annotations

import pytest

from memory import growth_mb, in_fresh_process

WINDOWS = 10_000

MOST_MB = 20.0
"""Over the last eight thousand windows: 2.5 kB each, where the samples of one have 100 kB."""


@pytest.mark.proof
@pytest.mark.slow
def test_ten_thousand_windows_of_any_format_leave_memory_flat():
    figures = in_fresh_process("audio.repeating", str(WINDOWS))
    assert growth_mb(figures) < MOST_MB, figures
