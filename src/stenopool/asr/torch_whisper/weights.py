"""A model's weights: read from the hub's safetensors, and put into the order of the arithmetic."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from stenopool.errors import EngineError, ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from stenopool.asr.torch_whisper.dimensions import Dimensions

WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
"""Names the files of a model that is cut into several."""


@dataclass(frozen=True, slots=True)
class Linear:
    """`x @ weight.T + bias`: of shapes (out, in), or (out, in, 3) of a convolution, and (out,)."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, slots=True)
class Norm:
    """Layer normalisation over the width; both of shape (width,)."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, slots=True)
class SelfAttention:
    """Queries, keys and values in one product, in this order: `qkv.weight` is (3 width, width)."""

    norm: Norm
    qkv: Linear
    out: Linear


@dataclass(frozen=True, slots=True)
class CrossAttention:
    """Queries from the text; keys and values from the sound, in one product."""

    norm: Norm
    query: Linear
    key_value: Linear
    out: Linear


@dataclass(frozen=True, slots=True)
class FeedForward:
    """Up to four times the width, and down again."""

    norm: Norm
    up: Linear
    down: Linear


@dataclass(frozen=True, slots=True)
class EncoderLayer:
    """Attention of the sound to itself, then each position by itself."""

    attention: SelfAttention
    feed_forward: FeedForward


@dataclass(frozen=True, slots=True)
class DecoderLayer:
    """Attention to the text so far, to the sound, then each position by itself."""

    attention: SelfAttention
    cross: CrossAttention
    feed_forward: FeedForward


@dataclass(frozen=True, slots=True)
class Encoder:
    """Spectrogram to states; `positions` is (1500, width)."""

    heads: int
    first: Linear
    second: Linear
    positions: Tensor
    layers: tuple[EncoderLayer, ...]
    norm: Norm


@dataclass(frozen=True, slots=True)
class Decoder:
    """Tokens to logits; `tokens` (vocabulary, width) serves at both ends."""

    heads: int
    tokens: Tensor
    positions: Tensor
    layers: tuple[DecoderLayer, ...]
    norm: Norm


@dataclass(frozen=True, slots=True)
class Weights:
    """All of a model."""

    dimensions: Dimensions
    encoder: Encoder
    decoder: Decoder

    @property
    def dtype(self) -> torch.dtype:
        """What the arithmetic is done in."""
        return self.decoder.tokens.dtype

    @property
    def device(self) -> torch.device:
        """Where it is done."""
        return self.decoder.tokens.device


def read_weights(
    folder: Path, dimensions: Dimensions, device: torch.device, dtype: torch.dtype
) -> Weights:
    """Read a folder in Transformers' format onto a device.

    Raises:
        ModelError: files or weights are missing, damaged or of another model.
        EngineError: they do not fit on the device.
    """
    from safetensors import SafetensorError, safe_open

    state: dict[str, Tensor] = {}
    try:
        for name in weight_files(folder):
            with safe_open(folder / name, framework="pt", device=str(device)) as file:
                state |= {key: file.get_tensor(key).to(dtype) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"weights in '{folder}' cannot be read: {error}; fetch the model again"
        ) from error
    except torch.OutOfMemoryError as error:
        raise EngineError(
            f"the GPU has too little free memory for the weights in '{folder}'; end what else runs "
            "on it, or take a smaller model"
        ) from error
    return arrange(state, dimensions)


def weight_files(folder: Path) -> list[str]:
    """Names of the files that hold the weights; more than one where the index says so."""
    if (folder / WEIGHTS).is_file() or not (folder / INDEX).is_file():
        return [WEIGHTS]
    try:
        return sorted(set(json.loads((folder / INDEX).read_bytes())["weight_map"].values()))
    except (ValueError, KeyError) as error:
        raise ModelError(f"'{folder / INDEX}' cannot be read: {error!r}") from error


def arrange(state: Mapping[str, Tensor], dimensions: Dimensions) -> Weights:
    """Put the tensors of a state dict, under Transformers' names, where they are used.

    Raises:
        ModelError: one is missing, or has not the shape that the sizes ask for.
    """
    tree = _Tree({name.removeprefix("model."): tensor for name, tensor in state.items()})
    try:
        _check_tied(tree)
        encoder, decoder = _encoder(tree, dimensions), _decoder(tree, dimensions)
    except KeyError as error:
        raise ModelError(f"the weights have no {error}; they are of another model") from error
    found = (encoder.positions.shape, decoder.positions.shape, decoder.tokens.shape)
    width = dimensions.width
    sizes = (dimensions.frames, dimensions.positions, dimensions.vocabulary)
    if found != tuple((size, width) for size in sizes):
        raise ModelError("the weights have not the sizes that config.json names; fetch them again")
    return Weights(dimensions, encoder, decoder)


def _check_tied(tree: _Tree) -> None:
    """Refuse an output of its own beside the tokens' embedding; no Whisper model has one."""
    output = tree.get("proj_out.weight")
    if output is not None and not torch.equal(output, tree.tensor("decoder.embed_tokens.weight")):
        raise ModelError(
            "the weights have a 'proj_out.weight' that is not their 'embed_tokens.weight'; the "
            "torch engine knows models alone in which both are one, as in all of Whisper's"
        )


