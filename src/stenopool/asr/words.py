"""Words with times, by faster-whisper's rules on where a word begins and what belongs to it."""

from __future__ import annotations

from itertools import pairwise
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
    drafts: list[dict[str, Any]] = [
        {"seek": 0, "start": part.start_s, "end": part.end_s, "tokens": list(part.tokens)}
        for part in parts
    ]
    model.add_word_timestamps(
        [drafts], tokenizer, sound, [frames], _PREPENDED, _APPENDED, last_speech_timestamp=0.0
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


def _times(words: Sequence[dict[str, Any]], part: TimedTokens) -> list[tuple[float, float]]:
    """Start and end of each word (s).

    CTranslate2 puts words in front of the sound where attention vanished in all tokens at once:
    those of such a part are spread over it evenly.
    """
    times = [(float(word["start"]), float(word["end"])) for word in words]
    if all(start_s >= 0.0 <= end_s for start_s, end_s in times):
        return times
    length_s = (part.end_s - part.start_s) / len(words)
    edges = [part.start_s + n * length_s for n in range(len(words) + 1)]
    return list(pairwise(edges))
