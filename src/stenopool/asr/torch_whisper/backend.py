"""The arithmetic of the `torch` engine: encode, decode and align in torch."""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import torch

from stenopool.asr.prompt import tokens_before
from stenopool.asr.quality import SAMPLES_PER_RETRY, Attempt
from stenopool.asr.torch_whisper.alignment import Alignment, Heads, align
from stenopool.asr.torch_whisper.attention import attention_for
from stenopool.asr.torch_whisper.decoder import logits, read_prompt
from stenopool.asr.torch_whisper.encoder import encode
from stenopool.asr.torch_whisper.lanes import Handed, Lane
from stenopool.asr.torch_whisper.log_mel import LogMel, without_start
from stenopool.asr.torch_whisper.rules import Rules, token_set
from stenopool.asr.torch_whisper.slots import Job, Manner, SlotDecoder, Text
from stenopool.asr.words import timed_words
from stenopool.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from faster_whisper import WhisperModel
    from numpy.typing import NDArray
    from tokenizers import Tokenizer
    from torch import Tensor

    from stenopool.asr.timestamps import TimedTokens
    from stenopool.asr.torch_whisper.tokens import SpecialTokens
    from stenopool.asr.torch_whisper.weights import Weights
    from stenopool.model import TranscribeOptions, Word


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How much is done at once.

    Attributes:
        encode_together: windows in one pass of the encoder.
        fill_together: texts whose prompts are read in one pass.
        slots: texts that are made at once.
        batch: windows that are encoded, and then decoded, as one lot.
        batches: of these at a time: while one is decoded the next is encoded.
        graphs: whether decoding steps are recorded and replayed (CUDA only).
    """

    encode_together: int
    fill_together: int
    slots: int
    batch: int
    batches: int
    graphs: bool


ON_CPU: Final = Layout(
    encode_together=1, fill_together=1, slots=8, batch=8, batches=1, graphs=False
)
"""A batch of spectrograms falls out of a CPU's cache; a step of a few texts costs as one."""


