"""The decoder: a prompt is read at once, then a token a step, over caches of keys and values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from stenopool.asr.torch_whisper.layers import (
    added,
    feed_forward,
    norm_behind,
    normalised,
    product,
    self_inputs,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from stenopool.asr.torch_whisper.attention import Attention
    from stenopool.asr.torch_whisper.weights import Decoder, DecoderLayer, Weights


@dataclass(frozen=True, slots=True)
class LayerRead:
    """What one layer made of a prompt.

    Attributes:
        text_keys: shape (texts, heads, prompt, head width), as `text_values`.
        text_values: likewise.
        queries: of the text to the sound, shape as `text_keys`.
        sound_keys: shape (texts, heads, 1500, head width), as `sound_values`.
        sound_values: likewise.
    """

    text_keys: Tensor
    text_values: Tensor
    queries: Tensor
    sound_keys: Tensor
    sound_values: Tensor


@dataclass(frozen=True, slots=True)
class Caches:
    """Keys and values of all slots, one tensor each over all layers.

    Attributes:
        text_keys: shape (layers, slots, heads, 448, head width), as `text_values`.
        text_values: likewise.
        sound_keys: shape (layers, slots, heads, 1500, head width), as `sound_values`.
        sound_values: likewise.
    """

    text_keys: Tensor
    text_values: Tensor
    sound_keys: Tensor
    sound_values: Tensor

    @classmethod
    def empty(cls, weights: Weights, slots: int) -> Caches:
        """Make room for so many slots."""
        sizes, heads = weights.dimensions, weights.decoder.heads
        text = (sizes.decoder_layers, slots, heads, sizes.positions, sizes.width // heads)
        sound = (sizes.decoder_layers, slots, heads, sizes.frames, sizes.width // heads)
        like = weights.decoder.tokens
        # Zeros, so that positions that are masked out are numbers.
        return cls(
            like.new_zeros(text), like.new_zeros(text), like.new_zeros(sound), like.new_zeros(sound)
        )

    def keep(self, layer: int, slots: Tensor, read: LayerRead, attention: Attention) -> None:
        """Write what a layer made of prompts and sounds into the slots."""
        attention.store(self.text_keys[layer], slots, read.text_keys)
        attention.store(self.text_values[layer], slots, read.text_values)
        attention.store(self.sound_keys[layer], slots, read.sound_keys)
        attention.store(self.sound_values[layer], slots, read.sound_values)


def read_prompt(
    decoder: Decoder,
    sound: Tensor,
    tokens: Tensor,
    on_layer: Callable[[int, LayerRead], None] | None = None,
) -> Tensor:
    """Read prompts of one length.

    Args:
        decoder: its weights.
        sound: what the encoder gave, shape (texts, 1500, width).
        tokens: int64, shape (texts, prompt).
        on_layer: told of each layer's keys, values and queries.

    Returns:
        Shape (texts, prompt, width): the input of `logits`.
    """
    states = decoder.tokens[tokens] + decoder.positions[: tokens.shape[1]]
    inner = normalised(decoder.layers[0].attention.norm, states)
    for number, layer in enumerate(decoder.layers):
        query, key, value = self_inputs(layer.attention, decoder.heads, inner)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        change = product(layer.attention.out, _joined(mixed))
        states, inner = added(states, change, layer.cross.norm)
        look = _split(product(layer.cross.query, inner), decoder.heads)
        sound_key, sound_value = _sound_inputs(layer, decoder.heads, sound)
        mixed = functional.scaled_dot_product_attention(look, sound_key, sound_value)
        states, inner = _rest_of_layer(decoder, number, states, _joined(mixed))
        if on_layer is not None:
            on_layer(number, LayerRead(key, value, look, sound_key, sound_value))
    return inner


def step(
    decoder: Decoder,
    caches: Caches,
    tokens: Tensor,
    positions: Tensor,
    live: Tensor,
    attention: Attention,
) -> Tensor:
    """Feed one token to each slot.

    Args:
        decoder: its weights.
        caches: read, and extended at `positions`.
        tokens: int64, shape (slots,).
        positions: int64, shape (slots,): where the tokens stand.
        live: bool, shape (slots,): which slots matter.
        attention: how to attend.

    Returns:
        Shape (slots, width): the input of `logits`.
    """
    slots, heads = len(tokens), decoder.heads
    states = decoder.tokens[tokens] + decoder.positions[positions]
    inner = normalised(decoder.layers[0].attention.norm, states)
    for number, layer in enumerate(decoder.layers):
        text = caches.text_keys[number], caches.text_values[number]
        query, key, value = product(layer.attention.qkv, inner).view(slots, 3, heads, -1).unbind(1)
        mixed = attention.to_text(query, key, value, *text, positions, live)
        change = product(layer.attention.out, mixed.reshape(slots, -1))
        states, inner = added(states, change, layer.cross.norm)
        sound = caches.sound_keys[number], caches.sound_values[number]
        look = product(layer.cross.query, inner).view(slots, heads, -1)
        mixed = attention.to_sound(look, *sound, live)
        states, inner = _rest_of_layer(decoder, number, states, mixed.reshape(slots, -1))
    return inner


def logits(decoder: Decoder, states: Tensor) -> Tensor:
    """Score each token of the vocabulary: (…, width) to (…, vocabulary)."""
    return torch.matmul(states, decoder.tokens.T)


def _rest_of_layer(
    decoder: Decoder, number: int, states: Tensor, mixed: Tensor
) -> tuple[Tensor, Tensor]:
    """From what was heard to the states behind the layer, and the input of the next one."""
    layer = decoder.layers[number]
    states, inner = added(states, product(layer.cross.out, mixed), layer.feed_forward.norm)
    change = feed_forward(layer.feed_forward, inner)
    return added(states, change, norm_behind(decoder, number))


def _sound_inputs(layer: DecoderLayer, heads: int, sound: Tensor) -> tuple[Tensor, Tensor]:
    texts, frames, _ = sound.shape
    both = product(layer.cross.key_value, sound).view(texts, frames, 2, heads, -1)
    key, value = both.permute(2, 0, 3, 1, 4)
    return key, value


def _split(states: Tensor, heads: int) -> Tensor:
    """(texts, length, width) to (texts, heads, length, head width)."""
    texts, length, _ = states.shape
    return states.view(texts, length, heads, -1).transpose(1, 2)


def _joined(mixed: Tensor) -> Tensor:
    return mixed.transpose(1, 2).flatten(2)
