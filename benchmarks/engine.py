"""Engines beside what people use, on a CPU: speed, memory and known texts; one JSON line each.

    make bench-engine > benchmarks/results/engine-DATE-MACHINE.jsonl

Every measurement is a process of its own, on the same files; contenders take turns, and figures
are medians of `--runs` rounds. Loading and a first call are told apart. Weights are random and of
the true shape, texts known beforehand (see `known_texts.py`), so every text must equal the known
one and `texts_equal` says how many did; the demo model's recordings, with its own weights, give
the word error rate of each contender. All decode greedily. The slow ones get a part of each load,
of clips as many of each length. Ratios compare clips a second where the load is clips, which cost
the same whatever their length, and seconds of audio a second elsewhere.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
from engine_contenders import CONTENDERS, cores
from run import PeakMemory, cpu_name

from stenopool.distributed.clusters.environment import RAY_ENVIRONMENT

SHAPES = ("tiny", "base")
TOKENS = {"clips": 25, "hour": 100}
"""Tokens of a window's text, timestamps and end among them, by load."""

PACKAGES = ("ctranslate2", "faster-whisper", "openai-whisper", "stenopool", "torch", "transformers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="rounds")
    parser.add_argument("--shape", choices=SHAPES, action="append", help="repeatable; all")
    parser.add_argument("--load", choices=("clips", "hour", "demo"), action="append", help="all")
    parser.add_argument("--who", choices=CONTENDERS, action="append", help="repeatable; all")
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--slow-clips", type=int, default=60, help="of them, for slow contenders")
    parser.add_argument("--long-s", type=float, default=3600.0)
    parser.add_argument("--slow-long-s", type=float, default=300.0)
    parser.add_argument("--measure", nargs=3, metavar=("WHO", "LOAD", "FOLDER"))
    chosen = parser.parse_args()
    if chosen.measure:
        who, load, folder = chosen.measure
        print(json.dumps(measure_here(who, load, Path(folder))))
        return
    who = chosen.who or list(CONTENDERS)
    needing = [name for name in who if CONTENDERS[name].needs_ffmpeg]
    if needing and shutil.which("ffmpeg") is None:
        raise SystemExit(f"{', '.join(needing)} read files with ffmpeg, which is not here")
    with tempfile.TemporaryDirectory() as folder:
        for load, place in prepared(chosen, Path(folder)):
            for figures in compare(load, place, who, chosen.runs):
                print(json.dumps({**figures, **environment()}), flush=True)


def prepared(chosen: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Path]]:
    """Write models and recordings; gives each load with its folder of models and audio."""
    loads = chosen.load or ["clips", "hour", "demo"]
    known = [load for load in loads if load in TOKENS]
    audio = {load: write_audio(load, folder / load, chosen) for load in known}
    for shape in (chosen.shape or SHAPES) if known else ():
        models = write_known_models(folder / f"models-{shape}", shape)
        for load in known:
            yield load, bundle(folder / f"{shape}-{load}", audio[load], models[load], shape)
    if "demo" in loads:
        yield "demo", demo_bundle(folder)


