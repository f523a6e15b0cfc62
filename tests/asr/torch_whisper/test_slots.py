"""A text owes nothing to its slot: not to who was in it before, nor to who is beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from asr.random_weights.checkpoints import expected, sounds
from asr.torch_whisper.making import CPU, decoder_of, jobs_of, manner_of
from stenopool.asr.torch_whisper.log_mel import LogMel

NAN = float("nan")


@pytest.fixture(scope="module")
def point(checkpoint_of):
    return checkpoint_of(51_866, 128)


@pytest.fixture(scope="module")
def jobs(point):
    return jobs_of(point, LogMel(128, CPU)(sounds(6)))


def assert_same(found, known):
    """The same tokens; sums of products of other shapes differ in their last digits."""
    assert [text.tokens for text in found] == [text.tokens for text in known]
    for text, other in zip(found, known, strict=True):
        assert text.logprob == pytest.approx(other.logprob, abs=1e-3)
        assert text.no_speech_prob == pytest.approx(other.no_speech_prob, rel=1e-3)


@pytest.mark.parametrize("slots", [1, 4, 5, 37])
def test_neither_slots_nor_order_nor_company_change_a_text(point, jobs, slots):
    order = np.random.default_rng(slots).permutation(len(jobs))
    found = decoder_of(point, slots=slots).run([jobs[n] for n in order], manner_of(point))
    reference = expected(point, sounds(len(jobs)))
    assert [text.tokens for text in found] == [reference[n] for n in order]


def test_slots_poisoned_with_no_numbers_before_they_are_filled_spoil_no_text(point, jobs):
    decoder, manner = decoder_of(point, slots=4), manner_of(point)
    before = decoder.run(jobs, manner)
    caches = decoder._caches
    for cache in (caches.text_keys, caches.text_values, caches.sound_keys, caches.sound_values):
        cache.fill_(NAN)
    decoder._board.logprob.fill_(NAN)
    assert_same(decoder.run(jobs[:2], manner), before[:2])


def test_window_of_no_numbers_spoils_no_other_text(point, jobs):
    manner = manner_of(point)
    broken = replace(jobs[0], sound=lambda: torch.full_like(jobs[0].sound(), NAN))
    clean = decoder_of(point, slots=3).run(jobs[1:], manner)
    assert_same(decoder_of(point, slots=3).run([broken, *jobs[1:]], manner)[1:], clean)


def test_memory_that_was_used_before_gives_the_same_texts_again(point, jobs):
    decoder = decoder_of(point, slots=2)
    greedy, sampled = manner_of(point), manner_of(point, temperature=0.8)
    first = decoder.run(jobs, greedy)
    decoder.run(jobs[::-1], sampled)
    assert decoder.run(jobs, greedy) == first


@pytest.mark.parametrize("slots", [1, 5])
def test_draw_of_a_window_is_the_same_in_any_company(point, jobs, slots):
    manner = manner_of(point, temperature=0.7)
    together = [text.tokens for text in decoder_of(point, slots=6).run(jobs, manner)]
    backwards = [text.tokens for text in decoder_of(point, slots=slots).run(jobs[::-1], manner)]
    assert backwards[::-1] == together


def test_another_seed_draws_another_text(point, jobs):
    manner = manner_of(point, temperature=1.0)
    same_window = [replace(jobs[0], seed=seed) for seed in range(4)]
    found = decoder_of(point, slots=4).run(same_window, manner)
    assert len({text.tokens for text in found}) == 4


def test_nothing_to_do_is_done_at_once(point):
    assert decoder_of(point).run([], manner_of(point)) == []
