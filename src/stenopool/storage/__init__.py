"""Where bytes lie: one way to list, open, put and remove files in a folder or a bucket."""

from stenopool.storage.base import Storage, placing
from stenopool.storage.opening import open_storage
from stenopool.storage.paths import matches
from stenopool.storage.translate import translated

__all__ = ["Storage", "matches", "open_storage", "placing", "translated"]
