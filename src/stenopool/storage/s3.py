"""Files in an S3 bucket, or in one that speaks S3's protocol, through s3fs."""

from __future__ import annotations

import hashlib
import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

from stenopool.errors import InvalidNameError, NotFoundError, StorageError
from stenopool.model import FileRef
from stenopool.storage.bucket import BucketStorage
from stenopool.storage.paths import check_path
from stenopool.storage.retrying import persistently
from stenopool.storage.translate import translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from fsspec import AbstractFileSystem

LIST_DEADLINE_S: Final = 30.0
"""How long a page of a listing is asked for again (s)."""

_MD5: Final = re.compile("[0-9a-f]{32}")
_TAKEN: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
_VERSION_MARK: Final = "?versionId="


class S3Storage(BucketStorage):
    """Files below `s3://bucket/prefix`; endpoint and keys come from botocore's environment.

    Attributes:
        page_keys: how many objects one request lists or removes; 1,000 is the most that S3 takes.
    """

    page_keys: ClassVar[int] = 1000
    options: ClassVar[Mapping[str, Any]] = {
        # A connection that hangs is given up in time for another try; `retrying` tries again.
        "config_kwargs": {"connect_timeout": 5, "read_timeout": 10, "retries": {"max_attempts": 1}}
    }

    @cached_property
    def files(self) -> AbstractFileSystem:
        """See `BucketStorage.files`."""
        files = super().files
        if files.session is None:
            files.session = _session(files.kwargs)
            files.retries = 1  # in all: each of the three that try again multiplies the wait
        return files

    def stat(self, path: str) -> FileRef:
        """See `Storage.stat`."""
        return _reference(path, self._head(path), "ContentLength")

    def read(self, path: str) -> bytes:
        """See `Storage.read`; `open` would ask for the size first."""
        with translated(self.uri(path)):
            content: bytes = self.files.cat_file(self._key(path), max_concurrency=1)
        return content

    def clear(self) -> None:
        """See `Storage.clear`; many objects a request."""
        bucket, _, top = f"{self.base}/".partition("/")
        found = self.list()
        while batch := [
            {"Key": f"{top}{one.path}"} for one in itertools.islice(found, self.page_keys)
        ]:
            with translated(self.root):
                answer = self.files.call_s3(
                    "delete_objects", Bucket=bucket, Delete={"Objects": batch, "Quiet": True}
                )
            for failure in answer.get("Errors", ()):
                raise StorageError(f"{failure['Key']!r} was not removed: {failure['Message']}")

    def _below(self, prefix: str) -> Iterator[FileRef]:
        """Yield page by page; s3fs itself would hold a whole folder."""
        if prefix:
            with suppress(NotFoundError):
                yield self.stat(prefix)
        bucket, _, top = self.base.partition("/")
        start = "/".join(part for part in (top, prefix) if part)
        request: dict[str, str | int] = {
            "Bucket": bucket,
            "Prefix": f"{start}/" if start else "",
            "MaxKeys": self.page_keys,
        }
        page: Mapping[str, Any] | None = self._page(request)
        with ThreadPoolExecutor(1, thread_name_prefix="stenopool-list") as ahead:
            while page is not None:
                more = page.get("NextContinuationToken")
                following: Future[Mapping[str, Any]] | None = None
                for entry in page.get("Contents", ()):
                    if entry["Size"] or not entry["Key"].endswith("/"):
                        path = entry["Key"][len(top) + 1 :] if top else entry["Key"]
                        yield _reference(path, entry, "Size")
                    # Not before the first file: whoever takes only that needs no second page.
                    if more and following is None:
                        following = ahead.submit(self._page, {**request, "ContinuationToken": more})
                if more and following is None:  # a page may be empty and not the last
                    following = ahead.submit(self._page, {**request, "ContinuationToken": more})
                page = following.result() if following else None

    def _page(self, request: Mapping[str, str | int]) -> Mapping[str, Any]:
        def ask() -> Mapping[str, Any]:
            with translated(f"s3://{request['Bucket']}/{request['Prefix']}".rstrip("/")):
                page: Mapping[str, Any] = self.files.call_s3("list_objects_v2", **request)
            return page

        return persistently(ask, deadline_s=LIST_DEADLINE_S)

    def _key(self, path: str) -> str:
        if _VERSION_MARK in path:
            raise InvalidNameError(f"{path!r}: s3fs takes '{_VERSION_MARK}' for a version's mark")
        return super()._key(path)

    def _head(self, path: str) -> Mapping[str, Any]:
        bucket, _, key = f"{self.base}/{check_path(path)}".partition("/")
        with translated(self.uri(path)):
            answer: Mapping[str, Any] = self.files.call_s3("head_object", Bucket=bucket, Key=key)
        return answer

    def _same(self, local: Path, path: str) -> bool:
        """Compare with the ETag where it is an MD5, and read the object where it is not."""
        head = self._head(path)
        etag: str = head["ETag"].strip('"')
        encrypted = head.get("ServerSideEncryption", "AES256") != "AES256"
        if encrypted or "SSECustomerAlgorithm" in head or not _MD5.fullmatch(etag):
            return super()._same(local, path)
        with local.open("rb") as file:
            return (
                hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
                == etag
            )

    def _write(self, local: Path, path: str, *, overwrite: bool) -> None:
        with translated(self.uri(path)):
            try:
                mode = "overwrite" if overwrite else "create"
                self.files.put_file(str(local), self._key(path), mode=mode)
            except OSError as error:
                if _code(error) in _TAKEN:
                    raise FileExistsError(self.uri(path)) from error
                if overwrite or _code(error) != "NotImplemented":
                    raise
                # A service without conditional writes: there, a race is lost silently.
                self.files.put_file(str(local), self._key(path))


def _session(options: Mapping[str, Any]) -> object:
    """The session that s3fs would make itself, with a quick reader of times.

    botocore's own takes three quarters of the time of a listing.
    """
    from aiobotocore.session import AioSession  # type: ignore[import-untyped]

    session = AioSession(**options)
    parsers = session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=_moment)
    return session


def _moment(value: str | float) -> datetime:
    """A time as a listing or a header has it; any other form is left to botocore."""
    from botocore.utils import parse_timestamp  # type: ignore[import-untyped]

    for read in (datetime.fromisoformat, parsedate_to_datetime):
        with suppress(ValueError):
            return read(str(value))
    moment: datetime = parse_timestamp(value)
    return moment


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


def _code(error: OSError) -> str:
    """The service's own name for an error that s3fs made an OSError of."""
    response = getattr(error.__cause__, "response", {})
    return str(response.get("Error", {}).get("Code", ""))


def _reference(path: str, entry: Mapping[str, Any], size: str) -> FileRef:
    return FileRef(
        path=path,
        size_bytes=entry[size],
        etag=entry["ETag"].strip('"'),
        modified_at=entry["LastModified"].astimezone(UTC),
    )
