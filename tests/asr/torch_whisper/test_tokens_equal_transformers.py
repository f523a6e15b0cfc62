"""Token for token what Transformers' `generate` gives greedily, float32 on the CPU."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from tokenizers import Tokenizer

from asr.torch_whisper.checkpoints import expected, sounds
from asr.torch_whisper.making import CPU, texts
from stenopool.asr.models import demo_folder
from stenopool.asr.torch_whisper.backend import ON_CPU, TorchBackend
from stenopool.asr.torch_whisper.log_mel import LogMel
from stenopool.model import TranscribeOptions

WINDOWS = 10
MAX_TOKENS = 24


@cache
def mels_of(bins: int):
    return LogMel(bins, CPU)(sounds(WINDOWS))


@pytest.fixture(scope="module")
def references(checkpoint_of):
    """What Transformers gives for all windows of a vocabulary, asked once."""
    return cache(
        lambda vocabulary, bins, timestamps: expected(
            checkpoint_of(vocabulary, bins), mels_of(bins), timestamps=timestamps
        )
    )


@pytest.mark.parametrize("timestamps", [True, False], ids=["timestamps", "plain"])
@pytest.mark.parametrize(
    ("vocabulary", "bins"), [(51_864, 80), (51_865, 80), (51_866, 128)], ids=["en", "v2", "v3"]
)
def test_tokens_are_those_of_transformers(checkpoint_of, references, vocabulary, bins, timestamps):
    point, reference = checkpoint_of(vocabulary, bins), references(vocabulary, bins, timestamps)
    assert texts(point, mels_of(bins), timestamps=timestamps) == reference
    lengths = {len(tokens) for tokens in reference}
    assert min(lengths) < MAX_TOKENS, "no text ends: the test shows too little"
    assert len(set(reference)) > WINDOWS // 2, "texts are too much alike"


@pytest.mark.parametrize("slots", [1, 4, 5, 37])
def test_neither_slots_nor_order_nor_company_change_a_text(checkpoint_of, references, slots):
    point, mels = checkpoint_of(51_866, 128), mels_of(128)
    order = np.random.default_rng(slots).permutation(WINDOWS)
    reference = references(51_866, 128, True)
    assert texts(point, mels[order], slots=slots) == [reference[n] for n in order]


@pytest.mark.parametrize("max_tokens", [1, 2, 7])
def test_text_is_cut_where_it_is_cut_by_transformers(checkpoint_of, max_tokens):
    point, mels = checkpoint_of(51_865, 80), mels_of(80)[:5]
    reference = expected(point, mels, max_tokens=max_tokens)
    assert texts(point, mels, max_tokens=max_tokens) == reference


@pytest.mark.parametrize("language", ["zh", "de"])
def test_language_that_is_given_reaches_the_model(checkpoint_of, language):
    point, mels = checkpoint_of(51_866, 128), mels_of(128)[:5]
    assert texts(point, mels, language=language) == expected(point, mels, language=language)
    assert texts(point, mels, language=language) != texts(point, mels)


def test_prompt_is_read_as_transformers_reads_it(checkpoint_of):
    point, mels = checkpoint_of(51_866, 128), mels_of(128)[:5]
    before = (point.special.previous, 11, 2_222, 33, 4_444)
    reference = expected(point, mels, before=before)
    assert texts(point, mels, before=before) == reference
    assert reference != expected(point, mels)


@pytest.fixture(scope="module")
def backend(checkpoint_of):
    """A backend over random weights, with the tokenizer that large-v3 and the demo model share."""
    point = checkpoint_of(51_866, 128)
    tokenizer = Tokenizer.from_file(str(demo_folder() / "tokenizer.json"))
    return TorchBackend(point.weights, tokenizer, point.special, ((1, 0),), ON_CPU)


def test_languages_are_detected_as_transformers_detects_them(checkpoint_of, backend):
    point = checkpoint_of(51_866, 128)
    names = {number: code for code, number in point.special.languages.items()}
    found = backend.detect(backend.encode([backend.mel(sound) for sound in sounds(WINDOWS)]))
    reference = point.reference.detect_language(mels_of(128)).tolist()
    assert [code for code, _ in found] == [names[number] for number in reference]
    assert len({code for code, _ in found}) > 1
    assert all(0.0 < probability <= 1.0 for _, probability in found)


def test_detected_languages_lead_to_the_tokens_of_transformers(checkpoint_of, backend):
    point = checkpoint_of(51_866, 128)
    encoded = backend.encode([backend.mel(sound) for sound in sounds(2)])
    languages = [code for code, _ in backend.detect(encoded)]
    attempts = backend.generate(encoded, languages, TranscribeOptions(engine="torch"), 0.0)
    reference = expected(point, LogMel(128, CPU)(sounds(2)), language=None)
    assert [attempt.tokens[:MAX_TOKENS] for attempt in attempts] == reference
