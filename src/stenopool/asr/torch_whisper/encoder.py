"""Spectrograms to states, one of 1,500 for every 20 ms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

from stenopool.asr.torch_whisper.layers import (
    added,
    feed_forward,
    gelu,
    norm_behind,
    normalised,
    product,
    self_inputs,
)

if TYPE_CHECKING:
    from torch import Tensor

    from stenopool.asr.torch_whisper.weights import Encoder, Linear, SelfAttention


def encode(encoder: Encoder, mels: Tensor) -> Tensor:
    """Run the encoder.

    Args:
        encoder: its weights.
        mels: shape (windows, mel bins, 3000), in the weights' dtype.

    Returns:
        Shape (windows, 1500, width), same dtype.
    """
    states = gelu(_convolved(encoder.first, mels.transpose(1, 2), stride=1))
    states = gelu(_convolved(encoder.second, states, stride=2)) + encoder.positions
    inner = normalised(encoder.layers[0].attention.norm, states)
    for number, layer in enumerate(encoder.layers):
        change = _attended(layer.attention, encoder.heads, inner)
        states, inner = added(states, change, layer.feed_forward.norm)
        change = feed_forward(layer.feed_forward, inner)
        states, inner = added(states, change, norm_behind(encoder, number))
    return inner


def _convolved(linear: Linear, states: Tensor, stride: int) -> Tensor:
    """A convolution over three neighbours as one matrix product, which leaves rows as they lie.

    Args:
        linear: weight of shape (out, in, 3).
        states: shape (windows, frames, in).
        stride: frames from one product to the next.

    Returns:
        Shape (windows, frames / stride, out).
    """
    neighbours = functional.pad(states, (0, 0, 1, 1)).unfold(1, 3, stride)
    rows = neighbours.transpose(2, 3).flatten(2)
    return functional.linear(rows, linear.weight.transpose(1, 2).flatten(1), linear.bias)


def _attended(weights: SelfAttention, heads: int, inner: Tensor) -> Tensor:
    query, key, value = self_inputs(weights, heads, inner)
    mixed = functional.scaled_dot_product_attention(query, key, value)
    return product(weights.out, mixed.transpose(1, 2).flatten(2))
