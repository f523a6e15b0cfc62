"""Turns the errors of operating system and storage services into ours, once, at the border."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from stenopool.errors import (
    AccessDeniedError,
    InvalidNameError,
    NotFoundError,
    StenopoolError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVICE_LIBRARIES: Final = frozenset(
    {"aiobotocore", "aiohttp", "adlfs", "azure", "botocore", "gcsfs", "google"}
)
"""What storage services' clients raise beside OSError; any other error is a fault of ours."""

_NO_LOGIN: Final = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ProfileNotFound"}
)

DISK_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""What a disk says that takes nothing more; for the user to mend, and no defect of ours."""

AFTER_DISK_ERROR: Final = (
    "mend that, or name another folder with STENOPOOL_HOME or STENOPOOL_WAREHOUSE (the same "
    "command goes on with what was committed)"
)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Translate errors that concern `what`; `FileExistsError` passes, its catcher knows more.

    Raises:
        NotFoundError: it is not there.
        InvalidNameError: it is a symbolic link to itself.
        AccessDeniedError: this user may not, or did not say who they are.
        StorageError: anything else that the system or the service reports.
    """
    try:
        yield
    except (StenopoolError, FileExistsError):
        raise
    except Exception as error:
        ours = _of_system(what, error) if isinstance(error, OSError) else _of_service(what, error)
        if ours is None:
            raise
        raise ours from error


def _of_system(what: str, error: OSError) -> StenopoolError:
    """The error of ours for one that the operating system, or fsspec in its words, reports."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotFoundError(f"{what!r} does not exist")
    if isinstance(error, IsADirectoryError):
        return NotFoundError(f"{what!r} is a folder; name a file")
    if isinstance(error, PermissionError):
        return AccessDeniedError(f"{what!r}: access denied ({_reason(error)})")
    if error.errno == errno.ELOOP:
        return InvalidNameError(f"{what!r} is a link that leads nowhere")
    if error.errno in DISK_ERRORS:
        return StorageError(f"{what!r} could not be written: {_reason(error)}; {AFTER_DISK_ERROR}")
    return StorageError(f"{what!r}: {_reason(error)}")


def _of_service(what: str, error: Exception) -> StenopoolError | None:
    """The error of ours for one of a service's client; None for a fault of the program."""
    if type(error).__module__.partition(".")[0] not in _SERVICE_LIBRARIES:
        return None
    if type(error).__name__ in _NO_LOGIN:
        return AccessDeniedError(
            f"{what!r}: no credentials were found; set those of the service, such as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    status = getattr(error, "status", None) or getattr(error, "code", None)
    if status in (404, 410):
        return NotFoundError(f"{what!r} does not exist")
    if status in (401, 403):
        return AccessDeniedError(f"{what!r}: access denied ({_reason(error)})")
    return StorageError(f"{what!r}: {_reason(error)}")


def _reason(error: Exception) -> str:
    """The error's own words on one line; its class where it has none."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split()) or type(error).__name__
