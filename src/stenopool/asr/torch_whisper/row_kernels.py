"""Kernels for a GPU (Triton) that go over each row once where torch goes over it many times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
import triton
import triton.language as tl

if TYPE_CHECKING:
    from torch import Tensor

    from stenopool.asr.torch_whisper.rules import History, Rules
    from stenopool.asr.torch_whisper.weights import Norm

_EPSILON: Final = 1e-5
"""Of Whisper's layer normalisation, as torch's default."""

_GELU_BLOCK: Final = 4096
_VOCABULARY_BLOCK: Final = 4096


def added(states: Tensor, change: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
    """See `stenopool.asr.torch_whisper.layers.added`; one pass over both inputs."""
    width = states.shape[-1]
    states, change = states.contiguous(), change.contiguous()
    total, inner = torch.empty_like(states), torch.empty_like(states)
    _added[(states.numel() // width,)](
        states,
        change,
        norm.weight,
        norm.bias,
        total,
        inner,
        width,
        _EPSILON,
        BLOCK=triton.next_power_of_2(width),
        num_warps=4,
    )
    return total, inner


def gelu(states: Tensor) -> Tensor:
    """See `stenopool.asr.torch_whisper.layers.gelu`; in place."""
    size = states.numel()
    _gelu[(triton.cdiv(size, _GELU_BLOCK),)](states, size, BLOCK=_GELU_BLOCK, num_warps=4)
    return states


def likeliest(rules: Rules, logits: Tensor, history: History) -> tuple[Tensor, Tensor]:
    """See `stenopool.asr.torch_whisper.choosing.likeliest`; rules and choice in one pass."""
    slots, vocabulary = logits.shape
    tokens = torch.empty(slots, dtype=torch.int64, device=logits.device)
    logprob = torch.empty(slots, dtype=torch.float32, device=logits.device)
    _likeliest[(slots,)](
        logits,
        rules.suppressed,
        rules.suppressed_first,
        history.count,
        history.last_timed,
        history.before_timed,
        history.latest,
        tokens,
        logprob,
        vocabulary,
        rules.end,
        rules.timestamp_begin,
        rules.timestamp_begin + rules.latest_start,
        TIMESTAMPS=rules.timestamps,
        BLOCK=_VOCABULARY_BLOCK,
        num_warps=8,
    )
    return tokens, logprob


@triton.jit  # type: ignore[untyped-decorator]
def _added(
    states,
    change,
    gain,
    shift,
    total,
    inner,
    width,
    epsilon,
    BLOCK: tl.constexpr,
):
    start = tl.program_id(0).to(tl.int64) * width
    columns = tl.arange(0, BLOCK)
    there = columns < width
    place = start + columns
    summed = tl.load(states + place, mask=there, other=0.0).to(tl.float32)
    summed += tl.load(change + place, mask=there, other=0.0).to(tl.float32)
    rounded = summed.to(total.dtype.element_ty)
    tl.store(total + place, rounded, mask=there)
    values = rounded.to(tl.float32)
    mean = tl.sum(values, 0) / width
    apart = tl.where(there, values - mean, 0.0)
    spread = tl.rsqrt(tl.sum(apart * apart, 0) / width + epsilon)
    gains = tl.load(gain + columns, mask=there, other=0.0).to(tl.float32)
    shifts = tl.load(shift + columns, mask=there, other=0.0).to(tl.float32)
    normal = apart * spread * gains + shifts
    tl.store(inner + place, normal.to(inner.dtype.element_ty), mask=there)


@triton.jit  # type: ignore[untyped-decorator]
def _gelu(
    states,
    size,
    BLOCK: tl.constexpr,
):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = place < size
    value = tl.load(states + place, mask=there, other=0.0).to(tl.float32)
    # The error function to 1.5e-7 (Abramowitz and Stegun 7.1.26): a third of the arithmetic of
    # the library's, which would take longer than the memory does.
    root = tl.abs(value) * 0.7071067811865476
    t = 1.0 / (1.0 + 0.3275911 * root)
    tail = 1.421413741 + t * (-1.453152027 + t * 1.061405429)
    tail = t * (0.254829592 + t * (-0.284496736 + t * tail)) * tl.exp(-root * root)
    # `tail` is what lies beyond |value| on both sides together.
    below = tl.where(value > 0.0, 1.0 - 0.5 * tail, 0.5 * tail)
    tl.store(states + place, (value * below).to(states.dtype.element_ty), mask=there)


@triton.jit  # type: ignore[untyped-decorator]
def _likeliest(
    logits,
    suppressed,
    suppressed_first,
    count,
    last_timed,
    before_timed,
    latest,
    tokens,
    logprob,
    vocabulary,
    end,
    time_begin,
    latest_start,
    TIMESTAMPS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    slot = tl.program_id(0)
    first = tl.load(count + slot) == 0
    last = tl.load(last_timed + slot) != 0
    before = tl.load(before_timed + slot) != 0
    opens, closed = last & (not before), last & before
    earliest = tl.load(latest + slot) + tl.where(opens, 0, 1)
    # For text and for timestamps, each lane keeps its largest score, where it was, and the sum of
    # exponentials; -1e30 stands for minus infinity, whose differences are numbers.
    text_best = tl.full([BLOCK], -1e30, tl.float32)
    time_best = tl.full([BLOCK], -1e30, tl.float32)
    text_sum, time_sum = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    text_at, time_at = tl.zeros([BLOCK], tl.int32), tl.zeros([BLOCK], tl.int32)
    row = logits + slot.to(tl.int64) * vocabulary
    for start in range(0, vocabulary, BLOCK):
        ids = start + tl.arange(0, BLOCK)
        there = ids < vocabulary
        banned = tl.load(suppressed + ids, mask=there, other=1) != 0
        banned = banned | (first & (tl.load(suppressed_first + ids, mask=there, other=1) != 0))
        is_time = ids >= time_begin
        if TIMESTAMPS:
            banned = banned | (is_time & (ids < earliest)) | (closed & is_time)
            banned = banned | (opens & (ids < end))
            banned = banned | (first & ((ids < time_begin) | (ids > latest_start)))
        score = tl.load(row + ids, mask=there & (banned == 0), other=float("-inf")).to(tl.float32)
        text = tl.where(is_time, float("-inf"), score)
        time = tl.where(is_time, score, float("-inf"))
        text_at = tl.where(text > text_best, ids, text_at)
        higher = tl.maximum(text_best, text)
        text_sum = text_sum * tl.exp(text_best - higher) + tl.exp(text - higher)
        text_best = higher
        time_at = tl.where(time > time_best, ids, time_at)
        higher = tl.maximum(time_best, time)
        time_sum = time_sum * tl.exp(time_best - higher) + tl.exp(time - higher)
        time_best = higher
    text_top, time_top = tl.max(text_best, 0), tl.max(time_best, 0)
    text_first = tl.min(tl.where(text_best == text_top, text_at, vocabulary), 0)
    time_first = tl.min(tl.where(time_best == time_top, time_at, vocabulary), 0)
    text_total = tl.sum(text_sum * tl.exp(text_best - text_top), 0)
    time_total = tl.sum(time_sum * tl.exp(time_best - time_top), 0)
    timed = time_top > text_top
    if TIMESTAMPS:
        # All timestamps together against any one other token.
        timed = time_top + tl.log(time_total) > text_top
    top = tl.maximum(text_top, time_top)
    both = text_total * tl.exp(text_top - top) + time_total * tl.exp(time_top - top)
    best = tl.where(timed, time_top, text_top)
    total = top + tl.log(both)
    if TIMESTAMPS:
        total = tl.where(timed, time_top + tl.log(time_total), total)
    tl.store(tokens + slot, tl.where(timed, time_first, text_first).to(tl.int64))
    tl.store(logprob + slot, best - total)
