"""Windows of many recordings share batches; each recording gets what is its own."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stenopool.distributed.transcribing import transcribe_in_batches
from stenopool.model import TranscribeOptions


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 9))
def test_windows_of_like_length_share_a_full_batch_and_results_keep_their_order(lengths, most):
    batches = []

    def transcribe(windows, _options, presumed):
        batches.append([len(window) for window in windows])
        assert [round(float(window[0])) for window in windows] == presumed
        return presumed

    windows = [np.full(length, number, np.float32) for number, length in enumerate(lengths)]
    engine = SimpleNamespace(max_batch=most, transcribe=transcribe)
    numbers = list(range(len(windows)))
    found = transcribe_in_batches(engine, windows, TranscribeOptions(), numbers, stall_s=60.0)
    assert found == numbers
    assert [length for batch in batches for length in batch] == sorted(lengths)
    assert [len(batch) for batch in batches[:-1]] == [most] * (len(batches) - 1)
