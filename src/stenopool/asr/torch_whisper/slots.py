"""Texts of many windows at once: each has a slot until it ends, then the next one gets it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING

import torch

from stenopool.asr.torch_whisper.choosing import drawn, likeliest
from stenopool.asr.torch_whisper.decoder import Caches, logits, read_prompt, step
from stenopool.asr.torch_whisper.graphs import captured
from stenopool.asr.torch_whisper.rules import History
from stenopool.asr.torch_whisper.watching import watch_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from stenopool.asr.torch_whisper.attention import Attention
    from stenopool.asr.torch_whisper.rules import Rules
    from stenopool.asr.torch_whisper.weights import Weights


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A text to be made.

    Attributes:
        sound: gives what the encoder made of the window, shape (1500, width), when it is read.
        prompt: token ids that the text goes on from; all jobs of a call have as many.
        seed: of the draws, where the temperature is above 0.
    """

    sound: Callable[[], Tensor]
    prompt: tuple[int, ...]
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A text that was made.

    Attributes:
        tokens: ids, without prompt and end.
        logprob: sum over the tokens and the end token, at most 0.
        no_speech_prob: probability of the no-speech token at the start of the transcript.
    """

    tokens: tuple[int, ...]
    logprob: float
    no_speech_prob: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How texts are made.

    Attributes:
        rules: on what may come next.
        temperature: 0 for the likeliest token.
        max_tokens: where a text is cut off.
        no_speech: id of the no-speech token.
        start: place of the start-of-transcript token in the prompts.
    """

    rules: Rules
    temperature: float
    max_tokens: int
    no_speech: int
    start: int


@dataclass(slots=True)
class _Board:
    """Where every slot is; all on the device, so that a step needs nothing from the host.

    Attributes:
        tokens: int64, shape (slots, longest text).
        current: int64, shape (slots,): the token to be fed next.
        position: int64, shape (slots,): where it stands.
        limit: int64, shape (slots,): tokens after which the text is cut off.
        live: bool, shape (slots,): whether a text is being made here.
        logprob: float32, shape (slots,).
        no_speech_prob: float32, shape (slots,).
        seed: int64, shape (slots,).
        history: what the rules know.
    """

    tokens: Tensor
    current: Tensor
    position: Tensor
    limit: Tensor
    live: Tensor
    logprob: Tensor
    no_speech_prob: Tensor
    seed: Tensor
    history: History

    @classmethod
    def idle(cls, slots: int, longest: int, device: torch.device) -> _Board:
        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        return cls(
            tokens=zeros(slots, longest),
            current=zeros(slots),
            position=zeros(slots),
            limit=zeros(slots),
            live=zeros(slots, dtype=torch.bool),
            logprob=zeros(slots, dtype=torch.float32),
            no_speech_prob=zeros(slots, dtype=torch.float32),
            seed=zeros(slots),
            history=History.fresh(slots, 0, device),
        )

    def add(self, chosen: Tensor, logprob: Tensor, rules: Rules) -> None:
        """Take in one token a slot, in place; slots that are not live keep what they have."""
        ended = chosen == rules.end
        going = self.live & ~ended
        column = self.history.count.clamp(max=self.tokens.shape[1] - 1)[:, None]
        there = self.tokens.gather(1, column)
        self.tokens.scatter_(1, column, torch.where(going[:, None], chosen[:, None], there))
        self.logprob.copy_(torch.where(self.live, self.logprob + logprob, self.logprob))
        self.history.add(chosen, going, rules.timestamp_begin)
        self.current.copy_(torch.where(going, chosen, self.current))
        self.position.add_(going)
        self.live.logical_and_(~ended & (self.history.count < self.limit))

    def put(self, slots: Tensor, other: _Board) -> None:
        """Copy another board's rows into these slots."""
        for field in fields(self):
            if field.name != "history":
                getattr(self, field.name).index_copy_(0, slots, getattr(other, field.name))
        for field in fields(self.history):
            mine, theirs = getattr(self.history, field.name), getattr(other.history, field.name)
            mine.index_copy_(0, slots, theirs)


