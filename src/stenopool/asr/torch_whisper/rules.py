"""Whisper's rules on which token may come next, for all slots at once and without their texts.

The order is that of Transformers' processors: blank at the start, suppressed tokens, timestamps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

NEVER: Final = -torch.inf


@dataclass(slots=True)
class History:
    """All that the rules need to know of the texts so far; each of shape (slots,).

    Attributes:
        count: int64, tokens so far, without prompt and end.
        last_timed: bool, whether the last one is a timestamp.
        before_timed: bool, whether the one before it is, or there is none.
        latest: int64, id of the last timestamp; one below that of 0.00 s where there is none.
    """

    count: Tensor
    last_timed: Tensor
    before_timed: Tensor
    latest: Tensor

    @classmethod
    def fresh(cls, slots: int, timestamp_begin: int, device: torch.device) -> History:
        """That of empty texts."""
        return cls(
            count=torch.zeros(slots, dtype=torch.int64, device=device),
            last_timed=torch.zeros(slots, dtype=torch.bool, device=device),
            before_timed=torch.ones(slots, dtype=torch.bool, device=device),
            latest=torch.full((slots,), timestamp_begin - 1, device=device),
        )

    def add(self, tokens: Tensor, going: Tensor, timestamp_begin: int) -> None:
        """Take in one token a slot, in place, where `going` says so.

        Args:
            tokens: int64, shape (slots,).
            going: bool, shape (slots,).
            timestamp_begin: id of the token for 0.00 s.
        """
        timed = tokens >= timestamp_begin
        before = self.last_timed | (self.count == 0)
        self.before_timed.copy_(torch.where(going, before, self.before_timed))
        self.last_timed.copy_(torch.where(going, timed, self.last_timed))
        self.latest.copy_(torch.where(going & timed, tokens, self.latest))
        self.count.add_(going)


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """The rules of one vocabulary.

    Attributes:
        end: id of the end token; text has lower ids.
        timestamp_begin: id of the token for 0.00 s; later times have higher ids.
        timestamps: whether texts are cut by timestamps, or hold none.
        latest_start: the first timestamp is at most so many steps of 0.02 s in.
        suppressed: bool, shape (vocabulary,): what never comes.
        suppressed_first: bool, likewise: what never comes first.
    """

    end: int
    timestamp_begin: int
    timestamps: bool
    latest_start: int
    suppressed: Tensor
    suppressed_first: Tensor

    def apply(self, logits: Tensor, history: History) -> Tensor:
        """Set what may not come next to minus infinity.

        Args:
            logits: shape (slots, vocabulary).
            history: of the slots.

        Returns:
            float32, same shape.
        """
        first = history.count[:, None] == 0
        banned = self.suppressed | (first & self.suppressed_first)
        if self.timestamps:
            banned = banned | self._against_time(history, first)
        scores = logits.float().masked_fill(banned, NEVER)
        return self._timestamp_where_likelier(scores) if self.timestamps else scores

    def _against_time(self, history: History, first: Tensor) -> Tensor:
        """Timestamps come in pairs, never go back, and the first token is an early one.

        Returns:
            bool, shape (slots, vocabulary): what is ruled out.
        """
        ids = torch.arange(self.suppressed.shape[0], device=self.suppressed.device)
        is_time, is_text = ids >= self.timestamp_begin, ids < self.end
        opens = (history.last_timed & ~history.before_timed)[:, None]
        closed = (history.last_timed & history.before_timed)[:, None]
        # A segment may start where the one before it ended, but not end where it starts.
        earliest = history.latest[:, None] + (~opens).long()
        return (
            (is_time & (ids < earliest))
            | (closed & is_time)
            | (opens & is_text)
            | (first & (~is_time | (ids > self.timestamp_begin + self.latest_start)))
        )

    def _timestamp_where_likelier(self, scores: Tensor) -> Tensor:
        """Rule out text where all timestamps together are likelier than any one other token."""
        time = scores[:, self.timestamp_begin :].logsumexp(-1, keepdim=True)
        text = scores[:, : self.timestamp_begin].amax(-1, keepdim=True)
        is_time = torch.arange(scores.shape[1], device=scores.device) >= self.timestamp_begin
        return scores.masked_fill((time > text) & ~is_time, NEVER)


def token_set(tokens: Iterable[int], vocabulary: int, device: torch.device) -> Tensor:
    """Ids as a bool tensor of shape (vocabulary,)."""
    chosen = torch.zeros(vocabulary, dtype=torch.bool)
    chosen[list(tokens)] = True
    return chosen.to(device)
