"""The versions that the nodes of one cluster must have in common.

``python -m stenopool.distributed.clusters.environment`` prints them, for the other end of an SSH
connection to compare with its own.
"""

from __future__ import annotations

import json
import platform
from importlib.metadata import version


def versions() -> dict[str, str]:
    """Of Python and of the packages that talk to each other."""
    packages = {name: version(name) for name in ("ray", "stenopool")}
    return {"python": platform.python_version(), **packages}


if __name__ == "__main__":
    print(json.dumps(versions()))  # noqa: T201 - it is read by a program
