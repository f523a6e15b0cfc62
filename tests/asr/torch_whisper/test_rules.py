"""Each rule against Transformers' processors, on random scores and random legal histories."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.random_weights.checkpoints import allowed, special_tokens
from asr.torch_whisper.making import CPU, rules_of
from stenopool.asr.torch_whisper.choosing import drawn, likeliest
from stenopool.asr.torch_whisper.rules import History, Rules

SPECIAL = special_tokens(51_866)
SIZE = 51_866
BEGIN = SPECIAL.timestamp_begin


def rules(*, timestamps: bool = True) -> Rules:
    return rules_of(SPECIAL, SIZE, timestamps=timestamps)


def history_of(texts: list[list[int]]) -> History:
    """Fed token by token, as the decoder feeds it."""
    history = History.fresh(len(texts), BEGIN, CPU)
    for place in range(max(map(len, texts), default=0)):
        there = torch.tensor([place < len(text) for text in texts])
        tokens = torch.tensor([text[place] if place < len(text) else 0 for text in texts])
        history.add(tokens, there, BEGIN)
    return history


@st.composite
def legal_texts(draw) -> list[int]:
    """Segments `<|start|> words <|end|>`, times never going back, cut anywhere."""
    text: list[int] = []
    time = draw(st.integers(0, SPECIAL.latest_start))
    for _ in range(draw(st.integers(0, 3))):
        end = time + draw(st.integers(1, 200))
        words = draw(st.lists(st.integers(0, 99), min_size=1, max_size=3))
        text += [BEGIN + time, *words, BEGIN + end]
        time = end + draw(st.integers(0, 50))
    return text[: draw(st.integers(0, len(text)))]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(legal_texts(), min_size=1, max_size=4),
    st.integers(0, 2**31),
    st.sampled_from([0.0, 4.0, 8.0]),
    st.booleans(),
)
def test_scores_that_are_left_are_those_of_transformers(texts, seed, time_gain, timestamps):
    logits = torch.randn(len(texts), SIZE, generator=torch.Generator().manual_seed(seed)) * 3
    logits[:, BEGIN:] += time_gain
    found = rules(timestamps=timestamps).apply(logits, history_of(texts))
    reference = [
        allowed(SPECIAL, text, scores, timestamps=timestamps)
        for text, scores in zip(texts, logits, strict=True)
    ]
    torch.testing.assert_close(found, torch.stack(reference), atol=0.0, rtol=0.0)


def test_likeliest_token_that_is_allowed_comes_with_its_log_probability():
    logits = torch.randn(2, SIZE)
    history = history_of([[], [BEGIN, 5]])
    scores = rules().apply(logits, history)
    tokens, logprob = likeliest(rules(), logits, history)
    assert tokens.tolist() == scores.argmax(-1).tolist()
    torch.testing.assert_close(logprob, scores.log_softmax(-1).amax(-1))


def test_draws_follow_the_probabilities_at_the_temperature():
    count, temperature = 20_000, torch.tensor(0.5)
    scores = torch.tensor([0.0, 0.5, 1.0, -torch.inf]).expand(count, 4)
    tokens, logprob = drawn(
        scores, temperature, torch.arange(count), torch.zeros(count, dtype=torch.int64)
    )
    shares = torch.bincount(tokens, minlength=4) / count
    wanted = (scores[0] / temperature).softmax(-1)
    assert (shares - wanted).abs().max() < 0.015
    torch.testing.assert_close(logprob, scores[0].log_softmax(-1)[tokens])


def test_draw_depends_on_seed_and_place_in_the_text_alone():
    scores, temperature = torch.randn(1, 1000).expand(6, 1000), torch.tensor(1.0)
    seeds = torch.tensor([1, 2, 1, 1, 2, 7])
    counts = torch.tensor([0, 0, 0, 1, 0, 9])
    tokens, _ = drawn(scores, temperature, seeds, counts)
    again, _ = drawn(scores[:2], temperature, seeds[[4, 3]], counts[[4, 3]])
    assert tokens[0] == tokens[2]
    assert tokens[1] == tokens[4] == again[0]
    assert tokens[3] == again[1]
    assert len(set(tokens.tolist())) >= 3
