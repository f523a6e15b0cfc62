"""What `engine.py` measures: each loads a model and gives what transcribes files, on all cores."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import Queue
from typing import Any

READ_AHEAD = 64
"""Windows that are sorted by length before they are transcribed."""

PEER_BATCH = 8
"""faster-whisper's own default."""

PIPELINE_BATCH = 30

END = "<|endoftext|>"

Transcribe = Callable[[list[Path]], list[str]]
"""Texts of files, in their order."""


def cores() -> int:
    return len(os.sched_getaffinity(0))


def ours(engine_name: str, **more: str) -> Callable[[Path], Transcribe]:
    """Our engine in this process: files are read and cut by as many threads as there are cores."""

    def make(model: Path) -> Transcribe:
        from stenopool.asr import load_engine
        from stenopool.model import TranscribeOptions
        from stenopool.settings import Settings

        name = str(model.resolve())
        options = TranscribeOptions(engine=engine_name, model=name, language="en", **more)
        engine = load_engine(options, Settings.from_env(), device="cpu", threads=cores())

        def transcribe(paths: list[Path]) -> list[str]:
            found: dict[tuple[int, int], str] = {}
            coming = windows_of(paths)
            while ahead := sorted(islice(coming, READ_AHEAD), key=lambda window: len(window[2])):
                results = engine.transcribe([w[2] for w in ahead], options, ["en"] * len(ahead))
                for (number, place, _), result in zip(ahead, results, strict=True):
                    found[number, place] = " ".join(segment.text for segment in result.segments)
            texts: list[list[str]] = [[] for _ in paths]
            for (number, _), text in sorted(found.items()):
                texts[number].append(text)
            return [" ".join(parts) for parts in texts]

        return transcribe

    return make


def windows_of(paths: list[Path]) -> Iterator[tuple[int, int, Any]]:
    """Windows of all files as they come, each with its file's number and its own."""
    ready: Queue[Any] = Queue(maxsize=READ_AHEAD)

    def read(number: int) -> None:
        for place, window in enumerate(windows_in(paths[number])):
            ready.put((number, place, window))

    def read_all() -> None:
        try:
            with ThreadPoolExecutor(cores()) as pool:
                list(pool.map(read, range(len(paths))))
            ready.put(None)
        except Exception as error:  # noqa: BLE001 - raised again where the texts are wanted
            ready.put(error)

    threading.Thread(target=read_all, daemon=True).start()
    while (window := ready.get()) is not None:
        if isinstance(window, Exception):
            raise window
        yield window


def windows_in(path: Path) -> Iterator[Any]:
    """The windows of one file: float32, shape (n,), range [-1, 1], 16 kHz."""
    from stenopool.audio import read_units

    for unit in read_units(path):
        samples, start = unit.samples.astype("float32") / 32768, 0
        for span in unit.windows:
            yield samples[start : start + span.samples]
            start += span.samples


def our_run(model: Path) -> Transcribe:
    """The whole product: a run over a folder into a table; Ray's start counts as loading."""
    import stenopool
    from stenopool.distributed.cluster import start_ray

    start_ray(None)

    def transcribe(paths: list[Path]) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            for number, path in enumerate(paths):
                shutil.copyfile(path, Path(folder) / f"{number}{path.suffix}")
            stenopool.transcribe(folder, to="BENCH", model=str(model.resolve()), language="en")
            rows = stenopool.sql(
                "SELECT path, text FROM bench QUALIFY "
                "row_number() OVER (PARTITION BY path ORDER BY transcribed_at DESC) = 1"
            ).fetchall()
        texts = {int(Path(path).stem): text or "" for path, text in rows}
        return [texts[number] for number in range(len(paths))]

    return transcribe


def faster_whisper(model: Path) -> Transcribe:
    from faster_whisper import WhisperModel

    loaded = WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=cores())

    def transcribe(paths: list[Path]) -> list[str]:
        texts = []
        for path in paths:
            segments, _ = loaded.transcribe(
                str(path), language="en", beam_size=1, vad_filter=True,
                condition_on_previous_text=False,
            )  # fmt: skip
            texts.append(" ".join(segment.text.strip() for segment in segments))
        return texts

    return transcribe


def faster_whisper_batched(model: Path) -> Transcribe:
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    loaded = BatchedInferencePipeline(
        WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=cores())
    )

    def transcribe(paths: list[Path]) -> list[str]:
        texts = []
        for path in paths:
            segments, _ = loaded.transcribe(
                str(path), language="en", beam_size=1, batch_size=PEER_BATCH,
                without_timestamps=False,
            )  # fmt: skip
            texts.append(" ".join(segment.text.strip() for segment in segments))
        return texts

    return transcribe


