"""Which language a window is taken for, whatever its probabilities."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stenopool.asr.languages import CLEARLY, likeliest, settled

CODES = ("de", "en", "fr", "zh")
PROBABILITIES = st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4).map(
    lambda shares: {code: one / sum(shares) for code, one in zip(CODES, shares, strict=True)}
)
ALLOWED = st.lists(st.sampled_from(CODES), unique=True)


@given(PROBABILITIES, ALLOWED)
def test_the_likeliest_allowed_language_is_taken_with_its_own_probability(probabilities, allowed):
    code, probability = likeliest(probabilities, allowed)
    choice = allowed or CODES
    assert code in choice
    assert probability == probabilities[code] == max(probabilities[one] for one in choice)


@given(PROBABILITIES, ALLOWED, st.data())
def test_the_language_of_the_recording_holds_unless_another_is_clear(probabilities, allowed, data):
    presumed = data.draw(st.none() | st.sampled_from(allowed or CODES))
    code, probability = settled(probabilities, allowed, presumed)
    assert probability == probabilities[code]
    if presumed is None or probabilities[presumed] >= CLEARLY:
        assert (code, probability) == likeliest(probabilities, allowed)
    else:
        assert code == presumed or probability >= CLEARLY


def test_an_allowed_language_that_the_model_does_not_rank_is_never_likelier():
    assert likeliest({"en": 0.1, "de": 0.9}, ("xx", "en")) == ("en", 0.1)
    assert settled({"en": 0.1, "de": 0.9}, (), "xx") == ("de", 0.9)
    assert settled({"en": 0.4, "de": 0.6}, (), "xx") == ("xx", 0.0)
