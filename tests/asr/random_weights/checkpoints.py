"""Small random checkpoints of Whisper's real shapes, and Transformers' own arithmetic on them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)
from transformers.generation.logits_process import (
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    WhisperTimeStampLogitsProcessor,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from stenopool.asr.torch_whisper.dimensions import Dimensions
from stenopool.asr.torch_whisper.tokens import SpecialTokens
from stenopool.asr.torch_whisper.weights import Weights, arrange

LANGUAGE_TOKENS = {51_864: 99, 51_865: 99, 51_866: 100}
"""How many there are by size of the vocabulary; the English-only one has them, and uses none."""

WIDTH, HEADS, LAYERS = 64, 2, 2

SHARPNESS = 10.0
"""Of attention to the sound: plain random weights hear the same in every window."""

END_GAIN, TIME_GAIN, SUPPRESSED_GAIN = 14.0, 1.4, 2.0
"""Of these tokens' rows: else texts never end, no timestamp comes, and nothing is to suppress."""

MAX_TOKENS = 24
"""Where the texts of most tests are cut off."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """One set of weights, as Transformers holds it and as we do."""

    reference: WhisperForConditionalGeneration
    weights: Weights
    special: SpecialTokens


def special_tokens(vocabulary: int) -> SpecialTokens:
    """Ids as in the published models of that vocabulary."""
    end = 50_256 if vocabulary == 51_864 else 50_257
    codes = list(LANGUAGES)[: LANGUAGE_TOKENS[vocabulary]]
    after = end + 2 + len(codes)
    return SpecialTokens(
        end=end,
        start=end + 1,
        previous=after + 3,
        language_model=after + 2,
        no_speech=after + 4,
        no_timestamps=after + 5,
        tasks={"translate": after, "transcribe": after + 1},
        languages=(
            {} if vocabulary == 51_864 else {code: end + 2 + n for n, code in enumerate(codes)}
        ),
        suppressed=tuple(range(100, 160)),
        suppressed_first=(220, end),
    )


def checkpoint(vocabulary: int, mels: int, sharpness: float = SHARPNESS) -> Checkpoint:
    """Make random weights whose texts differ from window to window, and end."""
    special = special_tokens(vocabulary)
    config = WhisperConfig(
        vocab_size=vocabulary,
        num_mel_bins=mels,
        d_model=WIDTH,
        encoder_layers=LAYERS,
        decoder_layers=LAYERS,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=4 * WIDTH,
        decoder_ffn_dim=4 * WIDTH,
        bos_token_id=special.end,
        eos_token_id=special.end,
        pad_token_id=special.end,
        decoder_start_token_id=special.start,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    torch.manual_seed(0)
    reference = WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, tensor in reference.named_parameters():
            if tensor.dim() >= 2 and "embed" not in name:
                sharper = sharpness if "encoder_attn.q" in name or "encoder_attn.k" in name else 1.0
                tensor.normal_(0.0, sharper / tensor[0].numel() ** 0.5)
        decoder = reference.model.decoder
        decoder.embed_positions.weight.normal_(0.0, 0.5)
        # Small rows, so that a token does not call for itself, and large scores all the same.
        decoder.embed_tokens.weight.normal_(0.0, 0.1)
        decoder.layer_norm.weight.fill_(4.0)
        decoder.embed_tokens.weight[special.end] *= END_GAIN
        decoder.embed_tokens.weight[special.timestamp_begin :] *= TIME_GAIN
        decoder.embed_tokens.weight[list(special.suppressed)] *= SUPPRESSED_GAIN
    reference.generation_config = generation_config(special)
    weights = arrange(reference.state_dict(), Dimensions.from_config(config.to_dict()))
    return Checkpoint(reference, weights, special)


def generation_config(special: SpecialTokens) -> GenerationConfig:
    """What the published models say of their tokens."""
    config = GenerationConfig(
        bos_token_id=special.end,
        eos_token_id=special.end,
        pad_token_id=special.end,
        decoder_start_token_id=special.start,
        suppress_tokens=sorted(special.never),
        begin_suppress_tokens=list(special.suppressed_first),
        max_length=448,
    )
    config.no_timestamps_token_id = special.no_timestamps
    config.prev_sot_token_id = special.previous
    config.max_initial_timestamp_index = special.latest_start
    config.is_multilingual = bool(special.languages)
    if special.languages:
        config.lang_to_id = {f"<|{code}|>": number for code, number in special.languages.items()}
        config.task_to_id = dict(special.tasks)
    return config


def expected(
    point: Checkpoint,
    windows: list[np.ndarray],
    *,
    language: str | None = "en",
    timestamps: bool = True,
    max_tokens: int = MAX_TOKENS,
    before: tuple[int, ...] = (),
) -> list[tuple[int, ...]]:
    """The tokens that Transformers generates greedily, without prompt and end."""
    chosen = {"language": language, "task": "transcribe"} if point.special.languages else {}
    with torch.inference_mode():
        found = point.reference.generate(
            features(point, windows),
            return_timestamps=timestamps,
            max_new_tokens=max_tokens,
            do_sample=False,
            num_beams=1,
            force_unique_generate_call=True,
            prompt_ids=torch.tensor(before) if before else None,
            attention_mask=torch.ones(len(windows), 3000, dtype=torch.long),
            **chosen,
        )
    opening = len(point.special.opening("en", "transcribe", timestamps=timestamps))
    return [_generated(point.special, row, opening) for row in found.tolist()]


def _generated(special: SpecialTokens, row: list[int], opening: int) -> tuple[int, ...]:
    """What comes behind prompt and opening, where a row has them, and in front of the end."""
    if special.start in row:
        row = row[row.index(special.start) + opening :]
    return tuple(row[: row.index(special.end)] if special.end in row else row)


def features(point: Checkpoint, windows: list[np.ndarray]) -> torch.Tensor:
    """What Transformers makes of windows: float32, shape (windows, mel bins, 3000)."""
    extractor = _extractor(point.reference.config.num_mel_bins)
    return extractor(windows, sampling_rate=16_000, return_tensors="pt").input_features


@cache
def _extractor(bins: int) -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor(feature_size=bins)


def expected_beliefs(
    point: Checkpoint, window: np.ndarray, tokens: tuple[int, ...], max_tokens: int = MAX_TOKENS
) -> tuple[float, float]:
    """What Transformers thinks of an English text that it is fed.

    Returns:
        Mean log-probability of the tokens and the end, if they come to one; probability of the
        no-speech token.
    """
    opening = point.special.opening("en", "transcribe")
    ids = torch.tensor([[*opening, *tokens]])
    with torch.inference_mode():
        output = point.reference(features(point, [window]), decoder_input_ids=ids).logits
    said = (*tokens, point.special.end)[:max_tokens]
    total = 0.0
    for place, token in enumerate(said):
        left = allowed(point.special, tokens[:place], output[0, len(opening) - 1 + place])
        total += float(left.log_softmax(-1)[token])
    start = output[0, 0].softmax(-1)
    return total / (len(tokens) + 1), float(start[point.special.no_speech])


def allowed(
    special: SpecialTokens, text: tuple[int, ...], scores: torch.Tensor, *, timestamps: bool = True
) -> torch.Tensor:
    """What Transformers' processors, in its order, leave of the scores behind a text.

    Args:
        special: ids.
        text: so far, without prompt.
        scores: shape (vocabulary,), as is the result.
        timestamps: whether the text has any.
    """
    opening = len(special.opening("en", "transcribe"))
    processors = [
        SuppressTokensAtBeginLogitsProcessor(special.suppressed_first, opening),
        SuppressTokensLogitsProcessor(sorted(special.never)),
    ]
    if timestamps:
        config = generation_config(special)
        processors.append(WhisperTimeStampLogitsProcessor(config, begin_index=opening))
    ids = torch.tensor([[special.start] * opening + list(text)])
    left = scores[None]
    for processor in processors:
        left = processor(ids, left)
    return left[0]


def sounds(count: int, seed: int = 0) -> list[np.ndarray]:
    """Windows of 0.1 to 30 s: tones that come and go over noise, no two alike."""
    random = np.random.default_rng(seed)
    lengths_s = np.r_[0.1, 30.0, random.uniform(0.1, 30.0, max(count - 2, 0))][:count]
    return [_sound(random, length_s) for length_s in lengths_s]


def _sound(random: np.random.Generator, length_s: float) -> np.ndarray:
    times = np.arange(round(length_s * 16_000)) / 16_000
    tones = sum(
        np.sin(
            2 * np.pi * random.uniform(80, 4000) * times + 6 * np.sin(random.uniform(1, 9) * times)
        )
        for _ in range(3)
    )
    loudness = np.abs(np.sin(2 * np.pi * random.uniform(0.3, 3) * times))
    noise = random.standard_normal(len(times))
    return (0.1 * loudness * tones + 0.01 * noise).astype(np.float32)
