"""Whisper models of any size whose texts are known beforehand, though their weights are random.

All weights are random but for two: the decoder's position k points along a direction of its own,
much longer than the rest, and the row of the token that is to follow position k along the same one.
The likeliest token then depends on the position alone, in any engine and precision, while all the
arithmetic is done on random numbers. The texts are legal (`<|0.00|> words <|7.10|> end`), so that
no rule and no fallback changes them, and equal to the known one only where an engine works.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

TOKENIZER = (
    Path(__file__).parents[1] / "src" / "stenopool" / "data" / "demo_model" / "tokenizer.json"
)
"""large-v3's own."""

OPENING = 3
"""Tokens in front: start of transcript, language, task."""

LOUDNESS = 60.0
"""Length of a position's direction; the rest of the residual stream is a third of it."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a model; all have large-v3's vocabulary."""

    width: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    mels: int = 128
    vocabulary: int = 51_866

    def config(self) -> dict[str, object]:
        """As the hub's config.json."""
        return {
            "architectures": ["WhisperForConditionalGeneration"],
            "model_type": "whisper",
            "num_mel_bins": self.mels,
            "d_model": self.width,
            "encoder_attention_heads": self.heads,
            "decoder_attention_heads": self.heads,
            "encoder_layers": self.encoder_layers,
            "decoder_layers": self.decoder_layers,
            "encoder_ffn_dim": 4 * self.width,
            "decoder_ffn_dim": 4 * self.width,
            "vocab_size": self.vocabulary,
            "max_source_positions": 1500,
            "max_target_positions": 448,
            "bos_token_id": 50_257,
            "eos_token_id": 50_257,
            "pad_token_id": 50_257,
            "decoder_start_token_id": 50_258,
        }


SHAPES = {
    "large-v3": Shape(1280, 20, 32, 32),
    "large-v3-turbo": Shape(1280, 20, 32, 4),
    "base": Shape(512, 8, 6, 6),
    "tiny": Shape(384, 6, 4, 4),
    "toy": Shape(128, 2, 2, 2),
}


def write_models(
    folder: Path, shape: Shape, counts: dict[str, int], device: str
) -> dict[str, tuple[Path, str]]:
    """Write a model for each count of tokens; only what differs takes room more than once.

    Args:
        folder: there, and empty.
        shape: of all of them.
        counts: tokens of a text, both timestamps and the end among them, by the model's name.
        device: where the random numbers are made.

    Returns:
        The folder and the known text of each, by name.
    """
    torch.manual_seed(0)
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    shared = {name: tensor.cpu() for name, tensor in _random_state(shape, device).items()}
    own = {name: shared.pop(name) for name in (_TOKENS, _POSITIONS)}
    save_file(shared, folder / _SHARED, metadata={"format": "pt"})
    found = {}
    for name, count in counts.items():
        target = folder / name
        target.mkdir()
        words = _words(tokenizer, count - 3)
        sequence = [_time(0.0), *words, _time(7.1), 50_257]
        coded = _coded(own, sequence)
        save_file(coded, target / _OWN, metadata={"format": "pt"})
        os.link(folder / _SHARED, target / _SHARED)
        files = dict.fromkeys(shared, _SHARED) | dict.fromkeys(coded, _OWN)
        _write_json(target / "model.safetensors.index.json", {"metadata": {}, "weight_map": files})
        _write_json(target / "config.json", shape.config())
        _write_json(target / "generation_config.json", _generation(tokenizer))
        shutil.copy(TOKENIZER, target)
        found[name] = (target, tokenizer.decode(words).strip())
    return found


