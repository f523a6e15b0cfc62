"""What a GPU adds must change nothing: kernels, graphs, and the error of 16 bits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from asr.random_weights.checkpoints import sounds
from asr.torch_whisper.making import CPU, decoder_of, jobs_of, manner_of, rules_of
from asr.torch_whisper.test_rules import BEGIN, SIZE, SPECIAL, history_of
from stenopool.asr.torch_whisper.attention import PlainAttention, attention_for
from stenopool.asr.torch_whisper.choosing import likeliest
from stenopool.asr.torch_whisper.decoder import Caches, logits, read_prompt, step
from stenopool.asr.torch_whisper.dimensions import Dimensions
from stenopool.asr.torch_whisper.encoder import encode
from stenopool.asr.torch_whisper.layers import added, gelu
from stenopool.asr.torch_whisper.log_mel import LogMel
from stenopool.asr.torch_whisper.rules import History
from stenopool.asr.torch_whisper.weights import Norm, arrange

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]

GPU = torch.device("cuda")
TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
"""Relative error of one attention."""


def apart(found: torch.Tensor, wanted: torch.Tensor) -> float:
    found, wanted = found.double().cpu(), wanted.double().cpu()
    return float((found - wanted).norm() / wanted.norm())


def on_gpu(point, dtype):
    """The same checkpoint's weights there."""
    state = {name: tensor.to(GPU, dtype) for name, tensor in point.reference.state_dict().items()}
    dimensions = Dimensions.from_config(point.reference.config.to_dict())
    return replace(point, weights=arrange(state, dimensions))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("heads", "width"), [(20, 64), (4, 32)])
def test_attention_kernels_give_what_torch_gives(dtype, heads, width):
    slots = 7
    live = torch.tensor([True, True, False, True, True, True, True], device=GPU)
    positions = torch.tensor([0, 1, 5, 31, 32, 100, 447], device=GPU)

    def random(*shape):
        return torch.randn(shape, device=GPU).to(dtype)

    keys, values = random(slots, heads, 1500, width), random(slots, heads, 1500, width)
    query = random(slots, heads, width)
    wanted = PlainAttention().to_sound(query.double(), keys.double(), values.double(), live)
    found = attention_for(GPU).to_sound(query, keys, values, live)
    assert apart(found[live], wanted[live]) < TOLERANCE[dtype]

    text = [random(slots, heads, 448, width) for _ in range(2)]
    query, key, value = random(slots, 3, heads, width).unbind(1)
    plain = [cache.double() for cache in text]
    wanted = PlainAttention().to_text(
        query.double(), key.double(), value.double(), *plain, positions, live
    )
    found = attention_for(GPU).to_text(query, key, value, *text, positions, live)
    assert apart(found[live], wanted[live]) < TOLERANCE[dtype]
    for cache, reference in zip(text, plain, strict=True):
        assert torch.equal(cache[live].double(), reference[live])


@pytest.mark.parametrize("length", [3, 1500])
def test_store_kernel_writes_the_slots_that_it_is_given_and_no_other(length):
    cache = torch.full((9, 4, 1500, 64), 7.0, device=GPU)
    new = torch.randn(3, length, 2, 4, 64, device=GPU).permute(2, 0, 3, 1, 4)[1]
    slots = torch.tensor([8, 0, 5], device=GPU)
    attention_for(GPU).store(cache, slots, new)
    assert torch.equal(cache[slots][:, :, :length], new)
    others = torch.tensor([1, 2, 3, 4, 6, 7], device=GPU)
    assert (cache[others] == 7.0).all()


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_addition_kernel_gives_what_torch_gives(dtype):
    states, change = (torch.randn(5, 11, 1280, device=GPU).to(dtype) * 9 for _ in range(2))
    norm = Norm(torch.randn(1280, device=GPU).to(dtype), torch.randn(1280, device=GPU).to(dtype))
    total, inner = added(states, change, norm)
    assert torch.equal(total, states + change)
    exact = Norm(norm.weight.double().cpu(), norm.bias.double().cpu())
    wanted = added(total.double().cpu(), torch.zeros((), dtype=torch.float64), exact)[1]
    assert apart(inner, wanted) < TOLERANCE[dtype]


