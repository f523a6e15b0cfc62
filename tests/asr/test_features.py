"""The short way to a log-mel spectrogram gives what the long way gives."""

from __future__ import annotations

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor

from asr.clips import clip
from stenopool.asr.features import FRAMES, log_mel, without_start
from stenopool.model import SAMPLE_RATE, WINDOW_SAMPLES


@pytest.fixture(params=[80, 128], scope="module")
def extractor(request):
    return FeatureExtractor(feature_size=request.param)


def padded_in_full(window, extractor):
    """The reference: the whole 30 s, silence included, go through the transform."""
    full = np.zeros(WINDOW_SAMPLES, dtype=np.float32)
    full[: len(window)] = window
    return extractor(full, padding=0)


@pytest.mark.parametrize("samples", [1, 160, 1600, 7777, 100_000, 479_601, 479_999, 480_000])
def test_spectrogram_equals_that_of_the_fully_padded_window(extractor, samples):
    window = np.resize(clip("jfk/jfk.flac"), samples)
    found = log_mel(window, extractor)
    assert found.shape == (extractor.mel_filters.shape[0], FRAMES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, padded_in_full(window, extractor), rtol=0, atol=2e-6)


@pytest.mark.parametrize("samples", [1, 1600, 100_000, 480_000])
def test_spectrogram_is_that_of_transformers(extractor, samples):
    from transformers import WhisperFeatureExtractor

    window = np.resize(clip("jfk/jfk.flac"), samples)
    theirs = WhisperFeatureExtractor(feature_size=extractor.mel_filters.shape[0])
    (reference,) = theirs(window, sampling_rate=SAMPLE_RATE, return_tensors="np").input_features
    assert np.abs(log_mel(window, extractor) - reference).max() <= 1e-4


@pytest.mark.parametrize("gain", [0.0, 1e-6, 1e-3, 1.0])
def test_quiet_windows_are_filled_with_the_right_silence(extractor, gain):
    window = clip("digits/3_jackson_0.wav") * np.float32(gain)
    np.testing.assert_allclose(
        log_mel(window, extractor), padded_in_full(window, extractor), rtol=0, atol=2e-6
    )


def test_rest_of_a_window_is_its_later_frames_with_silence_behind(extractor):
    window = np.concatenate([clip("jfk/jfk.flac")[:80_000], np.zeros(80_000, np.float32)])
    mel = log_mel(window, extractor)
    rest = without_start(mel, 300)
    np.testing.assert_array_equal(rest[:, : FRAMES - 300], mel[:, 300:])
    np.testing.assert_allclose(rest[:, FRAMES - 300 :], mel[:, -1:].repeat(300, 1), atol=1e-6)
