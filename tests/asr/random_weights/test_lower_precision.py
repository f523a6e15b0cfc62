"""How often fewer bits choose the token that float32 chooses, behind the same tokens.

Random weights are the worst case: no token is much likelier than the next. Measured with
CTranslate2 4.8.5 and torch 2.13.0 on one AMD EPYC core, vocabulary 51,866, 16 windows, by how
sharp attention is (1, 3 and 10):

| precision | agreement |
|---|---|
| ctranslate2, int8 | 64, 71, 71 % |
| torch, bfloat16 | 97, 98, 90 % |
| torch, float16 | 100, 100, 99 % |

What a trained model makes of it is in `test_demo_model.py` and `test_torch_engine.py`.
"""

from __future__ import annotations

import pytest

from asr.random_weights.checkpoints import sounds
from asr.random_weights.engines import texts

WINDOWS = sounds(10)
SHAPE = (51_866, 128, 3.0)


def agreement(found, wanted) -> float:
    """Share of the same choices, up to and with the first other one of each text."""
    same = [_same_until(one, other) for one, other in zip(found, wanted, strict=True)]
    others = sum(one != other for one, other in zip(found, wanted, strict=True))
    return sum(same) / (sum(same) + others)


def _same_until(one, other) -> int:
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


@pytest.fixture(scope="module")
def wanted(backends):
    return texts(backends("ctranslate2", *SHAPE), WINDOWS)


@pytest.mark.parametrize(
    ("engine", "precision", "least"),
    [("ctranslate2", "int8", 0.5), ("torch", "bfloat16", 0.9), ("torch", "float16", 0.97)],
)
def test_fewer_bits_choose_mostly_the_same_token(backends, wanted, engine, precision, least):
    found = texts(backends(engine, *SHAPE, precision=precision), WINDOWS)
    share = agreement(found, wanted)
    print(f"{engine}, {precision}: {share:.3f}")  # noqa: T201 - shown by pytest -s
    assert least <= share
