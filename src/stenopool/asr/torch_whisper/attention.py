"""Attention of one new token a slot to what the slot has in its caches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn import functional

from stenopool.asr.torch_whisper.layers import HAS_TRITON

if TYPE_CHECKING:
    from torch import Tensor


class Attention(Protocol):
    """The two attentions of a decoding step, and how their caches are filled.

    `live` says which slots hold a text at all; what another one gets back is of no use.
    """

    def store(self, cache: Tensor, slots: Tensor, new: Tensor) -> None:
        """Write what was read of prompts or sounds to the start of these slots.

        Args:
            cache: shape (slots, heads, room, head width).
            slots: int64, shape (texts,).
            new: shape (texts, heads, length, head width), of any strides.
        """
        ...

    def to_text(  # noqa: PLR0913 - a cache is two tensors
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        keys: Tensor,
        values: Tensor,
        positions: Tensor,
        live: Tensor,
    ) -> Tensor:
        """Write the new key and value into the caches, and attend to all up to them.

        Args:
            query: of the new tokens, shape (slots, heads, head width), as key and value.
            key: written at `positions` of `keys`.
            value: likewise.
            keys: shape (slots, heads, 448, head width), as `values`.
            values: likewise.
            positions: int64, shape (slots,): where the new token stands.
            live: bool, shape (slots,).

        Returns:
            Shape (slots, heads, head width).
        """
        ...

    def to_sound(self, query: Tensor, keys: Tensor, values: Tensor, live: Tensor) -> Tensor:
        """Attend to all of the sound.

        Args:
            query: shape (slots, heads, head width).
            keys: shape (slots, heads, 1500, head width), as `values`.
            values: likewise.
            live: bool, shape (slots,).

        Returns:
            Shape (slots, heads, head width).
        """
        ...


class PlainAttention:
    """Both by torch's own attention: right everywhere, and over whole caches."""

    def store(self, cache: Tensor, slots: Tensor, new: Tensor) -> None:
        """See `Attention.store`; what lies behind is cleared, since it is read, and masked out."""
        behind = cache.shape[2] - new.shape[2]
        cache.index_copy_(0, slots, functional.pad(new, (0, 0, 0, behind)))

    def to_text(  # noqa: PLR0913
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        keys: Tensor,
        values: Tensor,
        positions: Tensor,
        live: Tensor,  # noqa: ARG002
    ) -> Tensor:
        """See `Attention.to_text`."""
        slots = torch.arange(len(positions), device=positions.device)
        keys[slots, :, positions] = key
        values[slots, :, positions] = value
        upto = torch.arange(keys.shape[2], device=positions.device) <= positions[:, None]
        return functional.scaled_dot_product_attention(
            query[:, :, None], keys, values, attn_mask=upto[:, None, None]
        )[:, :, 0]

    def to_sound(self, query: Tensor, keys: Tensor, values: Tensor, live: Tensor) -> Tensor:  # noqa: ARG002
        """See `Attention.to_sound`."""
        return functional.scaled_dot_product_attention(query[:, :, None], keys, values)[:, :, 0]


def attention_for(device: torch.device) -> Attention:
    """Kernels of our own on a GPU where Triton is there, torch's everywhere else."""
    if device.type == "cuda" and HAS_TRITON:
        from stenopool.asr.torch_whisper.attention_kernels import TritonAttention

        return TritonAttention()
    return PlainAttention()
