"""The command line as processes of their own, which tests may break."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager


@contextmanager
def commands(home):
    """`start(*words, **variables)`: start `stenopool` with this home; killed at the end."""
    started = []

    def start(*words, **variables):
        process = subprocess.Popen(
            [sys.executable, "-m", "stenopool", *map(str, words)],
            env={**os.environ, "STENOPOOL_HOME": str(home), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
