"""Words with times, by faster-whisper's rules on where a word begins and what belongs to it."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Final

from stenopool.model import Word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from faster_whisper import WhisperModel
    from faster_whisper.tokenizer import Tokenizer

    from stenopool.asr.timestamps import TimedTokens

_PREPENDED: Final = "\"'\u201c\u00bf([{-"
_APPENDED: Final = "\"'.\u3002,\uff0c!\uff01?\uff1f:\uff1a\u201d)]}\u3001"
"""Punctuation that belongs to the word behind it, and to the word before it."""


def timed_words(
    model: WhisperModel,
    tokenizer: Tokenizer,
    sound: Any,  # noqa: ANN401 - the model's own
    parts: Sequence[TimedTokens],
    frames: int,
) -> list[tuple[Word, ...]]:
    """Find the words of each part.

    Args:
        model: aligns tokens with sound.
        tokenizer: of the model and the language.
        sound: what the encoder gave.
        parts: of the text, with their times.
        frames: of the spectrogram that hold sound.
    """
    # One frame is less than a position of the encoder, of which there must be one.
    frames = max(frames, 2)
    drafts: list[dict[str, Any]] = [
        {"seek": 0, "start": part.start_s, "end": part.end_s, "tokens": list(part.tokens)}
        for part in parts
    ]
    in_parts = _InParts(tokenizer, [part.tokens for part in parts])
    model.add_word_timestamps(
        [drafts], in_parts, sound, [frames], _PREPENDED, _APPENDED, last_speech_timestamp=0.0
    )
    return [
        tuple(
            Word(
                start_s=start_s,
                end_s=end_s,
                text=str(word["word"]).strip(),
                probability=float(word["probability"]),
            )
            for word, (start_s, end_s) in zip(
                draft["words"], _times(draft["words"], part), strict=True
            )
        )
        for draft, part in zip(drafts, parts, strict=True)
    ]


class _InParts:
    """A tokenizer that begins a word with each part, whether or not its text begins with a space.

    Parts are aligned with the sound together, as one sequence of tokens.
    """

    def __init__(self, tokenizer: Tokenizer, parts: Sequence[Sequence[int]]) -> None:
        self._tokenizer = tokenizer
        lengths = [sum(token < tokenizer.eot for token in part) for part in parts]
        self._starts = [0, *accumulate(lengths[:-1])]

    def split_to_word_tokens(self, tokens: list[int]) -> tuple[list[str], list[list[int]]]:
        """The words of all parts, and the tokens of each; the end token is behind the last."""
        found = [
            self._tokenizer.split_to_word_tokens(tokens[start:end])
            for start, end in pairwise([*self._starts, len(tokens)])
        ]
        return [word for words, _ in found for word in words], [
            group for _, groups in found for group in groups
        ]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is the tokenizer's
        return getattr(self._tokenizer, name)


def _times(words: Sequence[dict[str, Any]], part: TimedTokens) -> list[tuple[float, float]]:
    """Start and end of each word (s).

    Where attention vanished in all tokens at once, alignment puts words in front of the sound, or
    without length at a place that is not in the part: those of such a part are spread over it
    evenly.
    """

    def placed(start_s: float, end_s: float) -> bool:
        inside = part.start_s <= start_s <= part.end_s
        return start_s >= 0.0 <= end_s and (inside or end_s > start_s)

    times = [(float(word["start"]), float(word["end"])) for word in words]
    if all(placed(start_s, end_s) for start_s, end_s in times):
        return times
    length_s = (part.end_s - part.start_s) / len(words)
    edges = [part.start_s + n * length_s for n in range(len(words) + 1)]
    return list(pairwise(edges))
