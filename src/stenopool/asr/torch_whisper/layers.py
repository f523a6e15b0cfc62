"""What encoder and decoder share: normalisation, products, the feed-forward half of a layer."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from stenopool.asr.torch_whisper.weights import FeedForward, Linear, Norm


HAS_TRITON: Final = find_spec("triton") is not None
"""Whether kernels can be compiled here; torch's wheels for CUDA bring Triton with them."""


def normalised(norm: Norm, states: Tensor) -> Tensor:
    """Layer normalisation over the last axis."""
    return functional.layer_norm(states, norm.weight.shape, norm.weight, norm.bias)


def product(linear: Linear, states: Tensor) -> Tensor:
    """(…, in) to (…, out)."""
    return functional.linear(states, linear.weight, linear.bias)


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