def openai_whisper(model: Path) -> Transcribe:
    import whisper

    loaded = whisper.load_model(str(model.resolve()), device="cpu")

    def transcribe(paths: list[Path]) -> list[str]:
        return [
            loaded.transcribe(
                str(path), language="en", fp16=False, condition_on_previous_text=False
            )["text"].strip()
            for path in paths
        ]

    return transcribe


def transformers_parts(model: Path) -> tuple[Any, Any, Any]:
    import torch
    from transformers import (
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizerFast,
    )

    torch.set_num_threads(cores())
    loaded = WhisperForConditionalGeneration.from_pretrained(
        model.resolve(), dtype=torch.float32, low_cpu_mem_usage=True, use_safetensors=True
    )
    tokenizer = WhisperTokenizerFast(tokenizer_file=str(model / "tokenizer.json"), pad_token=END)
    return loaded, tokenizer, WhisperFeatureExtractor(feature_size=loaded.config.num_mel_bins)


def transformers_pipeline(model: Path) -> Transcribe:
    """As the guide does it: batches of 30 rows, each row's bytes written to a temporary file."""
    from transformers import pipeline

    loaded, tokenizer, extractor = transformers_parts(model)
    recognise = pipeline(
        "automatic-speech-recognition",
        model=loaded,
        tokenizer=tokenizer,
        feature_extractor=extractor,
        chunk_length_s=30,
        batch_size=PIPELINE_BATCH,
        device="cpu",
    )

    def transcribe(paths: list[Path]) -> list[str]:
        texts: list[str] = []
        for start in range(0, len(paths), PIPELINE_BATCH):
            with tempfile.TemporaryDirectory() as folder:
                files = []
                for path in paths[start : start + PIPELINE_BATCH]:
                    files.append(str(Path(folder) / path.name))
                    Path(files[-1]).write_bytes(path.read_bytes())
                results = recognise(
                    files,
                    return_timestamps=True,
                    generate_kwargs={"language": "english", "max_new_tokens": 128},
                )
                texts += [result["text"].strip() for result in results]
        return texts

    return transcribe


def transformers_generate(model: Path) -> Transcribe:
    """Without chunking: one file after another, Whisper's own way through a long one."""
    import numpy as np
    import torch

    from stenopool.audio import decode_audio

    loaded, tokenizer, extractor = transformers_parts(model)

    def transcribe(paths: list[Path]) -> list[str]:
        texts = []
        for path in paths:
            samples = np.asarray(decode_audio(path))
            inputs = extractor(
                samples, sampling_rate=16_000, return_tensors="pt", truncation=False,
                padding="max_length" if len(samples) <= 480_000 else "longest",
                return_attention_mask=True,
            )  # fmt: skip
            with torch.inference_mode():
                ids = loaded.generate(**inputs, language="en", return_timestamps=True)
            texts.append(tokenizer.decode(ids[0], skip_special_tokens=True).strip())
        return texts

    return transcribe


@dataclass(frozen=True)
class Contender:
    """What is measured.

    Attributes:
        make: loads a model; gives what transcribes files.
        model: in which format, as folders of a bundle are called.
        slow: whether it gets a part of each load only.
        needs_ffmpeg: whether it runs the program.
        ours: whether it is part of Stenopool.
    """

    make: Callable[[Path], Transcribe]
    model: str
    slow: bool = False
    needs_ffmpeg: bool = False
    ours: bool = False


CONTENDERS = {
    "stenopool ctranslate2": Contender(ours("ctranslate2"), "ctranslate2", ours=True),
    "stenopool ctranslate2, short contexts": Contender(
        ours("ctranslate2", short_clips="context"), "ctranslate2", ours=True
    ),
    "stenopool run": Contender(our_run, "ctranslate2", ours=True),
    "stenopool torch": Contender(ours("torch"), "transformers", slow=True, ours=True),
    "faster-whisper batched": Contender(faster_whisper_batched, "ctranslate2"),
    "faster-whisper": Contender(faster_whisper, "ctranslate2"),
    "openai-whisper": Contender(openai_whisper, "openai", slow=True, needs_ffmpeg=True),
    "transformers pipeline": Contender(
        transformers_pipeline, "transformers", slow=True, needs_ffmpeg=True
    ),
    "transformers generate": Contender(transformers_generate, "transformers", slow=True),
}
