"""Makes recordings of some names break the process that opens them, as a decoder's fault would.

Python imports this file where its folder is on PYTHONPATH; the tests put it there.
"""

import os
import signal
import sys
import time
from pathlib import Path

CHUNK = 64 << 20


def misbehave(event, arguments):
    if event != "open" or not isinstance(arguments[0], str):
        return
    name = Path(arguments[0]).name
    if name == "crash.wav":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif name == "hang.wav":
        time.sleep(10**6)
    elif name == "hungry.wav":
        held = []
        while True:
            held.append(b"x" * CHUNK)


sys.addaudithook(misbehave)
