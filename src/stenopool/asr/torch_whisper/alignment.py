"""Where in the sound each token lies, from what the decoder looked at (openai/whisper timing)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch.nn import functional

from stenopool.asr.torch_whisper.decoder import logits, read_prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from stenopool.asr.torch_whisper.decoder import LayerRead
    from stenopool.asr.torch_whisper.weights import Weights

Heads = tuple[tuple[int, int], ...]
"""Layer and head of those whose attention follows the sound."""

_MEDIAN_WIDTH: Final = 7
"""Encoder positions over which attention is smoothed: 0.14 s."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """The names are those that faster-whisper reads.

    Attributes:
        alignments: pairs of token and encoder position (20 ms each), both never going back.
        text_token_probs: probability of each token where it stands, 0 to 1.
    """

    alignments: list[tuple[int, int]]
    text_token_probs: list[float]


@torch.inference_mode()
def align(  # noqa: PLR0913 - what, with what, and how much of it
    weights: Weights,
    heads: Heads,
    sound: Tensor,
    opening: Sequence[int],
    text: Sequence[int],
    ending: tuple[int, int],
    positions: int,
) -> Alignment:
    """Align a text with its sound.

    Args:
        weights: of the model.
        heads: whose attention counts.
        sound: what the encoder gave, shape (1500, width).
        opening: the tokens in front of the text, without `<|notimestamps|>`.
        text: token ids, no timestamps among them.
        ending: `<|notimestamps|>`, which goes in front of the text, and `<|endoftext|>`.
        positions: how many of the encoder's positions hold sound.
    """
    no_timestamps, end = ending
    tokens = torch.tensor([[*opening, no_timestamps, *text, end]], device=weights.device)
    looks: dict[tuple[int, int], Tensor] = {}

    def watch(layer: int, read: LayerRead) -> None:
        for head in (head for in_layer, head in heads if in_layer == layer):
            query, keys = read.queries[0, head].float(), read.sound_keys[0, head].float()
            scores = query @ keys.T / query.shape[-1] ** 0.5
            looks[layer, head] = scores[:, :positions].softmax(-1)

    states = read_prompt(weights.decoder, sound[None], tokens, watch)[0]
    # Behind the opening stands `<|notimestamps|>`, which foretells the first token of the text.
    foretelling = states[len(opening) : len(opening) + len(text)]
    scores = logits(weights.decoder, foretelling)[:, :end].float().softmax(-1)
    chosen = scores.gather(1, torch.tensor(list(text), device=scores.device)[:, None])[:, 0]
    matrix = _sharpened(torch.stack([looks[head] for head in heads]))[len(opening) : -1]
    return Alignment(cheapest_path(-matrix.double().cpu().numpy()), chosen.tolist())


def _sharpened(looks: Tensor) -> Tensor:
    """Mean over heads of what stands out among tokens, smoothed over time.

    Args:
        looks: shape (heads, tokens, positions).

    Returns:
        Shape (tokens, positions).
    """
    deviation, mean = torch.std_mean(looks, dim=1, keepdim=True, correction=0)
    return _median(((looks - mean) / deviation).nan_to_num(0.0)).mean(0)


def _median(values: Tensor) -> Tensor:
    """Running median over the last axis, the ends mirrored."""
    side = _MEDIAN_WIDTH // 2
    if values.shape[-1] <= side:
        return values
    mirrored = functional.pad(values, (side, side), mode="reflect")
    return mirrored.unfold(-1, _MEDIAN_WIDTH, 1).median(-1).values


def cheapest_path(costs: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Dynamic time warping: the cheapest way from the first cell to the last.

    A step goes one row down, one column on, or both. Cells of one anti-diagonal depend on the two
    before it alone, so each is computed at once.

    Args:
        costs: shape (rows, columns).

    Returns:
        The cells of the way, in order.
    """
    rows, columns = costs.shape
    before = np.full(rows + 1, np.inf)
    last = np.full(rows + 1, np.inf)
    before[0] = 0.0
    moves = np.zeros((rows + columns + 1, rows + 1), dtype=np.int8)
    for diagonal in range(2, rows + columns + 1):
        row = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        both, down, on = before[row - 1], last[row - 1], last[row]
        move = np.where((both < down) & (both < on), 0, np.where((down < both) & (down < on), 1, 2))
        now = np.full(rows + 1, np.inf)
        now[row] = costs[row - 1, diagonal - row - 1] + np.choose(move, (both, down, on))
        moves[diagonal, row] = move
        before, last = last, now
    return _walked_back(moves, rows, columns)


def _walked_back(moves: NDArray[np.int8], rows: int, columns: int) -> list[tuple[int, int]]:
    row, column = rows, columns
    path = []
    while row > 0 and column > 0:
        path.append((row - 1, column - 1))
        move = moves[row + column, row]
        row, column = row - (move != 2), column - (move != 1)
    return path[::-1]
