"""Error rates: counted by hand, against jiwer's own, and after the field's normaliser."""

import subprocess
import sys

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenopool.asr.scoring import (
    BASIC,
    ENGLISH,
    LETTERS,
    MARKS_KEPT,
    Edits,
    Score,
    align,
    count_edits,
    interval,
    length_class,
    normalised,
    normaliser_name,
    score,
)

WORDS = st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon"]), max_size=12)


def edits(hits=0, substitutions=0, deletions=0, insertions=0):
    return Edits(hits=hits, substitutions=substitutions, deletions=deletions, insertions=insertions)


BY_HAND = {
    "the same": ("so it is", "so it is", edits(hits=3)),
    "one for another": ("so it is", "so it was", edits(hits=2, substitutions=1)),
    "one not heard": ("so it is", "so is", edits(hits=2, deletions=1)),
    "one too many": ("so it is", "so it really is", edits(hits=3, insertions=1)),
    "of each kind": (
        "red fox jumps over lazy dogs", "red box jumps lazy dogs twice",
        edits(hits=4, substitutions=1, deletions=1, insertions=1),
    ),
    "nothing heard": ("so it is", "", edits(deletions=3)),
    "heard in silence": ("", "thank you", edits(insertions=2)),
    "silence": ("", "", edits()),
}  # fmt: skip


@pytest.mark.parametrize("case", BY_HAND)
def test_words_are_counted_as_by_hand(case):
    said, heard, counted = BY_HAND[case]
    assert score(said, heard, "en").words == counted


def test_rate_is_errors_over_the_words_that_were_said():
    assert edits(hits=3, substitutions=1, deletions=1, insertions=1).rate == 3 / 5
    assert edits(hits=1, insertions=3).rate == 3
    assert edits(insertions=2).rate is None
    assert edits().rate is None


@given(WORDS, WORDS)
def test_words_and_rate_are_those_of_jiwer(said, heard):
    found, theirs = count_edits(said, heard), jiwer.process_words(" ".join(said), " ".join(heard))
    assert (found.hits, found.substitutions, found.deletions, found.insertions) == (
        theirs.hits, theirs.substitutions, theirs.deletions, theirs.insertions
    )  # fmt: skip
    assert found.rate == (theirs.wer if said else None)


@given(WORDS, WORDS)
def test_characters_are_those_of_jiwer(said, heard):
    found = score(" ".join(said), " ".join(heard), "de").characters
    theirs = jiwer.process_characters(" ".join(said), " ".join(heard))
    assert found.errors == theirs.substitutions + theirs.deletions + theirs.insertions
    assert found.rate == (theirs.cer if said else None)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8))
def test_many_together_are_the_sum_and_not_the_mean(pairs):
    whole = sum((count_edits(*pair) for pair in pairs), Edits())
    said, heard = ([" ".join(words) for words in side] for side in zip(*pairs, strict=True))
    assert whole.rate == (jiwer.wer(said, heard) if any(said) else None)


@given(WORDS, WORDS)
def test_alignment_holds_every_word_of_both_in_order(said, heard):
    changes = align(" ".join(said), " ".join(heard), "de")
    assert [word for change in changes for word in change.said] == said
    assert [word for change in changes for word in change.heard] == heard
    assert all((change.said == change.heard) == (change.kind == "equal") for change in changes)


@pytest.mark.parametrize(
    ("language", "said", "heard"),
    [
        ("en", "Mr. Smith's COLOUR, it's twenty-one!", "mister smith is color it is 21"),
        ("en", "uh we paid $20 [noise]", "We paid twenty dollars."),
        ("en-US", "I can't", "i can not"),
        ("de", "Grüß Gott, (lacht) Herr Maier.", "grüß gott herr maier"),
        ("de", "e\u0301te\u0301", "été"),
        ("zh", "你好\uff0c世界。", "你 好 世界"),
        ("hi", "नमस्ते, दुनिया।", "नमस्ते दुनिया"),
        (None, "So — it is…", "so it is"),
    ],
)
def test_case_punctuation_and_spelling_do_not_count(language, said, heard):
    assert score(said, heard, language).words.errors == 0
    assert score(said, heard, language).words.hits > 0


