"""Many small files in a bucket: how fast they are listed and read, one by one and from shards.

`make bench-small-files` prints one JSON line; redirect it to a file in `benchmarks/results/` to
keep it. Each measurement is a process of its own with a fresh Ray, whose start does not count;
figures are medians of `--runs` measurements, except for the packing and the reading one by one,
which take minutes and run once.

The bucket is served by a process on this machine: `rclone serve s3` (1.65 or newer) over a folder
of copies, or moto, which itself lists no more than some 1,500 keys a second.

    .venv/bin/python benchmarks/small_files.py > benchmarks/results/small-files-DATE-MACHINE.jsonl
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from run import AUDIO, cpu_name

import servers

PACKAGES = ("pyarrow", "ray", "s3fs")
BUCKET = "bench"
FOLDER_FILES = 1000
KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
UPLOADS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000, help="copies in the bucket")
    parser.add_argument("--runs", type=int, default=3, help="measurements of each kind")
    parser.add_argument("--rclone", default=shutil.which("rclone"), help="its program")
    parser.add_argument("--moto", action="store_true", help="serve with moto, not with rclone")
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(MEASURES[chosen.measure]()))
        return
    # So that the server and the copies go when this is ended from outside.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if not chosen.moto and chosen.rclone is None:
        raise SystemExit("rclone is not on PATH; name it with --rclone, or take --moto")
    with tempfile.TemporaryDirectory(prefix="stenopool-bench-") as folder:
        os.environ.update(KEYS, STENOPOOL_HOME=f"{folder}/home")
        serve = moto(chosen.files) if chosen.moto else rclone(chosen.rclone, folder, chosen.files)
        with serve as server:
            print(json.dumps(compare(chosen, server)), flush=True)


def compare(chosen: argparse.Namespace, server: str) -> dict[str, Any]:
    """All figures, from measurements in turn: lists, single files, one packing, shards."""
    load = os.getloadavg()[0]
    listed = measure("list", chosen.runs)
    single = measure("single", 1)
    packed = measure("pack", 1)
    shards = measure("shards", chosen.runs)
    assert listed["files"] == single["files"] == packed["files"] == shards["files"] == chosen.files
    assert single["bytes"] == shards["bytes"]
    return {
        "case": "small_files",
        "command": shlex.join(["benchmarks/small_files.py", *sys.argv[1:]]),
        "machine": {
            "cpu": cpu_name(),
            "cores": os.cpu_count() or 1,
            "memory_bytes": psutil.virtual_memory().total,
            "load": [load, os.getloadavg()[0]],
        },
        "versions": {
            "python": platform.python_version(),
            "server": server,
            **{package: version(package) for package in PACKAGES},
        },
        "runs": chosen.runs,
        "files": chosen.files,
        "bytes": single["bytes"],
        "listed_per_s": listed["files"] / listed["wall_s"],
        "listed_per_cpu_s": listed["files"] / listed["cpu_s"],
        "driver_peak_rss_bytes": max(single["peak_rss_bytes"], listed["peak_rss_bytes"]),
        "single_files_per_s": single["files"] / single["wall_s"],
        "shard_files_per_s": shards["files"] / shards["wall_s"],
        "shards": packed["shards"],
        "pack_s": packed["wall_s"],
        "gain": single["wall_s"] / shards["wall_s"],
    }


def measure(what: str, runs: int) -> dict[str, float]:
    """The medians of so many child processes."""
    command = [sys.executable, __file__, "--measure", what]
    results = []
    for _ in range(runs):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results.append(json.loads(done.stdout.splitlines()[-1]))
        print(what, results[-1], file=sys.stderr, flush=True)
    return {name: statistics.median(result[name] for result in results) for name in results[0]}


def list_once() -> dict[str, float]:
    """The constructor of the datasource: stage looked up, files listed."""
    from stenopool.distributed.datasources import SFStageBinaryFileDataSource

    stages()
    SFStageBinaryFileDataSource("@DIGITS/0000")  # imports and connects
    started, cpu_started = time.perf_counter(), time.process_time()
    source = SFStageBinaryFileDataSource("@DIGITS", file_pattern="*.wav")
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    files = sum(task.metadata.num_rows for task in source.get_read_tasks(1))
    return {"files": files, "wall_s": wall_s, "cpu_s": cpu_s, "peak_rss_bytes": peak_rss()}


def read_single() -> dict[str, float]:
    """Every file read as itself."""
    from stenopool.distributed.datasources import SFStageBinaryFileDataSource

    return read(lambda: SFStageBinaryFileDataSource("@DIGITS", file_pattern="*.wav"), "file_binary")


def read_shards() -> dict[str, float]:
    """Every file read from shards."""
    from stenopool.distributed.datasources import SFStageShardDataSource

    return read(lambda: SFStageShardDataSource(stage_location="@SHARDS"), "bytes")


def read(make: Callable[[], Any], column: str) -> dict[str, float]:
    """List and read all bytes in workers; the driver adds up what they counted."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import ray.data

    def count(table: pa.Table) -> pa.Table:
        return pa.table(
            {"files": [table.num_rows], "bytes": [pc.sum(pc.binary_length(table[column])).as_py()]}
        )

    start()
    started = time.perf_counter()
    dataset = ray.data.read_datasource(make()).map_batches(
        count, batch_size=None, batch_format="pyarrow", zero_copy_batch=True
    )
    files = size_bytes = 0
    for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        files += pc.sum(table["files"]).as_py()
        size_bytes += pc.sum(table["bytes"]).as_py()
    wall_s = time.perf_counter() - started
    return {"files": files, "bytes": size_bytes, "wall_s": wall_s, "peak_rss_bytes": peak_rss()}


