"""Token for token what Transformers' `generate` gives greedily, float32 on the CPU.

Both engines, by the way that they go in a run, on the same weights and the same sound.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from asr.random_weights.checkpoints import (
    MAX_TOKENS,
    expected,
    expected_beliefs,
    features,
    sounds,
)
from asr.random_weights.engines import attempts, texts

WINDOWS = sounds(10)
FEW = 4
SHAPES = pytest.mark.parametrize(
    ("vocabulary", "bins"), [(51_864, 80), (51_865, 80), (51_866, 128)], ids=["en", "v2", "v3"]
)


@pytest.fixture(scope="module")
def point(checkpoint_of):
    return checkpoint_of(51_866, 128)


@cache
def reference(point, windows: int = FEW, **how) -> list[tuple[int, ...]]:
    """What Transformers gives for the first windows, asked once for both engines."""
    return expected(point, WINDOWS[:windows], **how)


@SHAPES
@pytest.mark.parametrize("timestamps", [True, False], ids=["timestamps", "plain"])
def test_tokens_are_those_of_transformers(backend_of, checkpoint_of, vocabulary, bins, timestamps):
    wanted = reference(checkpoint_of(vocabulary, bins), len(WINDOWS), timestamps=timestamps)
    assert texts(backend_of(vocabulary, bins, timestamps=timestamps), WINDOWS) == wanted
    lengths = {len(tokens) for tokens in wanted}
    assert min(lengths) < MAX_TOKENS, "no text ends: the test shows too little"
    assert len(set(wanted)) > len(WINDOWS) // 2, "texts are too much alike"


@pytest.mark.parametrize("together", [1, 3])
def test_neither_batch_nor_order_change_a_text(backend, point, together):
    order = np.random.default_rng(together).permutation(len(WINDOWS))
    found = texts(backend, [WINDOWS[n] for n in order], together=together)
    wanted = reference(point, len(WINDOWS), timestamps=True)
    assert found == [wanted[n] for n in order]


@pytest.mark.parametrize("max_tokens", [1, 2, 7])
def test_text_is_cut_where_it_is_cut_by_transformers(backend_of, checkpoint_of, max_tokens):
    wanted = reference(checkpoint_of(51_864, 80), max_tokens=max_tokens)
    assert texts(backend_of(51_864, 80, max_tokens=max_tokens), WINDOWS[:FEW]) == wanted


def test_languages_of_a_batch_reach_the_model_each_for_its_window(backend, point):
    languages = ["zh", "de", "yue", "en"]
    wanted = [reference(point, language=code)[n] for n, code in enumerate(languages)]
    assert texts(backend, WINDOWS[:FEW], languages=languages) == wanted
    assert len({tuple(reference(point, language=code)) for code in languages}) == FEW


def test_prompt_is_read_as_transformers_reads_it(backend, point):
    words = (11, 2_222, 33, 4_444)
    wanted = reference(point, before=(point.special.previous, *words))
    prompt = " ".join(f"word{word}" for word in words)
    assert texts(backend, WINDOWS[:FEW], prompt=prompt) == wanted
    assert wanted != reference(point)


def test_languages_are_detected_as_transformers_detects_them(backend, point):
    names = {number: code for code, number in point.special.languages.items()}
    found = backend.detect(backend.encode([backend.mel(window) for window in WINDOWS]))
    wanted = point.reference.detect_language(features(point, WINDOWS)).tolist()
    likeliest = [max(heard, key=heard.__getitem__) for heard in found]
    assert likeliest == [names[number] for number in wanted]
    assert len(set(likeliest)) > 1
    assert all(0.0 <= probability <= 1.0 for heard in found for probability in heard.values())


def test_detected_languages_lead_to_the_tokens_of_transformers(backend, point):
    windows = WINDOWS[:FEW]
    found = backend.detect(backend.encode([backend.mel(window) for window in windows]))
    languages = [max(heard, key=heard.__getitem__) for heard in found]
    assert texts(backend, windows, languages=languages) == reference(point, language=None)


@pytest.mark.parametrize("temperature", [0.0, 0.6], ids=["greedy", "drawn"])
def test_belief_in_a_text_is_that_of_transformers(backend, point, temperature):
    """What is tried again and what is silence hang on these two numbers."""
    windows = WINDOWS[:FEW]
    found = attempts(backend, windows, temperature=temperature)
    for window, attempt in zip(windows, found, strict=True):
        avg_logprob, no_speech_prob = expected_beliefs(point, window, attempt.tokens)
        assert attempt.avg_logprob == pytest.approx(avg_logprob, rel=1e-3)
        assert attempt.no_speech_prob == pytest.approx(no_speech_prob, rel=1e-3)
