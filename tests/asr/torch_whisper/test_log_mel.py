"""Spectrograms are those of Transformers' feature extractor, computed in batches and in part."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from asr.random_weights.checkpoints import sounds
from stenopool.asr import features
from stenopool.asr.torch_whisper.log_mel import LogMel, mel_filters, without_start

CPU = torch.device("cpu")


@pytest.mark.parametrize("bins", [80, 128])
def test_filters_are_those_of_transformers(bins):
    reference = WhisperFeatureExtractor(feature_size=bins).mel_filters
    np.testing.assert_allclose(mel_filters(bins).T, reference, atol=1e-12)


@pytest.mark.parametrize("bins", [80, 128])
def test_spectrograms_of_a_mixed_batch_are_those_of_transformers(bins):
    extractor = WhisperFeatureExtractor(feature_size=bins)
    quiet = np.full(8_000, 1e-3, dtype=np.float32)
    empty = np.zeros(0, dtype=np.float32)
    almost = sounds(2)[1][:-80]
    windows = [*sounds(4), quiet, empty, almost]
    reference = extractor(windows, sampling_rate=16_000, return_tensors="np").input_features
    found = LogMel(bins, CPU)(windows).numpy()
    assert np.abs(found - reference).max() <= 1e-4


def test_company_changes_no_spectrogram():
    windows = sounds(3)
    together = LogMel(80, CPU)(windows)
    alone = torch.cat([LogMel(80, CPU)([window]) for window in windows])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0.0)


def test_start_is_left_out_as_on_the_other_engine():
    (mel,) = LogMel(80, CPU)(sounds(1))
    np.testing.assert_array_equal(
        without_start(mel, 7).numpy(), features.without_start(mel.numpy(), 7)
    )