def pack() -> dict[str, float]:
    """All files packed into shards."""
    from stenopool.distributed.datasources import generate_shards

    start()
    started = time.perf_counter()
    made = generate_shards("@DIGITS", "@SHARDS", file_pattern="*.wav")
    wall_s = time.perf_counter() - started
    return {"files": made.files, "shards": len(made.paths), "wall_s": wall_s}


MEASURES = {"list": list_once, "single": read_single, "pack": pack, "shards": read_shards}


def start() -> None:
    """Stages, and a Ray whose workers are up, before the clock starts."""
    import ray

    from stenopool.distributed.cluster import quiet_ray_data, start_ray

    stages()
    start_ray(None)
    quiet_ray_data()
    ray.data.range(100, override_num_blocks=4).materialize()


def stages() -> None:
    from stenopool.catalog import open_catalog
    from stenopool.settings import Settings

    with open_catalog(Settings.from_env()) as catalog:
        for name, prefix in (("DIGITS", "digits"), ("SHARDS", "shards")):
            url = f"s3://{BUCKET}/{prefix}"
            catalog.create_stage(catalog.name(name), url=url, if_not_exists=True)


def peak_rss() -> int:
    """The most memory that this process had since it started (bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextlib.contextmanager
def rclone(program: str, folder: str, files: int) -> Iterator[str]:
    """Serve a folder of copies; yields the server's name and version."""
    top = Path(folder, "served")
    for key, source in keys(files):
        target = top / BUCKET / key
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    port = servers.free_port()
    command = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--config", os.devnull]
    # An ETag that is an MD5 would read every file for each page of a listing.
    command += ["--auth-key", "testing,testing", "--etag-hash", "", str(top)]
    shown = subprocess.run([program, "version"], stdout=subprocess.PIPE, text=True, check=True)
    with servers.process_of(command) as process, endpoint(port, process):
        yield shown.stdout.splitlines()[0]


@contextlib.contextmanager
def moto(files: int) -> Iterator[str]:
    """Upload the copies to moto; yields the server's name and version."""
    import s3fs

    with servers.s3_server() as url:
        os.environ["AWS_ENDPOINT_URL"] = url
        bucket = s3fs.S3FileSystem()
        bucket.mkdir(BUCKET)
        with ThreadPoolExecutor(UPLOADS) as pool:
            for _ in pool.map(
                lambda one: bucket.pipe_file(f"{BUCKET}/{one[0]}", one[1].read_bytes()),
                keys(files),
            ):
                pass
        yield f"moto {version('moto')}"


@contextlib.contextmanager
def endpoint(port: int, process: subprocess.Popen[bytes]) -> Iterator[None]:
    url = f"http://127.0.0.1:{port}"
    servers.wait_until(lambda: servers.answers(url), process, "the S3 server")
    os.environ["AWS_ENDPOINT_URL"] = url
    yield


def keys(files: int) -> Iterator[tuple[str, Path]]:
    """So many keys, a thousand a folder, each with the recording that it is a copy of."""
    recordings = sorted((AUDIO / "digits").glob("*.wav"))
    for number in range(files):
        source = recordings[number % len(recordings)]
        folder, place = divmod(number, FOLDER_FILES)
        yield f"digits/{folder:04}/{place:03}-{source.name}", source


if __name__ == "__main__":
    main()
