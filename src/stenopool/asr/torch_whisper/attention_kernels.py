"""Kernels for a GPU (Triton): attention of single tokens at the speed of the memory.

Torch's attention is made for many queries at a time; with one it computes over a padded tile and
reads a static cache to its end. Here a program streams the keys and values of one head of one slot
through registers once, as far as they are filled, and not at all where the slot holds no text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
import triton
import triton.language as tl

if TYPE_CHECKING:
    from torch import Tensor

_LOG2_E: Final = 1.4426950408889634
"""exp(x) is exp2(x * log2(e)), and the GPU has exp2 alone."""

SOUND_BLOCK, SOUND_WARPS, SOUND_STAGES = 64, 4, 3
TEXT_BLOCK, TEXT_WARPS = 32, 2
STORE_BLOCK, STORE_WARPS = 64, 4


class TritonAttention:
    """See `stenopool.asr.torch_whisper.attention.Attention`."""

    def store(self, cache: Tensor, slots: Tensor, new: Tensor) -> None:
        """See `Attention.store`; what lies behind is never read."""
        texts, heads, length, width = new.shape
        grid = (triton.cdiv(length, STORE_BLOCK), heads, texts)
        _store[grid](
            cache,
            slots,
            new,
            *new.stride()[:3],
            length,
            cache.shape[2],
            HEADS=heads,
            WIDTH=width,
            BLOCK=STORE_BLOCK,
            num_warps=STORE_WARPS,
        )

    def to_text(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        keys: Tensor,
        values: Tensor,
        positions: Tensor,
        live: Tensor,
    ) -> Tensor:
        """See `Attention.to_text`."""
        slots, heads, width = query.shape
        out = torch.empty((slots, heads, width), dtype=query.dtype, device=query.device)
        _to_text[(heads, slots)](
            query,
            key,
            value,
            keys,
            values,
            positions,
            live,
            out,
            query.stride(0),
            keys.shape[2],
            _LOG2_E / width**0.5,
            HEADS=heads,
            WIDTH=width,
            BLOCK=TEXT_BLOCK,
            num_warps=TEXT_WARPS,
        )
        return out

    def to_sound(self, query: Tensor, keys: Tensor, values: Tensor, live: Tensor) -> Tensor:
        """See `Attention.to_sound`."""
        slots, heads, width = query.shape
        out = torch.empty((slots, heads, width), dtype=query.dtype, device=query.device)
        _to_sound[(heads, slots)](
            query,
            keys,
            values,
            live,
            out,
            query.stride(0),
            _LOG2_E / width**0.5,
            FRAMES=keys.shape[2],
            HEADS=heads,
            WIDTH=width,
            BLOCK=SOUND_BLOCK,
            STAGES=SOUND_STAGES,
            num_warps=SOUND_WARPS,
        )
        return out


@triton.jit  # type: ignore[untyped-decorator]
def _store(
    cache,
    slots,
    new,
    text_stride,
    head_stride,
    row_stride,
    length,
    room,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    text, head = tl.program_id(2), tl.program_id(1)
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    columns = tl.arange(0, WIDTH)
    there = (rows < length)[:, None]
    slot = tl.load(slots + text)
    source = new + text.to(tl.int64) * text_stride + head * head_stride
    block = tl.load(source + rows[:, None] * row_stride + columns[None, :], mask=there)
    target = cache + (slot * HEADS + head) * room * WIDTH
    tl.store(target + rows[:, None] * WIDTH + columns[None, :], block, mask=there)


@triton.jit  # type: ignore[untyped-decorator]
def _to_sound(
    query,
    keys,
    values,
    live,
    out,
    query_stride,
    scale,
    FRAMES: tl.constexpr,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    STAGES: tl.constexpr,
):
    head, slot = tl.program_id(0), tl.program_id(1)
    if tl.load(live + slot) == 0:
        return
    columns = tl.arange(0, WIDTH)
    look = tl.load(query + slot * query_stride + head * WIDTH + columns).to(tl.float32) * scale
    start = (slot * HEADS + head).to(tl.int64) * FRAMES * WIDTH
    # Each row of a block keeps a softmax of its own, so that rows meet only once, at the end.
    # All are filled by the first block: there are more frames than rows.
    highest = tl.full([BLOCK], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    mixed = tl.zeros([BLOCK, WIDTH], tl.float32)
    for first in tl.range(0, FRAMES, BLOCK, num_stages=STAGES):
        rows = first + tl.arange(0, BLOCK)
        place = rows[:, None] * WIDTH + columns[None, :]
        there = rows < FRAMES
        key = tl.load(keys + start + place, mask=there[:, None], other=0.0)
        value = tl.load(values + start + place, mask=there[:, None], other=0.0)
        score = tl.sum(key.to(tl.float32) * look[None, :], 1)
        score = tl.where(there, score, float("-inf"))
        higher = tl.maximum(highest, score)
        kept, weight = tl.exp2(highest - higher), tl.exp2(score - higher)
        mixed = mixed * kept[:, None] + weight[:, None] * value.to(tl.float32)
        total = total * kept + weight
        highest = higher
    share = tl.exp2(highest - tl.max(highest, 0))
    result = tl.sum(mixed * share[:, None], 0) / tl.sum(total * share, 0)
    tl.store(out + (slot * HEADS + head) * WIDTH + columns, result.to(out.dtype.element_ty))


@triton.jit  # type: ignore[untyped-decorator]
def _to_text(
    query,
    key,
    value,
    keys,
    values,
    positions,
    live,
    out,
    stride,
    room,
    scale,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    head, slot = tl.program_id(0), tl.program_id(1)
    if tl.load(live + slot) == 0:
        return
    columns = tl.arange(0, WIDTH)
    mine = slot * stride + head * WIDTH + columns
    look = tl.load(query + mine).to(tl.float32) * scale
    new_key, new_value = tl.load(key + mine), tl.load(value + mine)
    position = tl.load(positions + slot).to(tl.int32)
    start = (slot * HEADS + head) * room * WIDTH
    tl.store(keys + start + position * WIDTH + columns, new_key)
    tl.store(values + start + position * WIDTH + columns, new_value)
    # The new token is taken from registers, as the first one seen, by one row of the block.
    first_row = tl.arange(0, BLOCK) == 0
    highest = tl.zeros([BLOCK], tl.float32) + tl.sum(new_key.to(tl.float32) * look, 0)
    total = tl.where(first_row, 1.0, 0.0)
    mixed = tl.where(first_row[:, None], new_value.to(tl.float32)[None, :], 0.0)
    for first in range(0, position, BLOCK):
        rows = first + tl.arange(0, BLOCK)
        place = rows[:, None] * WIDTH + columns[None, :]
        there = rows < position
        old_key = tl.load(keys + start + place, mask=there[:, None], other=0.0)
        old_value = tl.load(values + start + place, mask=there[:, None], other=0.0)
        score = tl.sum(old_key.to(tl.float32) * look[None, :], 1)
        score = tl.where(there, score, float("-inf"))
        higher = tl.maximum(highest, score)
        kept, weight = tl.exp2(highest - higher), tl.exp2(score - higher)
        mixed = mixed * kept[:, None] + weight[:, None] * old_value.to(tl.float32)
        total = total * kept + weight
        highest = higher
    share = tl.exp2(highest - tl.max(highest, 0))
    result = tl.sum(mixed * share[:, None], 0) / tl.sum(total * share, 0)
    tl.store(out + (slot * HEADS + head) * WIDTH + columns, result.to(out.dtype.element_ty))
