"""What the parts of the `torch` engine cost by themselves; `torch_engine.py` runs them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from stenopool.asr.torch_engine import read_json
from stenopool.asr.torch_whisper.attention import PlainAttention, attention_for
from stenopool.asr.torch_whisper.decoder import Caches, logits, read_prompt, step
from stenopool.asr.torch_whisper.dimensions import Dimensions
from stenopool.asr.torch_whisper.encoder import encode
from stenopool.asr.torch_whisper.graphs import captured
from stenopool.asr.torch_whisper.log_mel import LogMel
from stenopool.asr.torch_whisper.weights import Weights, read_weights

BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}


def measure(folder: Path, device: str) -> Iterator[dict[str, Any]]:
    """Yield one set of figures a part; times in milliseconds."""
    place = torch.device(device)
    on_gpu = place.type == "cuda"
    dimensions = Dimensions.from_config(read_json(folder / "config.json"))
    weights = read_weights(folder, dimensions, place, torch.float16 if on_gpu else torch.float32)
    with torch.inference_mode():
        yield from encoder_parts(weights, (8, 16, 32, 64) if on_gpu else (1,))
        yield from prompt_parts(weights, 32 if on_gpu else 1)
        yield from step_parts(weights, (64, 128, 256) if on_gpu else (2,))


def encoder_parts(weights: Weights, batches: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    log_mel = LogMel(weights.dimensions.mels, weights.device)
    noise = np.random.default_rng(0).standard_normal((max(batches), 480_000)).astype(np.float32)
    mels = log_mel(list(noise * 0.05)).to(weights.dtype)
    batch = max(batches)
    ms = took(lambda: log_mel(list(noise)), weights)
    yield {"part": "log-mel of full windows, copy and all", "ms_per_window": ms / batch}
    for batch in batches:
        yield {"part": "encoder", "batch": batch, "ms_per_window": _encoder(weights, mels[:batch])}
    if weights.device.type == "cuda":
        for name, backend in BACKENDS.items():
            try:
                with sdpa_kernel(backend):
                    ms = _encoder(weights, mels[:32])
            except RuntimeError as error:
                yield {"part": "encoder", "attention": name, "error": str(error)[:200]}
                continue
            yield {"part": "encoder", "batch": 32, "attention": name, "ms_per_window": ms}


def _encoder(weights: Weights, mels: torch.Tensor) -> float:
    return took(lambda: encode(weights.encoder, mels), weights, repeats=5) / len(mels)


def prompt_parts(weights: Weights, batch: int) -> Iterator[dict[str, Any]]:
    sizes = weights.dimensions
    sound = torch.randn(batch, sizes.frames, sizes.width, device=weights.device).to(weights.dtype)
    prompt = torch.randint(0, 50_000, (batch, 3), device=weights.device)
    attention, caches = attention_for(weights.device), Caches.empty(weights, batch)
    slots = torch.arange(batch, device=weights.device)
    ms = took(lambda: read_prompt(weights.decoder, sound, prompt), weights, repeats=5)
    yield {"part": "prompt, nothing kept", "batch": batch, "ms_per_window": ms / batch}
    ms = took(
        lambda: read_prompt(
            weights.decoder,
            sound,
            prompt,
            lambda layer, read: caches.keep(layer, slots, read, attention),
        ),
        weights,
        repeats=5,
    )
    yield {"part": "prompt", "batch": batch, "ms_per_window": ms / batch}


def step_parts(weights: Weights, counts: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    decoder, device = weights.decoder, weights.device
    most = max(counts)
    caches = Caches.empty(weights, most)
    for cache in (caches.sound_keys, caches.sound_values, caches.text_keys, caches.text_values):
        cache.normal_()
    tokens = torch.randint(0, 50_000, (most,), device=device)
    for count in counts:
        part = Caches(*(getattr(caches, name)[:, :count] for name in caches.__slots__))
        for place in (16, 100):
            positions = torch.full((count,), place, device=device)
            yield from _steps(weights, part, tokens[:count], positions)
    yield from attention_parts(caches, decoder.heads)
    live = torch.zeros(most, dtype=torch.bool, device=device)
    live[: most // 4] = True
    attention = attention_for(device)
    positions = torch.full((most,), 16, device=device)

    def work() -> None:
        logits(decoder, step(decoder, caches, tokens, positions, live, attention))

    run = captured(work) if device.type == "cuda" else work
    yield {"part": "step, a quarter live", "slots": most, "ms": took(run, weights)}


def _steps(
    weights: Weights, caches: Caches, tokens: torch.Tensor, positions: torch.Tensor
) -> Iterator[dict[str, Any]]:
    device, decoder = weights.device, weights.decoder
    live = torch.ones(len(tokens), dtype=torch.bool, device=device)
    about = {"part": "step", "slots": len(tokens), "position": int(positions[0])}

    def work(attention: Any = attention_for(device)) -> None:  # noqa: ANN401, B008
        logits(decoder, step(decoder, caches, tokens, positions, live, attention))

    yield {**about, "how": "eager", "ms": took(work, weights)}
    if device.type == "cuda":
        yield {**about, "how": "graph", "ms": took(captured(work), weights)}
        if positions[0] < 50:
            plain = captured(lambda: work(PlainAttention()))
            yield {**about, "how": "graph, torch's attention", "ms": took(plain, weights)}


def attention_parts(caches: Caches, heads: int) -> Iterator[dict[str, Any]]:
    """Attention to the sound over all layers in turn, so that no cache is met twice in a row."""
    layers, slots, _, _, width = caches.sound_keys.shape
    query = torch.randn(slots, heads, width, device=caches.sound_keys.device).to(
        caches.sound_keys.dtype
    )
    live = torch.ones(slots, dtype=torch.bool, device=query.device)
    size = 2 * caches.sound_keys.nbytes
    kinds = {"torch": PlainAttention()}
    if query.is_cuda:
        kinds["triton"] = attention_for(query.device)
    for name, attention in kinds.items():

        def work(attention: Any = attention) -> None:  # noqa: ANN401
            for layer in range(layers):
                attention.to_sound(
                    query, caches.sound_keys[layer], caches.sound_values[layer], live
                )

        ms = took(work, query)
        yield {
            "part": "attention to sound",
            "how": name,
            "slots": slots,
            "GB_per_s": size / ms / 1e6,
        }


def took(work: Callable[[], Any], on: Any, repeats: int = 10) -> float:  # noqa: ANN401
    """Median time, after two runs that do not count (ms)."""
    on_gpu = on.device.type == "cuda"
    times = []
    for number in range(repeats + 2):
        if on_gpu:
            torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        if on_gpu:
            torch.cuda.synchronize()
        if number > 1:
            times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)
