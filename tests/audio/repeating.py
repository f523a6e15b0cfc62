"""Reads short recordings of many formats again and again; prints the memory held meanwhile.

python -m audio.repeating COUNT
"""

from __future__ import annotations

import io
import json
import sys
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from memory import while_doing
from stenopool.audio import read_units

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDINGS = Path(__file__).parents[2] / "src" / "stenopool" / "data" / "recordings"


def windows() -> Iterator[None]:
    """A window for each step."""
    files = [
        path.read_bytes() for path in sorted(RECORDINGS.rglob("*.*")) if ".csv" not in path.name
    ]
    for data in cycle(files):
        for unit in read_units(io.BytesIO(data)):
            yield from [None] * len(unit.windows)


if __name__ == "__main__":
    print(json.dumps(while_doing(windows(), int(sys.argv[1]))))  # noqa: T201
