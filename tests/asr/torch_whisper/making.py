"""The torch engine's decoder over a random checkpoint, ready to be run."""

from __future__ import annotations

from functools import partial

import torch

from asr.random_weights.checkpoints import MAX_TOKENS
from stenopool.asr.torch_whisper.attention import PlainAttention
from stenopool.asr.torch_whisper.encoder import encode
from stenopool.asr.torch_whisper.rules import Rules, token_set
from stenopool.asr.torch_whisper.slots import Job, Manner, SlotDecoder

CPU = torch.device("cpu")


def rules_of(special, vocabulary, *, timestamps=True, device=CPU) -> Rules:
    never = special.never | ({special.no_timestamps} if timestamps else set())
    return Rules(
        end=special.end,
        timestamp_begin=special.timestamp_begin,
        timestamps=timestamps,
        latest_start=special.latest_start,
        suppressed=token_set(never, vocabulary, device),
        suppressed_first=token_set(special.suppressed_first, vocabulary, device),
    )


def manner_of(point, *, temperature=0.0) -> Manner:
    weights = point.weights
    return Manner(
        rules=rules_of(point.special, weights.dimensions.vocabulary, device=weights.device),
        temperature=temperature,
        max_tokens=MAX_TOKENS,
        no_speech=point.special.no_speech,
        start=0,
    )


def jobs_of(point, mels) -> list[Job]:
    prompt = point.special.opening("en", "transcribe")
    with torch.inference_mode():
        states = encode(point.weights.encoder, mels)
    return [
        Job(sound=partial(_as_it_is, one), prompt=prompt, seed=n) for n, one in enumerate(states)
    ]


def _as_it_is(states):
    return states


def decoder_of(point, *, slots=4, **how) -> SlotDecoder:
    attention = how.pop("attention", PlainAttention())
    return SlotDecoder(point.weights, attention, slots=slots, fill_together=3, **how)
