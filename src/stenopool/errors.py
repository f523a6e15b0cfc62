"""Every error that Stenopool raises on purpose, in one tree.

::

    StenopoolError                    the root; the command line prints its text and nothing else
    ├── UsageError                    the caller can mend it; exit code 2
    │   ├── InvalidNameError          a name, path or URL that cannot be one
    │   ├── InvalidOptionError        an option out of its range, or two that do not go together
    │   ├── NotFoundError             a stage, table, model, run or file that does not exist
    │   ├── AlreadyExistsError        something of that name is there already
    │   ├── MissingExtraError         an optional part of the package is not installed
    │   ├── RunBusyError              another process is at the same run
    │   └── SqlError                  a query that cannot be read, or names what is not there
    ├── StorageError                  bytes could not be listed, read or written
    │   ├── AccessDeniedError         the storage says that this user may not
    │   └── ChangedError              another write changed it meanwhile
    ├── CatalogError                  the catalog could not be reached, or refused a change
    │   └── CatalogBusyError          it is locked or away; a moment later it may not be
    ├── ModelError                    a model's files are missing, damaged or not to be had
    ├── EngineError                   an engine could not be loaded or stopped working
    ├── ClusterError                  a cluster could not be reached, started or scaled
    ├── RunFailedError                a run could not be finished; exit code 3
    └── RecordingError                one recording: it becomes a row, never the end of a run
        ├── UnreadableError           `unreadable`: audio is there, but it cannot be decoded
        ├── NotAudioError             `not_audio`: no known container of sound
        ├── NoAudioStreamError        `no_audio_stream`: a container without a sound track
        ├── TooLongError              `too_long`: more sound than a recording may have
        ├── VanishedError             `vanished`: listed, but gone when it was opened
        ├── PermissionDeniedError     `permission`: listed, but may not be read
        ├── RecordingStorageError     `storage`: the storage failed while it was read
        ├── RecordingEngineError      `engine`: the engine failed on it
        ├── CrashedError              `crashed`: it ended the process that had it in hand
        ├── OutOfMemoryError          `out_of_memory`: it wanted more memory than there is
        └── TimedOutError             `timed_out`: it came to no end

Every class takes its text alone, so that it survives pickling: an error that cannot cross a
process is lost inside Ray. Foreign errors are translated once, at the border, with their cause.
"""

from typing import ClassVar


class StenopoolError(Exception):
    """The root of every error that Stenopool raises on purpose."""


class UsageError(StenopoolError):
    """Something that the caller can mend; the text names the thing and the next step."""


class InvalidNameError(UsageError):
    """A name, path or URL that cannot be one."""


class InvalidOptionError(UsageError):
    """An option out of its range, or two options that do not go together."""


class NotFoundError(UsageError):
    """A stage, table, model, run or file that does not exist."""


class AlreadyExistsError(UsageError):
    """Something of that name is there already."""


class MissingExtraError(UsageError):
    """An optional part of the package is not installed; the text says which to install."""


class RunBusyError(UsageError):
    """Another process is at the same run; the text says which."""


class SqlError(UsageError):
    """A query that cannot be read, is not allowed, or names what is not there."""


class StorageError(StenopoolError):
    """Bytes could not be listed, read or written."""


class AccessDeniedError(StorageError):
    """The storage says that this user may not; the text names the path."""


class ChangedError(StorageError):
    """Another write changed the place meanwhile; the same write again may succeed."""


class CatalogError(StenopoolError):
    """The catalog could not be reached, or refused a change."""


class CatalogBusyError(CatalogError):
    """The catalog is locked or away; the same call may succeed a moment later."""


class ModelError(StenopoolError):
    """A model's files are missing, damaged or not to be had."""


class EngineError(StenopoolError):
    """An engine could not be loaded, or stopped working."""


class ClusterError(StenopoolError):
    """A cluster could not be reached, started or scaled; the text names it."""


class RunFailedError(StenopoolError):
    """A run could not be finished; what was done is kept, the table's readers see none of it."""


class RecordingError(StenopoolError):
    """One recording could not be transcribed.

    Such an error becomes the recording's row: `error_class` fills the column of the same name,
    the text fills `error`.
    """

    error_class: ClassVar[str] = "engine"


class UnreadableError(RecordingError):
    """Audio is there, but it cannot be decoded."""

    error_class = "unreadable"


class NotAudioError(RecordingError):
    """No known container of sound: an empty file, a text, a picture."""

    error_class = "not_audio"


class NoAudioStreamError(RecordingError):
    """A container without a sound track, or with one that has no channel."""

    error_class = "no_audio_stream"


class TooLongError(RecordingError):
    """The recording has more sound than a recording may have."""

    error_class = "too_long"


class VanishedError(RecordingError):
    """The recording was listed, but is gone now."""

    error_class = "vanished"


class PermissionDeniedError(RecordingError):
    """The recording was listed, but may not be read."""

    error_class = "permission"


class RecordingStorageError(RecordingError):
    """The storage failed while the recording was read."""

    error_class = "storage"


class RecordingEngineError(RecordingError):
    """The engine failed on this recording."""

    error_class = "engine"


class CrashedError(RecordingError):
    """The recording ended the process that had it in hand, also when it was alone there."""

    error_class = "crashed"


class OutOfMemoryError(RecordingError):
    """The recording wanted more memory than there is."""

    error_class = "out_of_memory"


class TimedOutError(RecordingError):
    """Work on the recording came to no end in the time that it may take."""

    error_class = "timed_out"
