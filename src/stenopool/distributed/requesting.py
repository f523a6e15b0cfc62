"""What a user asks a run for: checked, kept so that it can be taken up again, and told apart."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stenopool.asr import describe_model
from stenopool.catalog import resolve_source
from stenopool.distributed.addressing import delivery_to, table_of
from stenopool.errors import InvalidOptionError, RecordingError
from stenopool.model import RunRecord, TranscribeOptions
from stenopool.processes import ProcessId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stenopool.catalog import Catalog, ObjectName, Source
    from stenopool.distributed.delivering import Delivery
    from stenopool.model import ModelInfo
    from stenopool.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Some of a source's recordings in place of all of them.

    Attributes:
        size: how many.
        seed: the same one chooses the same recordings.
        reference: a manifest of this machine; only recordings that it names are chosen. None
            chooses among all.
    """

    size: int
    seed: int = 0
    reference: str | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks for.

    Attributes:
        source: `@STAGE/path`, a folder, a glob, or a URL.
        target: a table of the catalog, with one to three parts, or another destination; see
            `kind_of`. It may hold a password.
        options: everything that changes what a transcript says.
        patterns: shell wildcards; a file that matches one is taken; none takes all.
        overwrite: whether what has a transcript is transcribed again, replacing its row.
        limit: at most so many recordings; None for all.
        sample: recordings that stand for all of them; None for all.
        live: whether rows are shown to the table's readers as they come, and not at the end.
        retried: the run whose failures are done again, and they alone; None for a run of its own.
        classes: of these failures, those of these classes; none takes all.
    """

    source: str
    target: str
    options: TranscribeOptions = field(default_factory=TranscribeOptions)
    patterns: tuple[str, ...] = ()
    overwrite: bool = False
    limit: int | None = None
    sample: Sample | None = None
    live: bool = False
    retried: str | None = None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Job:
    """A request whose parts were found to be there."""

    request: Request
    source: Source
    target: ObjectName
    model: ModelInfo
    delivery: Delivery | None


def check(request: Request, settings: Settings, catalog: Catalog) -> Job:
    """Check everything that can be checked before work starts.

    Raises:
        UsageError: source, table, destination, model or option is wrong.
    """
    delivery = delivery_to(request.target, settings, overwrite=request.overwrite)
    return Job(
        request=request,
        source=resolve_source(request.source, request.patterns, catalog, settings),
        target=table_of(request.target, delivery, settings),
        model=describe_model(request.options, settings),
        delivery=delivery,
    )


def kept_request(job: Job) -> dict[str, Any]:
    """What `request_of` needs; no destination, since it may hold a password."""
    request = job.request
    source = request.source
    if not source.startswith("@") and "://" not in source:
        source = os.path.abspath(os.path.expanduser(source))  # noqa: PTH100, PTH111 - may be a glob
    return {
        "source": source,
        "target": None if job.delivery else str(job.target),
        "patterns": list(request.patterns),
        "overwrite": request.overwrite,
        "limit": request.limit,
        "sample": asdict(request.sample) if request.sample else None,
        "live": request.live,
        "retried": request.retried,
        "classes": list(request.classes),
    }


def request_of(record: RunRecord) -> Request:
    """The request of a run that was kept.

    Raises:
        InvalidOptionError: the run has a destination outside the catalog, or is too old.
    """
    kept = record.details.get("request")
    if not kept or kept["target"] is None:
        raise InvalidOptionError(
            f"run {record.run_id} cannot be taken up by its name alone (a destination may hold a "
            "password, and is not kept); give its `stenopool transcribe` command again"
        )
    lists = {name: tuple(kept[name]) for name in ("patterns", "classes")}
    options = TranscribeOptions(**json.loads(record.options))
    chosen = Sample(**kept["sample"]) if kept.get("sample") else None
    return Request(**{**kept, **lists, "options": options, "sample": chosen})


def retry_of(record: RunRecord, classes: tuple[str, ...]) -> Request:
    """The request that does a run's failures again.

    Args:
        record: of the run.
        classes: of failures; none takes all.

    Raises:
        InvalidOptionError: there is no such class, or the run cannot be taken up by its name.
    """
    known = {kind.error_class for kind in RecordingError.__subclasses__()}
    if unknown := sorted(set(classes) - known):
        raise InvalidOptionError(
            f"there is no class '{unknown[0]}'; the classes are {', '.join(sorted(known))}"
        )
    request = request_of(record)
    return replace(
        request,
        retried=record.run_id,
        classes=classes,
        overwrite=False,
        limit=None,
        sample=None,
    )


def lease_name(job: Job) -> str:
    """What two processes cannot do at once: the same recordings into the same table, alike."""
    what = [source_text(job.source), str(job.target), job.request.options.canonical_json()]
    text = json.dumps([*what, _kind(kept_request(job))])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _kind(kept: Mapping[str, Any]) -> list[object]:
    """What makes two requests for the same recordings, as they are kept, different runs."""
    chosen = [kept.get(name) for name in ("overwrite", "live", "retried", "sample")]
    return [*chosen, sorted(kept.get("classes", ()))]


def source_text(source: Source) -> str:
    """The source as the list of runs shows it: its name, the path below it and the patterns."""
    below = "/".join(part for part in (source.name, source.prefix) if part)
    return " ".join(part for part in (below, source.glob, *source.patterns) if part)


def new_run_id() -> str:
    """An id that sorts by time and is not given twice."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def interrupted_run(catalog: Catalog, job: Job) -> RunRecord | None:
    """The newest run of the same request that ended early, or whose process is gone."""
    wanted = _kind(kept_request(job))
    source, options = source_text(job.source), job.request.options.canonical_json()
    for record in catalog.runs(job.target):
        if record.state == "succeeded" or (record.source, record.options) != (source, options):
            continue
        if _kind(record.details.get("request", {})) == wanted:
            return record
    return None


def is_alive(record: RunRecord) -> bool:
    """Whether the process of a run that says `running` may still be at it."""
    if record.state != "running":
        return False
    details = record.details
    process = ProcessId(
        host=details.get("host", ""),
        pid=details.get("pid", 0),
        started=details.get("process_started", 0.0),
    )
    return not process.is_here or process.is_alive()