def write_audio(load: str, folder: Path, chosen: argparse.Namespace) -> Path:
    """Write a load's recordings below `all`, and the part for slow contenders below `slow`."""
    from spoken_loads import write_clips, write_long

    for part in ("all", "slow"):
        (folder / part).mkdir(parents=True)
    if load == "clips":
        paths = write_clips(folder / "all", chosen.clips)
        step = max(1, chosen.clips // chosen.slow_clips)
        for path in sorted(paths, key=length_s)[step // 2 :: step]:
            os.link(path, folder / "slow" / path.name)
    else:
        write_long(folder / "all" / "long.flac", chosen.long_s)
        write_long(folder / "slow" / "long.flac", chosen.slow_long_s)
    return folder


def bundle(place: Path, audio: Path, model: tuple[dict[str, Path], str], shape: str) -> Path:
    """A folder with what one measurement needs."""
    place.mkdir()
    (place / "audio").symlink_to(audio)
    files, text = model
    for kind, path in files.items():
        (place / kind).symlink_to(path)
    (place / "about.json").write_text(json.dumps({"shape": shape, "text": text}))
    return place


def write_known_models(folder: Path, shape: str) -> dict[str, tuple[dict[str, Path], str]]:
    """By load, the same weights in each library's format, and what they say of every window."""
    from known_texts import SHAPES as ALL_SHAPES
    from known_texts import write_models

    folder.mkdir()
    written = write_models(folder, ALL_SHAPES[shape], TOKENS, "cpu")
    return {
        load: (in_all_formats(path, folder / f"{load}-formats"), text)
        for load, (path, text) in written.items()
    }


def in_all_formats(source: Path, folder: Path) -> dict[str, Path]:
    """A model in Transformers' format, and made from it: CTranslate2's and openai-whisper's."""
    from ctranslate2.converters import TransformersConverter

    folder.mkdir()
    converter = TransformersConverter(str(source), copy_files=["tokenizer.json"])
    converter.convert(str(folder / "ctranslate2"), quantization="float16")
    mels = {"feature_size": json.loads((source / "config.json").read_text())["num_mel_bins"]}
    (folder / "ctranslate2" / "preprocessor_config.json").write_text(json.dumps(mels))
    write_openai(source, folder / "openai.pt")
    return {
        "transformers": source,
        "ctranslate2": folder / "ctranslate2",
        "openai": folder / "openai.pt",
    }


OPENAI_NAMES = (
    ("model.", ""),
    ("layers.", "blocks."),
    ("encoder_attn_layer_norm", "cross_attn_ln"),
    ("self_attn_layer_norm", "attn_ln"),
    ("encoder_attn", "cross_attn"),
    ("self_attn", "attn"),
    ("q_proj", "query"),
    ("k_proj", "key"),
    ("v_proj", "value"),
    ("out_proj", "out"),
    ("fc1", "mlp.0"),
    ("fc2", "mlp.2"),
    ("final_layer_norm", "mlp_ln"),
    ("encoder.layer_norm", "encoder.ln_post"),
    ("decoder.layer_norm", "decoder.ln"),
    ("embed_positions.weight", "positional_embedding"),
    ("embed_tokens", "token_embedding"),
)
"""From the hub's names of weights to openai-whisper's; the first that matches goes first."""


def write_openai(source: Path, target: Path) -> None:
    """Write the checkpoint that openai-whisper loads."""
    import torch
    from safetensors.torch import load_file

    config = json.loads((source / "config.json").read_text())
    state = {}
    for file in sorted({path.resolve() for path in source.glob("*.safetensors")}):
        for name, tensor in load_file(file).items():
            for ours, theirs in OPENAI_NAMES:
                name = name.replace(ours, theirs)
            state[name] = tensor
    sides = {"audio": "encoder", "text": "decoder"}
    sizes = {"n_mels": config["num_mel_bins"], "n_vocab": config["vocab_size"]}
    for theirs, ours in sides.items():
        sizes[f"n_{theirs}_ctx"] = 1500 if theirs == "audio" else 448
        sizes[f"n_{theirs}_state"] = config["d_model"]
        sizes[f"n_{theirs}_head"] = config[f"{ours}_attention_heads"]
        sizes[f"n_{theirs}_layer"] = config[f"{ours}_layers"]
    torch.save({"dims": sizes, "model_state_dict": state}, target)


def demo_bundle(folder: Path) -> Path:
    """The demo model and its recordings, of which every contender gets all."""
    from stenopool.asr.models import demo_folder

    place = folder / "demo"
    (place / "audio").mkdir(parents=True)
    for part in ("all", "slow"):
        (place / "audio" / part).symlink_to(demo_folder().parent / "recordings")
    (place / "ctranslate2").symlink_to(demo_folder())
    (place / "about.json").write_text(json.dumps({"shape": "demo", "text": None}))
    return place


def compare(load: str, place: Path, who: list[str], runs: int) -> Iterator[dict[str, Any]]:
    """Medians of each contender, measured in turns, and ratios to faster-whisper's batched mode."""
    there = [name for name in who if (place / CONTENDERS[name].model).exists()]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in there}
    for number in range(runs):
        # Every other round backwards, so that no contender always follows the same one.
        for name in there if number % 2 == 0 else reversed(there):
            found[name].append(measure(name, load, place))
    about = json.loads((place / "about.json").read_text())
    rate = "files_a_second" if load == "clips" else "speed"
    for name, results in found.items():
        figures = {key: _median([result[key] for result in results]) for key in results[0]}
        ratios = {
            f"ratio_to_{peer.replace(' ', '_')}": statistics.median(
                ours[rate] / theirs[rate] for ours, theirs in zip(results, found[peer], strict=True)
            )
            for peer in ("faster-whisper batched", "transformers pipeline")
            if peer in found and peer != name
        }
        walls = [result["wall_s"] for result in results]
        known = {"load": load, "shape": about["shape"], "contender": name, "runs": runs}
        yield {**known, **figures, "walls_s": walls, **ratios}


def _median(values: list[float | None]) -> float | None:
    given = [value for value in values if value is not None]
    return statistics.median(given) if given else None


def measure(who: str, load: str, place: Path) -> dict[str, Any]:
    """Measure in a child process, and add the peak memory of its whole tree."""
    command = [sys.executable, __file__, "--measure", who, load, str(place)]
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"STENOPOOL_HOME": home}
        if CONTENDERS[who].ours:
            # Our engines live in processes of Ray's, which get this; peers run as people run them.
            environment["MALLOC_ARENA_MAX"] = RAY_ENVIRONMENT["MALLOC_ARENA_MAX"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as child:
            peak = PeakMemory(child.pid)
            text, _ = child.communicate()
            peak.stop()
    if child.returncode:
        raise SystemExit(f"{shlex.join(command)} ended with {child.returncode}")
    return {**json.loads(text.splitlines()[-1]), "peak_memory_bytes": peak.bytes}


def measure_here(who: str, load: str, place: Path) -> dict[str, Any]:
    """One measurement in this process."""
    contender = CONTENDERS[who]
    audio = place / "audio" / ("slow" if contender.slow else "all")
    paths = sorted(path for path in audio.rglob("*") if path.suffix in SUFFIXES)
    about = json.loads((place / "about.json").read_text())
    audio_s = sum(map(length_s, paths))
    transcribe, load_s = timed(lambda: contender.make(place / contender.model))
    short = sorted(paths, key=length_s)[:2]
    first_s = timed(lambda: transcribe(short))[1] if len(paths) > 1 else None
    gc.collect()
    texts, wall_s = timed(lambda: transcribe(paths))
    return {
        "files": len(paths),
        "audio_s": audio_s,
        "load_s": load_s,
        "first_s": first_s,
        "wall_s": wall_s,
        "speed": audio_s / wall_s,
        "files_a_second": len(paths) / wall_s,
        "texts_equal": None if load == "demo" else sum(says(about["text"], text) for text in texts),
        "windows_said": None
        if load == "demo"
        else sum(len(text.split()) // len(about["text"].split()) for text in texts),
        "wer": demo_error_rate(audio, paths, texts) if load == "demo" else None,
    }


SUFFIXES = {".flac", ".mp3", ".ogg", ".opus", ".wav"}


def says(known: str, text: str) -> bool:
    """Whether a text is the known one, once a window."""
    words, every = text.split(), known.split()
    return bool(words) and words == every * (len(words) // len(every))


def demo_error_rate(audio: Path, paths: list[Path], texts: list[str]) -> float:
    """Word error rate against the recordings' known texts, case and punctuation aside."""
    import jiwer

    from stenopool.cli.demo import normalised

    with (audio / "texts.csv").open(newline="", encoding="utf-8") as file:
        known = {row["path"]: row["text"] for row in csv.DictReader(file)}
    said = [normalised(known[path.relative_to(audio).as_posix()]) for path in paths]
    return float(jiwer.wer(said, [normalised(text) for text in texts]))


def length_s(path: Path) -> float:
    import av

    with av.open(str(path)) as container:
        return float(container.duration or 0) / 1e6


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    found = work()
    return found, time.perf_counter() - started


def environment(script: str = "engine.py") -> dict[str, Any]:
    """What the figures were taken with."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "command": shlex.join([f"benchmarks/{script}", *sys.argv[1:]]),
        "machine": {
            "cpu": cpu_name(),
            "cores": cores(),
            "memory_bytes": psutil.virtual_memory().total,
        },
        "versions": found,
    }


if __name__ == "__main__":
    main()
