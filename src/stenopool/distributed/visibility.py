"""Whether a node sees the folder of a stage: asked once a process, before it reads anything.

A bucket is the same from everywhere. A folder is what a node has mounted, and one that lacks it
would report every single file as gone.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

import ray

from stenopool.errors import NotFoundError, StorageError
from stenopool.storage import open_storage

SAMPLES: Final = 3
"""So many files of the listing are looked for; one that is there is enough."""


class Files(Protocol):
    """Path and size (bytes) of each of some files: a list of them, or columns."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[str, int]: ...


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the cluster.

    Attributes:
        node_id: Ray's id of it.
        label: what a person knows it by: host name and address.
    """

    node_id: str
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where files lie, and how another node can tell whether it sees them.

    Attributes:
        name: of the stage or source in full, such as `@DB.SCHEMA.STAGE`.
        root: a folder or URL, for `open_storage`.
        home_node: id of the node where the files were listed; nothing is checked there.
        samples: path and size (bytes) of a few files that were listed.
    """

    name: str
    root: str
    home_node: str
    samples: tuple[tuple[str, int], ...] = ()


def this_node() -> Node:
    """The node that this process runs on; Ray must be connected."""
    node_id: str = ray.get_runtime_context().get_node_id()
    return Node(node_id, f"{socket.gethostname()} ({ray.util.get_node_ip_address()})")


def sampled(files: Files, count: int = SAMPLES) -> tuple[tuple[str, int], ...]:
    """Path and size (bytes) of so many files, spread evenly over all; of fewer if there are few."""
    last, steps = len(files) - 1, max(1, count - 1)
    places = sorted({last * step // steps for step in range(count)} if last >= 0 else ())
    return tuple(files[place] for place in places)


def require_visible(place: Place, node: Node | None = None) -> None:
    """Check that a node sees the files of a place; a bucket is seen from everywhere.

    Args:
        place: where the files lie.
        node: the node that looks; None is the one of this process.

    Raises:
        StorageError: the folder is not there, or has none of the samples in their size.
    """
    if "://" not in place.root:
        _require_folder(place, node or this_node())


@lru_cache(maxsize=64)  # an error is not kept: the folder may be mounted by the next try
def _require_folder(place: Place, node: Node) -> None:
    if node.node_id == place.home_node:
        return
    if not Path(place.root).is_dir():
        reason = "there is no such folder"
    elif place.samples and not any(_is_there(place.root, *sample) for sample in place.samples):
        reason = f"{place.samples[0][0]!r} and other files of the listing are not in it"
    else:
        return
    raise StorageError(
        f"node {node.label} does not see the folder {place.root!r} of {place.name}: {reason}; "
        "put the stage in a bucket, or mount the folder on that node"
    )


def _is_there(root: str, path: str, size_bytes: int) -> bool:
    try:
        return open_storage(root).stat(path).size_bytes == size_bytes
    except NotFoundError:
        return False