class _Tree:
    """Tensors by their place, such as `decoder.layers.3.fc1`."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._state = state

    def tensor(self, name: str) -> Tensor:
        return self._state[name]

    def get(self, name: str) -> Tensor | None:
        return self._state.get(name)

    def norm(self, place: str) -> Norm:
        return Norm(self._state[f"{place}.weight"], self._state[f"{place}.bias"])

    def linear(self, *places: str) -> Linear:
        """Several products of one input as one; the keys of Whisper have no bias."""
        weights = [self._state[f"{place}.weight"] for place in places]
        biases = [
            self._state.get(f"{place}.bias", weight.new_zeros(weight.shape[0]))
            for place, weight in zip(places, weights, strict=True)
        ]
        if len(places) == 1:
            return Linear(weights[0], biases[0])
        return Linear(torch.cat(weights), torch.cat(biases))

    def self_attention(self, layer: str) -> SelfAttention:
        place = f"{layer}.self_attn"
        return SelfAttention(
            norm=self.norm(f"{place}_layer_norm"),
            qkv=self.linear(f"{place}.q_proj", f"{place}.k_proj", f"{place}.v_proj"),
            out=self.linear(f"{place}.out_proj"),
        )

    def cross_attention(self, layer: str) -> CrossAttention:
        place = f"{layer}.encoder_attn"
        return CrossAttention(
            norm=self.norm(f"{place}_layer_norm"),
            query=self.linear(f"{place}.q_proj"),
            key_value=self.linear(f"{place}.k_proj", f"{place}.v_proj"),
            out=self.linear(f"{place}.out_proj"),
        )

    def feed_forward(self, layer: str) -> FeedForward:
        return FeedForward(
            norm=self.norm(f"{layer}.final_layer_norm"),
            up=self.linear(f"{layer}.fc1"),
            down=self.linear(f"{layer}.fc2"),
        )


def _encoder(tree: _Tree, dimensions: Dimensions) -> Encoder:
    places = [f"encoder.layers.{i}" for i in range(dimensions.encoder_layers)]
    return Encoder(
        heads=dimensions.encoder_heads,
        first=tree.linear("encoder.conv1"),
        second=tree.linear("encoder.conv2"),
        positions=tree.tensor("encoder.embed_positions.weight"),
        layers=tuple(
            EncoderLayer(tree.self_attention(place), tree.feed_forward(place)) for place in places
        ),
        norm=tree.norm("encoder.layer_norm"),
    )


def _decoder(tree: _Tree, dimensions: Dimensions) -> Decoder:
    places = [f"decoder.layers.{i}" for i in range(dimensions.decoder_layers)]
    return Decoder(
        heads=dimensions.decoder_heads,
        tokens=tree.tensor("decoder.embed_tokens.weight"),
        positions=tree.tensor("decoder.embed_positions.weight"),
        layers=tuple(
            DecoderLayer(
                tree.self_attention(place), tree.cross_attention(place), tree.feed_forward(place)
            )
            for place in places
        ),
        norm=tree.norm("decoder.layer_norm"),
    )
