"""A run over a sample of the recordings, and what it says of a run over all of them."""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stenopool.asr.manifest import read_manifest
from stenopool.asr.matching import match, stem_of
from stenopool.catalog import open_catalog
from stenopool.distributed.estimating import estimate
from stenopool.errors import InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stenopool.distributed.estimating import Estimate
    from stenopool.distributed.planning import Listing
    from stenopool.distributed.requesting import Request, Sample
    from stenopool.model import FileRef, RunRecord
    from stenopool.settings import Settings


class Sampled:
    """A source of which only a sample is listed.

    Each recording is as likely as any other. The order of the listing does not matter, and neither
    do the model and what is done already: the same seed gives the same recordings, and a larger
    sample holds the smaller ones.

    Args:
        source: of all recordings; it is listed once.
        sample: how many, and by which seed.

    Raises:
        UsageError: the manifest cannot be read, or names none of the recordings.
    """

    def __init__(self, source: Listing, sample: Sample) -> None:
        files = source.list()
        known = files if sample.reference is None else in_manifest(files, sample.reference)
        self._chosen = heapq.nsmallest(sample.size, known, key=lambda file: _lot(file, sample.seed))

    def list(self) -> Iterator[FileRef]:
        """Yield the sample."""
        return iter(self._chosen)


def _lot(file: FileRef, seed: int) -> tuple[bytes, str]:
    """A number that is drawn for a file, always the same for one seed."""
    text = f"{seed} {file.path}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest(), file.path


def in_manifest(files: Iterator[FileRef], reference: str) -> list[FileRef]:
    """The files that a manifest has a text for.

    Raises:
        UsageError: it cannot be read, or names none of the files.
    """
    paths = [one.path for one in read_manifest(Path(reference))]
    stems = {stem_of(path) for path in paths}
    alike = {file.path: file for file in files if stem_of(file.path) in stems}
    pairs = match(alike, paths).pairs
    if not pairs:
        raise InvalidOptionError(
            f"no recording of the source is in manifest {reference!r}, which has {paths[0]!r} and "
            "the like; it must name them as the source does, or by file names of their own"
        )
    return [file for path, file in alike.items() if path in pairs]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is left to do after a sample, and what it would take.

    Attributes:
        estimate: of the same request without the sample.
        start_s: seconds before the engines work, once a run.
        wall_s: seconds that the rest would take, the start included; None where nothing says.
        speed: seconds of audio a second while the engines work; None where the sample had nothing
            to do.
        judged_by: what `wall_s` rests on.
    """

    estimate: Estimate
    start_s: float
    wall_s: float | None
    speed: float | None
    judged_by: str


def forecast(request: Request, settings: Settings, record: RunRecord) -> Forecast:
    """List and probe what is left, and say what it would take by the sample's speed.

    The start is taken out of the sample's time: it comes once, however much there is to do.

    Args:
        request: of the sample.
        settings: those of its run.
        record: of its run.
    """
    whole = estimate(replace(request, sample=None), settings)
    measured = measured_run(record, settings)
    if measured is None:
        return Forecast(
            estimate=whole,
            start_s=0.0,
            wall_s=whole.wall_s,
            speed=None,
            judged_by=whole.judged_by,
        )
    report = measured.details["report"]
    engines = report["engines"]
    speed = measured.audio_s * engines / busy_seconds(measured)
    start_s = max(0.0, measured.wall_s - measured.audio_s / speed)
    wall_s = start_s + whole.audio_s / speed if whole.audio_s else 0.0
    return Forecast(
        estimate=whole,
        start_s=start_s,
        wall_s=wall_s,
        speed=speed,
        judged_by=f"run {measured.run_id} on {engines} engine{'s' if engines > 1 else ''}",
    )


def measured_run(record: RunRecord, settings: Settings) -> RunRecord | None:
    """The run, or where it had nothing to do, the newest like it that had; None without one."""
    if busy_seconds(record):
        return record
    with open_catalog(settings) as catalog:
        runs = catalog.runs(catalog.name(record.target))
    return next((one for one in runs if one.options == record.options and busy_seconds(one)), None)


def busy_seconds(record: RunRecord) -> float:
    """Seconds that a run's slower stage worked, of all workers together; 0 where none did."""
    report = record.details.get("report", {})
    if not (record.audio_s and report.get("engines")):
        return 0.0
    return float(max(report["engine_s"], report["read_s"]))