_PASSES_AHEAD: Final = 2
"""Passes of the encoder that are started and not done; each is some four hundred kernels."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A window from some frame of its spectrogram on.

    Attributes:
        samples: float32, shape (n,), range [-1, 1], 16 kHz.
        start_frame: of 10 ms each.
    """

    samples: NDArray[np.float32]
    start_frame: int = 0


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the encoder makes of a sound: row `place` of states of shape (windows, 1500, width)."""

    states: Handed
    place: int
    sound: Sound

    def here(self) -> Tensor:
        """Its states, shape (1500, width), for the lane that this is called in."""
        return self.states.here()[self.place]

    def seed(self, temperature: float, draw: int) -> int:
        """A number of 32 bits that these three lead to again, in whatever batch."""
        draw_of = f"{self.sound.start_frame} {temperature} {draw}".encode()
        return zlib.crc32(draw_of, zlib.crc32(self.sound.samples.tobytes()))


class TorchBackend:
    """The model's arithmetic; see `stenopool.asr.whisper.Backend`."""

    def __init__(
        self,
        weights: Weights,
        tokenizer: Tokenizer,
        special: SpecialTokens,
        alignment_heads: Heads,
        layout: Layout,
    ) -> None:
        self._weights = weights
        self._tokenizer = tokenizer
        self._special = special
        self._alignment_heads = alignment_heads
        self.layout = layout
        # Decoding waits for memory most of the time: what it starts is small and goes first.
        self._encoding = Lane(weights.device)
        self._decoding = Lane(weights.device, first=True)
        self._log_mel = LogMel(weights.dimensions.mels, weights.device)
        self._decoder = SlotDecoder(
            weights,
            attention_for(weights.device),
            slots=layout.slots,
            fill_together=layout.fill_together,
            graphs=layout.graphs,
        )
        vocabulary = weights.dimensions.vocabulary
        self._rules = Rules(
            end=special.end,
            timestamp_begin=special.timestamp_begin,
            timestamps=True,
            latest_start=special.latest_start,
            suppressed=token_set(
                {*special.never, special.no_timestamps}, vocabulary, weights.device
            ),
            suppressed_first=token_set(special.suppressed_first, vocabulary, weights.device),
        )
        self.timestamp_begin: int = special.timestamp_begin
        if weights.device.type == "cuda":
            torch.cuda.synchronize(weights.device)  # both lanes use what was made outside of them

    def mel(self, window: NDArray[np.float32]) -> Sound:
        """Keep the window: spectrograms are made on the device, many at once."""
        return Sound(window)

    def rest(self, mel: Sound, frames: int) -> Sound:
        """Leave out the first frames."""
        return Sound(mel.samples, mel.start_frame + frames)

    def start(self, mel: Sound, frames: int) -> Sound:  # noqa: ARG002
        """Refuse: the caches and recorded steps of this engine are for 30 s."""
        raise EngineError("engine 'torch' cannot encode less than 30 s")

    @torch.inference_mode()
    def encode(self, mels: Sequence[Sound]) -> list[Encoded]:
        """Run the encoder; on a GPU this returns before the last of it has run."""
        passes: list[Handed] = []
        step = self.layout.encode_together
        with _translated("encode", len(mels)), self._encoding.taken():
            for start in range(0, len(mels), step):
                spectrograms = self._spectrograms(mels[start : start + step])
                passes.append(Handed(encode(self._weights.encoder, spectrograms)))
                # A stream takes so many kernels and no more, and starting one would then wait.
                for early in passes[-_PASSES_AHEAD - 1 : -_PASSES_AHEAD]:
                    early.wait()
        return [Encoded(passes[n // step], n % step, mel) for n, mel in enumerate(mels)]

    @torch.inference_mode()
    def detect(self, encoded: Sequence[Encoded]) -> list[dict[str, float]]:
        """Find each language's probability; an English-only model knows."""
        languages = self._special.languages
        if not languages:
            return [{"en": 1.0}] * len(encoded)
        found: list[dict[str, float]] = []
        step = self.layout.fill_together
        with _translated("detect the language of", len(encoded)), self._encoding.taken():
            for start in range(0, len(encoded), step):
                scores = self._first_scores(encoded[start : start + step], list(languages.values()))
                shares = scores.softmax(-1).tolist()
                found += [dict(zip(languages, share, strict=True)) for share in shares]
        return found

    def generate(
        self,
        encoded: Sequence[Encoded],
        languages: Sequence[str],
        options: TranscribeOptions,
        temperature: float,
    ) -> list[Attempt]:
        """Decode once; greedy at temperature 0, else the likeliest of a few samples."""
        before = self._before(options)
        draws = SAMPLES_PER_RETRY if temperature else 1
        jobs = [
            Job(
                sound=one.here,
                prompt=(*before, *self._special.opening(language, options.task)),
                seed=one.seed(temperature, draw) if temperature else 0,
            )
            for one, language in zip(encoded, languages, strict=True)
            for draw in range(draws)
        ]
        if not jobs:
            return []
        positions = self._weights.dimensions.positions
        manner = Manner(
            rules=self._rules,
            temperature=temperature,
            max_tokens=min(positions // 2, positions - len(jobs[0].prompt)),
            no_speech=self._special.no_speech,
            start=len(before),
        )
        with _translated("decode", len(encoded)), self._decoding.taken():
            texts = self._decoder.run(jobs, manner)
        found = [self._attempt(text, manner) for text in texts]
        groups = [found[start : start + draws] for start in range(0, len(found), draws)]
        return [max(group, key=lambda attempt: attempt.avg_logprob) for group in groups]

    def text(self, tokens: Sequence[int]) -> str:
        """Turn tokens into text, without timestamps and other special tokens."""
        return str(self._tokenizer.decode([token for token in tokens if token < self._special.end]))

    def words(
        self, encoded: Encoded, parts: Sequence[TimedTokens], language: str, task: str, frames: int
    ) -> list[tuple[Word, ...]]:
        """Align the parts' tokens with the sound by the decoder's cross-attention."""
        from faster_whisper.tokenizer import Tokenizer as WordTokenizer

        special, multilingual = self._special, bool(self._special.languages)

        def aligned(text: Sequence[int]) -> Alignment:
            return align(
                self._weights,
                self._alignment_heads,
                encoded.here(),
                special.opening(language, task),
                text,
                (special.no_timestamps, special.end),
                max(frames // 2, 1),
            )

        code = "en" if task == "translate" else language
        words = WordTokenizer(self._tokenizer, multilingual, task=task, language=code)
        with _translated("align", 1), self._decoding.taken():
            return timed_words(_word_rules()(aligned), words, None, parts, frames)

    def _spectrograms(self, sounds: Sequence[Sound]) -> Tensor:
        mels = self._log_mel([sound.samples for sound in sounds])
        for number, sound in enumerate(sounds):
            if sound.start_frame:
                mels[number] = without_start(mels[number], sound.start_frame)
        return mels.to(self._weights.dtype)

    def _first_scores(self, encoded: Sequence[Encoded], tokens: Sequence[int]) -> Tensor:
        """Scores of these tokens behind `<|startoftranscript|>`: float32, (windows, tokens)."""
        sound = torch.stack([one.here() for one in encoded])
        start = torch.full((len(encoded), 1), self._special.start, device=sound.device)
        states = read_prompt(self._weights.decoder, sound, start)[:, -1]
        return logits(self._weights.decoder, states)[:, list(tokens)].float()

    def _before(self, options: TranscribeOptions) -> list[int]:
        """What stands in front of a window."""

        def encode(text: str) -> list[int]:
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

        tokens = tokens_before(options, encode, self._weights.dimensions.positions // 2 - 1)
        return [self._special.previous, *tokens] if tokens else []

    def _attempt(self, text: Text, manner: Manner) -> Attempt:
        return Attempt(
            tokens=text.tokens,
            text=self.text(text.tokens).strip(),
            avg_logprob=text.logprob / (len(text.tokens) + 1),
            no_speech_prob=text.no_speech_prob,
            temperature=manner.temperature,
            hit_limit=len(text.tokens) >= manner.max_tokens,
        )


@cache
def _word_rules() -> type[WhisperModel]:
    """The part of faster-whisper's model that finds words, over an alignment that is ours.

    Made once: a class is a cycle, and would hold what an alignment knows until collected.
    """
    from faster_whisper import WhisperModel

    class Rules(WhisperModel):  # type: ignore[misc]
        def __init__(self, align_text: Callable[[Sequence[int]], Alignment]) -> None:
            self.model = _Aligner(align_text)
            self.frames_per_second, self.tokens_per_second = 100, 50

    return Rules


class _Aligner:
    """What `_word_rules` asks for the places of tokens."""

    def __init__(self, align_text: Callable[[Sequence[int]], Alignment]) -> None:
        self._align_text = align_text

    def align(
        self, _sound: object, _opening: object, texts: list[list[int]], *_: object, **__: object
    ) -> list[Alignment]:
        return [self._align_text(text) for text in texts]


@contextmanager
def _translated(work: str, windows: int) -> Iterator[None]:
    """Turn what torch raises into an `EngineError`; want of memory is a kind of it."""
    try:
        yield
    except RuntimeError as error:
        raise EngineError(f"torch could not {work} {windows} windows: {error}") from error