@pytest.mark.parametrize(
    ("language", "said", "heard"),
    [
        ("de", "schon", "schön"),
        ("de", "twenty-one", "21"),
        ("hi", "दीन", "दिन"),
        ("th", "ปี", "ปา"),
        ("en", "can", "can't"),
    ],
)
def test_what_makes_another_word_counts(language, said, heard):
    assert score(said, heard, language).words.errors > 0


def test_language_chooses_the_normaliser():
    names = {code: normaliser_name(code) for code in ("en", "EN_us", "de", "zh-TW", "hi", None, "")}
    assert names == {
        "en": ENGLISH, "EN_us": ENGLISH, "de": BASIC, "zh-TW": LETTERS, "hi": MARKS_KEPT,
        None: BASIC, "": BASIC,
    }  # fmt: skip


def test_script_without_spaces_is_counted_by_letters():
    found = score("你好世界", "你号世", "zh")
    assert found == Score(
        words=edits(hits=2, substitutions=1, deletions=1),
        characters=edits(hits=2, substitutions=1, deletions=1),
    )


def test_normaliser_is_that_of_the_reference_implementation():
    # transformers carries OpenAI's own; its table of spellings is in a checkpoint.
    normalizer = pytest.importorskip("transformers.models.whisper.english_normalizer")
    theirs, english = normalizer.BasicTextNormalizer(), normalizer.EnglishTextNormalizer({})
    for text in (
        "Grüß Gott, (lacht) Herr Maier.",
        "<x> L'été \u2013 déjà [bruit]",
        "¿Qué? 3,5 % así",
    ):
        assert normalised(text, "fr") == " ".join(theirs(text).split())
    for text in (
        "Mr. Park paid $2.50, didn't he?", "the twenty-first of May 1999", "uh, 1,000 o'clock",
        "one oh one and a half per cent", "they're [noise] gonna (laughs) go",
    ):  # fmt: skip
        assert normalised(text, "en") == " ".join(english(text).split())


def test_lengths_fall_into_classes():
    classes = [length_class(seconds) for seconds in (0, 4.99, 5, 29, 30, 3599, 36_000, None)]
    assert classes == [
        "under 5 s", "under 5 s", "5 to 15 s", "15 to 30 s", "30 s to 5 min", "5 min to 1 h",
        "over 1 h", "unknown",
    ]  # fmt: skip


def test_interval_holds_the_rate_and_shrinks_with_more_recordings():
    some = [edits(hits=9, substitutions=1), edits(hits=10), edits(hits=6, deletions=4)] * 5
    low, high = interval(some)
    assert low < 1 / 6 < high
    lower, higher = interval(some * 20)
    assert low < lower < 1 / 6 < higher < high
    assert interval(some) == (low, high)


def test_interval_holds_the_true_rate_about_as_often_as_it_says():
    import numpy as np

    random = np.random.default_rng(3)
    held = 0
    for _ in range(100):
        wrong = random.binomial(20, random.beta(1, 9, size=40))  # 10 % of words, by recording
        low, high = interval(
            [edits(hits=20 - count, substitutions=count) for count in wrong.tolist()], draws=300
        )
        held += low <= 0.1 <= high
    assert 85 <= held <= 100


def test_interval_is_as_wide_as_theory_has_it_where_words_are_independent():
    import numpy as np

    wrong = np.random.default_rng(1).binomial(20, 0.1, size=400).tolist()
    low, high = interval([edits(hits=20 - count, substitutions=count) for count in wrong])
    rate = sum(wrong) / 8000
    assert (high - low) / 2 == pytest.approx(1.96 * (rate * (1 - rate) / 8000) ** 0.5, rel=0.1)


@pytest.mark.parametrize(
    "parts", [[], [edits(hits=9, deletions=1)], [edits(insertions=1)] * 3, [edits(hits=5)] * 60]
)
def test_too_little_to_vary_has_no_interval(parts):
    assert interval(parts) is None


def test_scoring_loads_its_libraries_when_it_scores():
    code = (
        "import sys, stenopool.asr.scoring, stenopool.asr.report; "
        "print([m for m in ('jiwer', 'whisper_normalizer', 'numpy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert found.stdout.strip() == "[]"
