"""A model in CTranslate2's format becomes one in Transformers' format: the same numbers."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import torch
from safetensors.torch import save_file

DTYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16)
"""By their number in model.bin."""

QUEUES = {
    "self_attention": "self_attn",
    "attention": "encoder_attn",
}
INNER = {"ffn/layer_norm": "final_layer_norm", "ffn/linear_0": "fc1", "ffn/linear_1": "fc2"}


def to_transformers(source: Path, target: Path) -> Path:
    """Write the folder `target`, which is there and empty; gives it back."""
    variables = read_variables(source / "model.bin")
    state = transformers_state(variables)
    save_file(
        {name: tensor.contiguous() for name, tensor in state.items()}, target / "model.safetensors"
    )
    config = json.loads((source / "config.json").read_bytes())
    vocabulary, width = state["model.decoder.embed_tokens.weight"].shape
    heads = int(variables["encoder/num_heads"])
    layers = {
        side: 1
        + max(
            int(name.split("_")[1].split("/")[0])
            for name in variables
            if name.startswith(f"{side}/layer_") and name[len(side) + 7].isdigit()
        )
        for side in ("encoder", "decoder")
    }
    sizes = {
        "num_mel_bins": state["model.encoder.conv1.weight"].shape[1],
        "d_model": width,
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "encoder_layers": layers["encoder"],
        "decoder_layers": layers["decoder"],
        "vocab_size": vocabulary,
        "max_source_positions": len(state["model.encoder.embed_positions.weight"]),
        "max_target_positions": len(state["model.decoder.embed_positions.weight"]),
    }
    generation = {
        "suppress_tokens": config["suppress_ids"],
        "begin_suppress_tokens": config["suppress_ids_begin"],
        "alignment_heads": config["alignment_heads"],
        "max_initial_timestamp_index": 50,
    }
    (target / "config.json").write_text(json.dumps(sizes))
    (target / "generation_config.json").write_text(json.dumps(generation))
    shutil.copy(source / "tokenizer.json", target)
    return target


def read_variables(path: Path) -> dict[str, torch.Tensor]:
    """The variables of a model.bin, int8 weights multiplied out: float32."""
    with path.open("rb") as file:

        def number(form: str) -> int:
            return struct.unpack(form, file.read(struct.calcsize(form)))[0]

        def text() -> str:
            return file.read(number("<H"))[:-1].decode()

        number("<I"), text(), number("<I")
        raw = {}
        for _ in range(number("<I")):
            name = text()
            shape = [number("<I") for _ in range(number("<B"))]
            dtype = DTYPES[number("<B")]
            data = bytearray(file.read(number("<I")))
            raw[name] = torch.frombuffer(data, dtype=dtype).reshape(shape)
    return {name: _multiplied_out(tensor, raw.get(f"{name}_scale")) for name, tensor in raw.items()}


def _multiplied_out(tensor: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
    # CTranslate2's int8 weights are the true ones times a scale a row.
    if scale is None:
        return tensor.float()
    return tensor.float() / scale.reshape(-1, *[1] * (tensor.dim() - 1))


def transformers_state(variables: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Under Transformers' names, products that CTranslate2 joined taken apart."""
    state: dict[str, torch.Tensor] = {}
    for name, tensor in variables.items():
        place, _, kind = name.rpartition("/")
        kind = {"gamma": "weight", "beta": "bias"}.get(kind, kind)
        if kind not in ("weight", "bias", "encodings"):
            continue
        for part, piece in _parts(place, tensor):
            if not part.endswith("k_proj") or kind == "weight":
                state[f"model.{part}.{'weight' if kind == 'encodings' else kind}"] = piece
    return state


def _parts(place: str, tensor: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    side, _, rest = place.partition("/")
    if not rest.startswith("layer_") or rest == "layer_norm":
        names = {"embeddings": "embed_tokens", "position_encodings": "embed_positions"}
        return [(f"{side}.{names.get(rest, rest)}", tensor)]
    layer, _, inner = rest.partition("/")
    before = f"{side}.layers.{layer.removeprefix('layer_')}"
    if inner in INNER:
        return [(f"{before}.{INNER[inner]}", tensor)]
    kind, _, piece = inner.partition("/")
    where = f"{before}.{QUEUES[kind]}"
    if piece == "layer_norm":
        return [(f"{where}_layer_norm", tensor)]
    joined = {
        ("self_attention", "linear_0"): ("q_proj", "k_proj", "v_proj"),
        ("attention", "linear_0"): ("q_proj",),
        ("attention", "linear_1"): ("k_proj", "v_proj"),
    }.get((kind, piece), ("out_proj",))
    pieces = zip(joined, tensor.chunk(len(joined)), strict=True)
    return [(f"{where}.{name}", part) for name, part in pieces]
