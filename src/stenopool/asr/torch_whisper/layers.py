"""What encoder and decoder share: normalisation, products, the feed-forward half of a layer."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from stenopool.asr.torch_whisper.weights import (
        Decoder,
        Encoder,
        FeedForward,
        Linear,
        Norm,
        SelfAttention,
    )


HAS_TRITON: Final = find_spec("triton") is not None
"""Whether kernels can be compiled here; torch's wheels for CUDA bring Triton with them."""


def normalised(norm: Norm, states: Tensor) -> Tensor:
    """Layer normalisation over the last axis."""
    return functional.layer_norm(states, norm.weight.shape, norm.weight, norm.bias)


def product(linear: Linear, states: Tensor) -> Tensor:
    """(…, in) to (…, out)."""
    return functional.linear(states, linear.weight, linear.bias)


def self_inputs(weights: SelfAttention, heads: int, inner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of attention to oneself, of shape (rows, heads, length, head width).

    Args:
        weights: of the attention.
        heads: into which the width is cut.
        inner: shape (rows, length, width).
    """
    rows, length, _ = inner.shape
    qkv = product(weights.qkv, inner)
    query, key, value = qkv.view(rows, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    return query, key, value


def norm_behind(weights: Encoder | Decoder, number: int) -> Norm:
    """The normalisation that comes behind a layer: the next one's first, or the last of all."""
    behind = weights.layers[number + 1 :]
    return behind[0].attention.norm if behind else weights.norm


def added(states: Tensor, change: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
    """Add what a part of a layer gave, and normalise the sum for the next part; gives both."""
    if states.is_cuda and HAS_TRITON:
        from stenopool.asr.torch_whisper import row_kernels

        return row_kernels.added(states, change, norm)
    states = states + change
    return states, normalised(norm, states)


def gelu(states: Tensor) -> Tensor:
    """The Gaussian error linear unit; may overwrite what it is given."""
    if states.is_cuda and HAS_TRITON:
        from stenopool.asr.torch_whisper import row_kernels

        return row_kernels.gelu(states)
    return functional.gelu(states)


def feed_forward(weights: FeedForward, inner: Tensor) -> Tensor:
    """What each position makes of itself, after normalisation and to be added to it."""
    return product(weights.down, gelu(product(weights.up, inner)))
