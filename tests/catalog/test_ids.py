"""A set of transcript ids: what it holds, and what it takes to make."""

import hashlib
import json
import tracemalloc
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest

from stenopool.catalog.ids import ID_BYTES, TranscriptIds
from stenopool.model import FileRef, ModelInfo, TranscribeOptions, transcript_id


def ids(*numbers):
    return pa.array([f"{number:032x}" for number in numbers])


def test_an_id_is_in_the_set_however_often_it_came():
    found = TranscriptIds([ids(3, 1), ids(1, 2, 1)])
    assert len(found) == 3
    assert found.holds(ids(0, 1, 2, 3, 4)).tolist() == [False, True, True, True, False]


def test_ids_that_share_their_first_half_are_told_apart():
    high = 7 << 64
    found = TranscriptIds([ids(high + 1), ids(high + 2)])
    assert found.holds(ids(high, high + 1, high + 2)).tolist() == [False, True, True]


def test_what_is_no_id_is_refused():
    with pytest.raises(ValueError, match="not hexadecimal"):
        TranscriptIds([pa.array(["z" * 32])])


def test_making_the_set_takes_no_more_than_two_sets_and_a_half():
    count, part = 200_000, 10_000
    digits = np.random.default_rng(0).bytes(ID_BYTES * count).hex()
    texts = [digits[2 * ID_BYTES * i : 2 * ID_BYTES * (i + 1)] for i in range(count)]
    columns = [pa.array(texts[i : i + part]) for i in range(0, count, part)]
    tracemalloc.start()
    found = TranscriptIds(columns)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == count
    assert peak < 2.5 * ID_BYTES * count


def id_with(**options):
    file = FileRef(path="ä.wav", size_bytes=5, etag="e")
    model = ModelInfo(name="n", revision="r")
    return transcript_id('@A.B.C/ä"\udce9.wav', file, model, TranscribeOptions(**options))


def test_the_id_of_a_recording_is_made_of_all_that_names_its_text():
    # Written out, because what is done is found again by it: a run of another version, too.
    for options in (
        {},
        {"prompt": '"', "language": "de"},
        {"languages": ("en", "de"), "hotwords": "ä"},
        {"short_clips": "context"},
    ):
        chosen = asdict(TranscribeOptions(**options))
        later = {"languages", "hotwords", "short_clips"} - options.keys()
        chosen = {name: value for name, value in chosen.items() if name not in {"model", *later}}
        identity = ['@A.B.C/ä"\udce9.wav', 5, "e", "r", chosen]
        text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
        expected = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16)
        assert id_with(**options) == expected.hexdigest()


def test_ids_from_before_there_were_more_options_stay_what_they_were():
    # Made by the code of that time; tables are full of such.
    assert id_with() == "da38f1db01a9d9bfde6e6dab9c49ffa6"
    assert id_with(prompt='"', language="de") == "04c442334e856b9a0e6ee336b286fc44"


def test_a_newer_option_that_is_set_gives_another_id():
    options = (
        {},
        {"languages": ("en",)},
        {"languages": ("en", "de")},
        {"hotwords": "ä"},
        {"short_clips": "context"},
        {"language": "en"},
        {"language": "en", "short_clips": "pack"},
    )
    assert len({id_with(**one) for one in options}) == len(options)
    assert id_with(languages=("de", "en")) == id_with(languages=["en", "de"])
