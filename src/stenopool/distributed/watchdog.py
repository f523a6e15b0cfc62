"""The process that ends another one which takes too long; it knows nothing of its work.

Run as `python watchdog.py PID` by the process `PID`, which writes to its standard input how many
seconds from now on it may take; 0 for as long as it likes. A thread could not do this: a library
may hold Python's lock, and a process that was stopped runs no thread.
"""

import os
import select
import signal
import sys


def is_overdue(pipe: int) -> bool:
    """Read deadlines from a pipe until one passes (True) or the pipe is closed (False)."""
    seconds = 0.0
    while True:
        ready, _, _ = select.select([pipe], [], [], seconds or None)
        if not ready:
            return True
        text = os.read(pipe, 1 << 16)
        if not text:
            return False
        seconds = float(text.split()[-1])


def main() -> None:
    """Watch the parent, and kill it when it is overdue."""
    parent = int(sys.argv[1])
    if is_overdue(0) and os.getppid() == parent:
        os.kill(parent, signal.SIGKILL)


if __name__ == "__main__":
    main()