class SlotDecoder:
    """A decoder with so many slots, in memory that is taken once."""

    def __init__(
        self,
        weights: Weights,
        attention: Attention,
        *,
        slots: int,
        fill_together: int,
        graphs: bool = False,
    ) -> None:
        """Take the memory.

        Args:
            weights: of the model.
            attention: how a step attends.
            slots: texts that are made at once.
            fill_together: slots that are waited for before new texts are begun, since reading
                prompts pays in batches.
            graphs: whether a step is recorded once and replayed (CUDA only).
        """
        self.slots = slots
        self._weights = weights
        self._attention = attention
        self._fill_together = min(fill_together, slots)
        self._caches = Caches.empty(weights, slots)
        self._board = _Board.idle(slots, weights.dimensions.positions // 2, weights.device)
        self._temperature = torch.ones((), device=weights.device)
        self._graphs: dict[tuple[Rules, bool], Callable[[], None]] | None = {} if graphs else None

    @torch.inference_mode()
    def run(self, jobs: Sequence[Job], manner: Manner) -> list[Text]:
        """Make a text of every job; results come in the jobs' order."""
        self._temperature.fill_(manner.temperature or 1.0)
        self._board.live.fill_(False)  # an earlier call may have been cut short
        step = self._stepper(manner)
        waiting, owners, made = deque(range(len(jobs))), dict[int, int](), _Made()
        free, watch = set(range(self.slots)), watch_for(self._board.live)
        while waiting or len(free) < self.slots:
            while waiting and len(free) >= min(len(waiting), self._fill_together):
                count = min(len(waiting), self._fill_together)
                begun = {free.pop(): waiting.popleft() for _ in range(count)}
                made.save(self._board, {slot: owners[slot] for slot in begun if slot in owners})
                self._fill(begun, jobs, manner)
                owners |= begun
                watch.forget()
            step()
            free |= watch.ended()
        made.save(self._board, owners)
        return made.texts()

    def _stepper(self, manner: Manner) -> Callable[[], None]:
        """The step as a call; a graph is recorded while no slot is live, so it changes nothing."""
        if self._graphs is None:
            return partial(self._step, manner)
        key = (manner.rules, bool(manner.temperature))
        if key not in self._graphs:
            self._graphs[key] = captured(partial(self._step, manner))
        return self._graphs[key]

    def _fill(self, begun: dict[int, int], jobs: Sequence[Job], manner: Manner) -> None:
        """Read the prompts of these slots' jobs and choose their first tokens."""
        device, decoder = self._weights.device, self._weights.decoder
        chosen = [jobs[number] for number in begun.values()]
        slots = torch.tensor(list(begun), device=device)
        prompts = torch.tensor([job.prompt for job in chosen], device=device)
        states = read_prompt(
            decoder,
            torch.stack([job.sound() for job in chosen]),
            prompts,
            lambda layer, read: self._caches.keep(layer, slots, read, self._attention),
        )
        board = _Board.idle(len(chosen), self._board.tokens.shape[1], device)
        board.history = History.fresh(len(chosen), manner.rules.timestamp_begin, device)
        board.live.fill_(True)
        board.position.fill_(prompts.shape[1] - 1)
        board.limit.fill_(manner.max_tokens)
        board.seed.copy_(torch.tensor([job.seed for job in chosen]))
        at_start = logits(decoder, states[:, manner.start]).float().softmax(-1)
        board.no_speech_prob.copy_(at_start[:, manner.no_speech])
        self._choose(board, logits(decoder, states[:, -1]), manner)
        self._board.put(slots, board)

    def _step(self, manner: Manner) -> None:
        board, decoder = self._board, self._weights.decoder
        states = step(
            decoder, self._caches, board.current, board.position, board.live, self._attention
        )
        self._choose(board, logits(decoder, states), manner)

    def _choose(self, board: _Board, raw: Tensor, manner: Manner) -> None:
        if manner.temperature:
            scores = manner.rules.apply(raw, board.history)
            tokens, logprob = drawn(scores, self._temperature, board.seed, board.history.count)
        else:
            tokens, logprob = likeliest(manner.rules, raw, board.history)
        board.add(tokens, logprob, manner.rules)


class _Made:
    """Texts that have ended: copied on the device, and fetched from there once, at the end."""

    def __init__(self) -> None:
        self._saved: list[tuple[list[int], tuple[Tensor, ...]]] = []

    def save(self, board: _Board, owners: dict[int, int]) -> None:
        """Copy the rows of slots that held these jobs' texts."""
        if owners:
            rows = torch.tensor(list(owners), device=board.live.device)
            kept = (board.tokens, board.history.count, board.logprob, board.no_speech_prob)
            self._saved.append((list(owners.values()), tuple(tensor[rows] for tensor in kept)))

    def texts(self) -> list[Text]:
        """All of them, ordered by job."""
        found: dict[int, Text] = {}
        for jobs, kept in self._saved:
            for job, tokens, count, logprob, no_speech_prob in zip(
                jobs, *(tensor.tolist() for tensor in kept), strict=True
            ):
                found[job] = Text(
                    tokens=tuple(tokens[:count]), logprob=logprob, no_speech_prob=no_speech_prob
                )
        return [found[job] for job in sorted(found)]