_TOKENS = "model.decoder.embed_tokens.weight"
_POSITIONS = "model.decoder.embed_positions.weight"
_SHARED, _OWN = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def _coded(own: dict[str, torch.Tensor], sequence: list[int]) -> dict[str, torch.Tensor]:
    """Make these tokens follow the opening, one a position."""
    tokens, positions = own[_TOKENS].clone(), own[_POSITIONS].clone()
    directions = torch.nn.functional.normalize(positions.float())
    positions.copy_(directions * LOUDNESS)
    for place, token in enumerate(sequence, start=OPENING - 1):
        tokens[token] = directions[place].to(tokens.dtype)
    return {_TOKENS: tokens, _POSITIONS: positions}


def _words(tokenizer: Tokenizer, count: int) -> list[int]:
    """Tokens that are each a word of their own, no two alike."""
    chosen = torch.randperm(40_000, generator=torch.Generator().manual_seed(count)).tolist()
    plain = [i for i in chosen if _is_word(str(tokenizer.id_to_token(i)))]
    return plain[:count]


def _is_word(token: str) -> bool:
    return token[0] == "\u0120" and token[1:].isascii() and token[1:].isalpha() and len(token) > 3


def _time(seconds: float) -> int:
    return 50_365 + round(seconds / 0.02)


def _generation(tokenizer: Tokenizer) -> dict[str, object]:
    """As the hub's generation_config.json, but for suppressed tokens, of which there are none."""
    names = {str(tokenizer.id_to_token(number)): number for number in range(50_259, 50_359)}
    return {
        "bos_token_id": 50_257,
        "eos_token_id": 50_257,
        "pad_token_id": 50_257,
        "decoder_start_token_id": 50_258,
        "no_timestamps_token_id": 50_364,
        "prev_sot_token_id": 50_362,
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "is_multilingual": True,
        "lang_to_id": names,
        "task_to_id": {"transcribe": 50_360, "translate": 50_359},
        "begin_suppress_tokens": [220, 50_257],
        "suppress_tokens": [50_258, 50_359, 50_360, 50_361, 50_362, 50_363],
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), "utf-8")


def _random_state(shape: Shape, device: str) -> dict[str, torch.Tensor]:
    """float16, spread 0.02 as Whisper is initialised, under the hub's names."""
    state: dict[str, torch.Tensor] = {}

    def weight(name: str, *size: int) -> None:
        state[name] = torch.empty(size, device=device).normal_(0.0, 0.02).half()

    def linear(name: str, out: int, into: int, *, bias: bool = True) -> None:
        weight(f"{name}.weight", out, into)
        if bias:
            weight(f"{name}.bias", out)

    def norm(name: str) -> None:
        state[f"{name}.weight"] = torch.ones(shape.width, device=device).half()
        weight(f"{name}.bias", shape.width)

    width = shape.width
    weight("model.encoder.conv1.weight", width, shape.mels, 3)
    weight("model.encoder.conv1.bias", width)
    weight("model.encoder.conv2.weight", width, width, 3)
    weight("model.encoder.conv2.bias", width)
    weight("model.encoder.embed_positions.weight", 1500, width)
    weight(_POSITIONS, 448, width)
    weight(_TOKENS, shape.vocabulary, width)
    sides = {
        "encoder": (shape.encoder_layers, ("self_attn",)),
        "decoder": (shape.decoder_layers, ("self_attn", "encoder_attn")),
    }
    for side, (layers, kinds) in sides.items():
        norm(f"model.{side}.layer_norm")
        for number in range(layers):
            _layer(f"model.{side}.layers.{number}", kinds, width, linear, norm)
    return state


def _layer(
    place: str,
    kinds: tuple[str, ...],
    width: int,
    linear: Callable[..., None],
    norm: Callable[[str], None],
) -> None:
    for kind in kinds:
        norm(f"{place}.{kind}_layer_norm")
        for product in ("q_proj", "k_proj", "v_proj", "out_proj"):
            linear(f"{place}.{kind}.{product}", width, width, bias=product != "k_proj")
    norm(f"{place}.final_layer_norm")
    linear(f"{place}.fc1", 4 * width, width)
    linear(f"{place}.fc2", width, 4 * width)