@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_choosing_kernel_keeps_the_rules(dtype, timestamps):
    histories = [[], [3], [5, 7, 9], [7, 9, 9], [2, 7, 9, 12], [0, 7, 1500]]
    texts = [[BEGIN + n if n != 7 else 7 for n in text] for text in histories] * 20
    plain = history_of(texts)
    there = History(*(getattr(plain, name).to(GPU) for name in History.__slots__))
    scores = (torch.randn(len(texts), SIZE) * 3).to(dtype)
    scores[:, BEGIN:] += torch.linspace(-4, 8, len(texts))[:, None].to(dtype)
    wanted = likeliest(rules_of(SPECIAL, SIZE, timestamps=timestamps), scores, plain)
    rules = rules_of(SPECIAL, SIZE, timestamps=timestamps, device=GPU)
    tokens, logprob = likeliest(rules, scores.to(GPU), there)
    assert tokens.tolist() == wanted[0].tolist()
    torch.testing.assert_close(logprob.cpu(), wanted[1], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.inference_mode()
def test_logits_in_16_bits_lie_within_a_hundredth(checkpoint_of, dtype):
    """Teacher-forced: random tokens through prompt and steps, against float32 on the CPU."""
    # Sharpened attention, which the other tests need, makes ten of a rounding error.
    point = checkpoint_of(51_866, 128, 1.0)
    mels = LogMel(128, CPU)(sounds(6))
    tokens = torch.randint(0, 50_000, (6, 20), generator=torch.Generator().manual_seed(3))
    sound = encode(point.weights.encoder, mels)
    wanted = logits(point.weights.decoder, read_prompt(point.weights.decoder, sound, tokens))

    weights = on_gpu(point, dtype).weights
    caches, attention = Caches.empty(weights, 6), attention_for(GPU)
    sound = encode(weights.encoder, mels.to(GPU, dtype))
    slots, live = torch.arange(6, device=GPU), torch.ones(6, dtype=torch.bool, device=GPU)
    there = tokens.to(GPU)
    prompt = read_prompt(
        weights.decoder,
        sound,
        there[:, :4],
        lambda layer, read: caches.keep(layer, slots, read, attention),
    )
    found = [logits(weights.decoder, prompt)]
    for place in range(4, 20):
        positions = torch.full((6,), place, device=GPU)
        states = step(weights.decoder, caches, there[:, place], positions, live, attention)
        found.append(logits(weights.decoder, states)[:, None])
    error = apart(torch.cat(found, dim=1), wanted)
    print(f"{dtype}: {error:.2e}")  # noqa: T201 - shown by pytest -s
    assert error < 1e-2


def test_replayed_step_gives_the_texts_of_the_plain_one(checkpoint_of):
    point = on_gpu(checkpoint_of(51_866, 128), torch.float16)
    jobs = jobs_of(point, LogMel(128, GPU)(sounds(12)).half())
    for temperature in (0.0, 0.7):
        manner = manner_of(point, temperature=temperature)
        plain = decoder_of(point, slots=5, attention=attention_for(GPU)).run(jobs, manner)
        replayed = decoder_of(point, slots=5, attention=attention_for(GPU), graphs=True)
        assert replayed.run(jobs, manner) == plain
        assert replayed.run(jobs, manner) == plain


def test_texts_in_float32_are_those_of_the_cpu(checkpoint_of):
    point = checkpoint_of(51_866, 128)
    mels = LogMel(128, CPU)(sounds(12))
    wanted = decoder_of(point, slots=5).run(jobs_of(point, mels), manner_of(point))
    there = on_gpu(point, torch.float32)
    decoder = decoder_of(there, slots=5, attention=attention_for(GPU), graphs=True)
    found = decoder.run(jobs_of(there, mels.to(GPU)), manner_of(there))
    assert [text.tokens for text in found] == [text.tokens for text in wanted]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_activation_kernel_gives_what_torch_gives(dtype):
    states = (torch.randn(5, 11, 1280, device=GPU) * 3).to(dtype)
    wanted = torch.nn.functional.gelu(states.double())
    assert apart(gelu(states.clone()), wanted) < TOLERANCE[dtype]


def test_spectrograms_are_those_of_the_cpu():
    windows = sounds(6)
    found, wanted = LogMel(128, GPU)(windows).cpu(), LogMel(128, CPU)(windows)
    assert (found - wanted).abs().max() <= 1e-4
