"""Reads that outlast passing trouble: throttling, a server's own errors, cut connections."""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING, Any, Final, TypeVar

import tenacity

from stenopool.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from stenopool.storage.base import Storage

DEADLINE_S: Final = 120.0
"""How long one read is tried again before its last error counts (s)."""

_FIRST_WAIT_S: Final = 0.2
_LONGEST_WAIT_S: Final = 20.0

_PASSING_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

_PASSING_CODES: Final = frozenset(
    {"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling"}
    | {"ThrottlingException", "TooManyRequests"}
)
"""S3's names for trouble that passes; some come with a status that would say otherwise."""

_PASSING_CLASSES: Final = frozenset(
    {"ClientConnectionError", "ClientPayloadError", "ConnectionError", "FlexibleChecksumError"}
    | {"HTTPClientError"}
    | {"IncompleteRead", "IncompleteReadError", "ResponseStreamingError", "TimeoutError"}
)
"""Cut connections and time-outs as Python, aiohttp and botocore call them."""

_PASSING_NUMBERS: Final = frozenset(
    {errno.EAGAIN, errno.EBUSY, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ESTALE}
)

T = TypeVar("T")

_tries_again = 0


def tries_again() -> int:
    """How often this process has tried something again since it began."""
    return _tries_again


def _count(_: tenacity.RetryCallState) -> None:
    global _tries_again
    _tries_again += 1


def persistently(call: Callable[[], T], *, deadline_s: float = DEADLINE_S) -> T:
    """What `call` returns, called again after a growing pause while its error is a passing one.

    Args:
        call: may run several times.
        deadline_s: no new attempt starts later than this (s).

    Raises:
        StorageError: the trouble did not pass; any other error comes from the first attempt.
    """
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_passing),
        wait=tenacity.wait_random_exponential(_FIRST_WAIT_S, max=_LONGEST_WAIT_S),
        stop=tenacity.stop_after_delay(deadline_s),
        before_sleep=_count,
    )
    try:
        return attempts(call)
    except tenacity.RetryError as error:
        last = error.last_attempt.exception()
        tries = error.last_attempt.attempt_number
        raise StorageError(f"{last} (tried {tries} times in {deadline_s:.0f} s)") from last


def is_passing(error: BaseException) -> bool:
    """Whether an error of a storage, or what caused it, may be gone a moment later."""
    if not isinstance(error, StorageError | OSError):
        return False
    seen: BaseException | None = error
    while seen is not None:
        if _passes(seen):
            return True
        seen = seen.__cause__
    return False


def _passes(error: BaseException) -> bool:
    response: Any = getattr(error, "response", None)  # botocore's, a dictionary
    status = getattr(error, "status", None) or getattr(error, "code", None)
    if isinstance(response, dict):
        if response.get("Error", {}).get("Code") in _PASSING_CODES:
            return True
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    names = {kind.__name__ for kind in type(error).__mro__}
    number = getattr(error, "errno", None)
    return status in _PASSING_STATUS or bool(names & _PASSING_CLASSES) or number in _PASSING_NUMBERS


def read_persistently(storage: Storage, path: str, *, deadline_s: float = DEADLINE_S) -> bytes:
    """All bytes of a file; see `Storage.read` and `persistently`."""
    return persistently(lambda: storage.read(path), deadline_s=deadline_s)


class PersistentReader(io.BufferedIOBase):
    """An open file that is opened anew, at the same place, after passing trouble.

    Args:
        storage: holds the file.
        path: of the file.
        deadline_s: as in `persistently`, for each read.
        on_read: called after each read.
    """

    def __init__(
        self,
        storage: Storage,
        path: str,
        *,
        deadline_s: float = DEADLINE_S,
        on_read: Callable[[], None] = lambda: None,
    ) -> None:
        self._storage = storage
        self._path = path
        self._deadline_s = deadline_s
        self._on_read = on_read
        self._place = 0
        self._inner: BinaryIO | None = None
        self._persist(self._opened)

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes; all that is left where it is None or negative."""
        found = self._persist(lambda: self._opened().read(-1 if size is None else size))
        self._place += len(found)
        self._on_read()
        return found

    def read1(self, size: int = -1, /) -> bytes:
        """Read up to `size` bytes, a few at a time where it is negative."""
        return self.read(size if size >= 0 else io.DEFAULT_BUFFER_SIZE)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to `offset` bytes from the start, the present place or the end."""
        if whence == os.SEEK_CUR:
            offset, whence = self._place + offset, os.SEEK_SET
        self._place = self._persist(lambda: self._opened().seek(offset, whence))
        return self._place

    def tell(self) -> int:
        """The present place, in bytes from the start."""
        return self._place

    def close(self) -> None:
        """Close the file."""
        self._let_go()
        super().close()

    def _persist(self, call: Callable[[], T]) -> T:
        def attempt() -> T:
            try:
                return call()
            except Exception:
                self._let_go()
                raise

        return persistently(attempt, deadline_s=self._deadline_s)

    def _opened(self) -> BinaryIO:
        if self._inner is None:
            self._inner = self._storage.open(self._path)
            if self._place:
                self._inner.seek(self._place)
        return self._inner

    def _let_go(self) -> None:
        if self._inner is not None:
            self._inner.close()
        self._inner = None
