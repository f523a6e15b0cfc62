"""Options check themselves, and keep the keys of what was made before there were more of them."""

import json
from dataclasses import fields, replace

import pytest

from stenopool.errors import InvalidOptionError
from stenopool.model import OptionValues, TranscribeOptions


def test_the_python_door_names_every_option():
    assert set(OptionValues.__annotations__) == {field.name for field in fields(TranscribeOptions)}


def test_the_same_languages_are_the_same_options_in_whatever_order_they_come():
    options = TranscribeOptions(languages=("en", "de"))
    for languages in (["de", "en"], ("en", "de", "en"), {"de", "en"}):
        assert TranscribeOptions(languages=languages) == options
        assert hash(TranscribeOptions(languages=languages)) == hash(options)


def test_options_that_were_kept_as_json_are_the_same_options():
    options = TranscribeOptions(languages=("en", "de"), hotwords="Stenopool", prompt="So:")
    assert TranscribeOptions(**json.loads(options.canonical_json())) == options


def test_an_option_that_came_later_shows_only_where_it_is_set():
    """What an interrupted run of an older version wrote down is found by the same request."""
    assert TranscribeOptions(language="de").canonical_json() == (
        '{"engine": "ctranslate2", "language": "de", "model": "small", "prompt": null, '
        '"task": "transcribe", "vad": true, "word_timestamps": false}'
    )
    more = TranscribeOptions(languages=["en"], hotwords="Stenopool").canonical_json()
    assert json.loads(more)["languages"] == ["en"]
    assert json.loads(more)["hotwords"] == "Stenopool"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"languages": ("en", "de"), "language": "en"}, "do not go together"),
        ({"languages": "en"}, "several codes, such as"),
        ({"languages": ("en", " ")}, "one of the languages is empty"),
        ({"hotwords": " "}, "the hotwords must not be empty"),
        ({"prompt": " "}, "the prompt must not be empty"),
        ({"prompt": "a <|endoftext|>"}, "a token of Whisper's own"),
        ({"short_clips": "squeeze"}, "'squeeze' is not context or pack"),
        ({"short_clips": "pack"}, "packing needs to know it"),
        ({"language": ""}, "the language is empty"),
        ({"model": ""}, "the model's name is empty"),
        ({"task": "sing"}, "task 'sing'"),
    ],
)
def test_wrong_options_are_one_line(options, said):
    with pytest.raises(InvalidOptionError, match=said):
        replace(TranscribeOptions(), **options)
