"""What a run would cost: how much audio, how long, and where; nothing is written or transcribed."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stenopool.asr import describe_model
from stenopool.audio import probe
from stenopool.catalog import open_catalog, resolve_source
from stenopool.catalog.ledger import published_ids
from stenopool.distributed.addressing import delivery_to, table_of
from stenopool.distributed.planning import make_plan, transcript_key
from stenopool.errors import RecordingError, StorageError, UsageError
from stenopool.storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from stenopool.catalog import Catalog
    from stenopool.distributed.requesting import Request
    from stenopool.model import TranscribeOptions
    from stenopool.settings import Settings
    from stenopool.storage import Storage

PROBED = 1000
"""Recordings that are probed; of more, a random sample of so many stands for all."""

PROBE_THREADS = 16

CORE_SPEED = {
    "demo": 100.0, "tiny": 49.0, "small": 7.4, "large-v3-turbo": 1.9, "distil-large-v3": 1.95,
    "large-v3": 1.48,
}  # fmt: skip
"""Seconds of audio a second on one core, full windows of 30 s, int8: measured on one Zen 4 core."""

SHORTEST_S = 15.0
"""A short clip takes as long as so much of a full window (s): half of one's work is its encoder's,
which sees 30 s always; with tiny and base a clip of 7 s takes as long as 16 and 19 s."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run would find and take.

    Attributes:
        source: what would be listed.
        target: the table.
        destination: where the table's rows are delivered to, which was reached; None for nowhere.
        listed: recordings that match.
        skipped: of these, with a transcript already.
        size_bytes: of the rest.
        audio_s: declared seconds of audio in the rest; extrapolated by size where `sampled`.
        sampled: whether only a sample was probed.
        longest_s: of those probed.
        unreadable: paths that the probe could not read, with the reason; those probed only.
        where: the machine or cluster.
        wall_s: seconds that it would take; None when there is nothing to judge by.
        judged_by: what `wall_s` rests on.
    """

    source: str
    target: str
    destination: str | None
    listed: int
    skipped: int
    size_bytes: int
    audio_s: float
    sampled: bool
    longest_s: float
    unreadable: dict[str, str] = field(default_factory=dict)
    where: str
    wall_s: float | None
    judged_by: str


def estimate(
    request: Request, settings: Settings, on_listed: Callable[[int], None] = lambda _: None
) -> Estimate:
    """List and probe the source as a run would, and say what it would take.

    Raises:
        UsageError: as for a run.
    """
    delivery = delivery_to(request.target, settings, overwrite=request.overwrite)
    target = table_of(request.target, delivery, settings)
    with open_catalog(settings) as catalog:
        source = resolve_source(request.source, request.patterns, catalog, settings)
        model = describe_model(request.options, settings)
        done = None if request.overwrite else published_ids(catalog, target)
        key = transcript_key(source, model, request.options)
        plan = make_plan(source, key, done=done, limit=request.limit, on_listed=on_listed)
        speed, judged_by, least_s = expected_speed(catalog, request.options)
    found = probe_all(open_storage(source.root), plan.references)
    audio_s = found.seconds * (plan.size_bytes / found.size_bytes if found.size_bytes else 1)
    return Estimate(
        source=source.name,
        target=str(target),
        destination=None if delivery is None else delivery.shown,
        listed=plan.listed,
        skipped=plan.skipped,
        size_bytes=plan.size_bytes,
        audio_s=audio_s,
        sampled=len(plan) > PROBED,
        longest_s=found.longest_s,
        unreadable=found.unreadable,
        where=settings.ray_address or f"this machine, {os.cpu_count()} cores",
        wall_s=max(audio_s, least_s * len(plan)) / speed if speed else None,
        judged_by=judged_by,
    )


@dataclass(kw_only=True)
class Probed:
    """The sum of what probing found; seconds of audio and bytes of the same recordings."""

    seconds: float = 0.0
    size_bytes: int = 0
    longest_s: float = 0.0
    unreadable: dict[str, str] = field(default_factory=dict)


def probe_all(storage: Storage, references: pa.Table) -> Probed:
    """Probe all recordings, or a random sample of them, in threads."""
    chosen = references
    if len(references) > PROBED:
        sample = random.Random(0).sample(range(len(references)), PROBED)  # noqa: S311 - no secret
        chosen = references.take(sample)
    paths = chosen["path"].to_pylist()

    def seconds(path: str) -> float | str:
        try:
            with storage.open(path) as file:
                return probe(file, path).duration_s or 0.0
        except (RecordingError, StorageError, UsageError) as error:
            return str(error)

    probed = Probed()
    with ThreadPoolExecutor(PROBE_THREADS) as pool:
        sizes = chosen["size_bytes"].to_pylist()
        for path, size, answer in zip(paths, sizes, pool.map(seconds, paths), strict=True):
            probed.size_bytes += size
            if isinstance(answer, str):
                probed.unreadable[path] = answer
            else:
                probed.seconds += answer
                probed.longest_s = max(probed.longest_s, answer)
    return probed


def expected_speed(catalog: Catalog, options: TranscribeOptions) -> tuple[float | None, str, float]:
    """Seconds of audio a second to expect, what that rests on, and what each recording counts.

    The last is the least (s) that it counts as, however short it is.
    """
    for run in catalog.runs():
        same = f'"model": "{options.model}"' in run.options
        if run.state == "succeeded" and run.audio_s and same:
            return run.speed, f"run {run.run_id} with the same model", 0.0
    cores = os.cpu_count() or 1
    if options.engine == "ctranslate2" and options.model in CORE_SPEED:
        judged_by = f"a rough figure for {cores} cores without a GPU"
        return CORE_SPEED[options.model] * cores, judged_by, SHORTEST_S
    return None, "no earlier run with this model", 0.0
