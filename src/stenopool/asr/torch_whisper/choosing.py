"""The next token out of its scores: the likeliest, or one drawn by chance that can be repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from stenopool.asr.torch_whisper.layers import HAS_TRITON

if TYPE_CHECKING:
    from torch import Tensor

    from stenopool.asr.torch_whisper.rules import History, Rules

_LOW_32_BITS: Final = 0xFFFFFFFF


def likeliest(rules: Rules, logits: Tensor, history: History) -> tuple[Tensor, Tensor]:
    """Choose the likeliest token that the rules allow.

    Args:
        rules: on what may come next.
        logits: shape (slots, vocabulary).
        history: of the slots.

    Returns:
        int64 ids, and their float32 log-probabilities among what is allowed, both of shape
        (slots,).
    """
    if logits.is_cuda and HAS_TRITON:
        from stenopool.asr.torch_whisper import row_kernels

        return row_kernels.likeliest(rules, logits, history)
    scores = rules.apply(logits, history)
    best, tokens = scores.max(-1)
    return tokens, best - scores.logsumexp(-1)


def drawn(
    scores: Tensor, temperature: Tensor, seeds: Tensor, counts: Tensor
) -> tuple[Tensor, Tensor]:
    """Draw from the distribution that the scores make at a temperature.

    Noise comes from the seed, the token's place in the text and its id alone, so that a text does
    not depend on which slot it is in, and beside which others.

    Args:
        scores: float32, shape (slots, vocabulary); minus infinity where a token may not come.
        temperature: float32, no axes, above 0.
        seeds: int64, shape (slots,).
        counts: int64, shape (slots,): tokens so far.

    Returns:
        int64 ids, and their float32 log-probabilities at temperature 1, both of shape (slots,).
    """
    noisy = scores / temperature + _gumbel(seeds, counts, scores.shape[1])
    tokens = noisy.argmax(-1)
    chosen = scores.gather(1, tokens[:, None])[:, 0]
    return tokens, chosen - scores.logsumexp(-1)


def _gumbel(seeds: Tensor, counts: Tensor, vocabulary: int) -> Tensor:
    """Gumbel noise, float32, shape (slots, vocabulary): the largest of scores with it is a draw."""
    ids = torch.arange(vocabulary, device=seeds.device)
    rows = _mixed(seeds + _mixed(counts + 1))
    bits = _mixed(rows[:, None] + ids * 0x9E3779B1)
    # 23 bits, so that float32 holds each value between 0 and 1 and neither end.
    uniform = ((bits >> 9).float() + 0.5) / (1 << 23)
    return -(-uniform.log()).log()


def _mixed(values: Tensor) -> Tensor:
    """Scramble the low 32 bits (the finishing steps of MurmurHash3)."""
    values = values & _LOW_32_BITS
    values = ((values ^ (values >> 16)) * 0x85EBCA6B) & _LOW_32_BITS
    values = ((values ^ (values >> 13)) * 0xC2B2AE35) & _LOW_32_BITS
    return values ^ (values >> 16)
