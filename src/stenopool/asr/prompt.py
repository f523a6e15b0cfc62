"""What a model is made to believe came before each window: hotwords, then the prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from stenopool.model import TranscribeOptions


def tokens_before(
    options: TranscribeOptions, encode: Callable[[str], list[int]], room: int
) -> list[int]:
    """Their tokens, without the special one in front; none where the options name neither.

    Args:
        options: `hotwords` and `prompt` are read.
        encode: turns text into tokens.
        room: so many tokens at most. The first hotwords stay, since a list is cut at its end; of
            the prompt what is nearest to the window, in the room that they leave.
    """
    hotwords, prompt = (
        encode(" " + text.strip()) if text else [] for text in (options.hotwords, options.prompt)
    )
    before = hotwords[:room]
    return before + prompt[max(len(prompt) - room + len(before), 0) :]
