"""What stands before a window, whatever is given and however little room there is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stenopool.asr.prompt import tokens_before
from stenopool.model import TranscribeOptions

TEXTS = st.none() | st.text("abc ", min_size=1, max_size=20).filter(str.strip)


def encode(text: str) -> list[int]:
    return [ord(letter) for letter in text]


@given(hotwords=TEXTS, prompt=TEXTS, room=st.integers(1, 30))
def test_hotwords_come_first_and_the_end_of_the_prompt_gets_the_room_that_is_left(
    hotwords, prompt, room
):
    options = TranscribeOptions(hotwords=hotwords, prompt=prompt)
    found = "".join(map(chr, tokens_before(options, encode, room)))
    first, last = (f" {text.strip()}" if text else "" for text in (hotwords, prompt))
    assert len(found) == min(room, len(first) + len(last))
    kept = min(room, len(first))
    assert found[:kept] == first[:kept]
    assert last.endswith(found[kept:])
