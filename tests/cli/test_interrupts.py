import os
import signal
from contextlib import suppress

import pytest

from stenopool.cli.transcribe import interrupts


class Cleaning:
    """Python forgets what is raised here, as in the references of libraries."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        os.kill(os.getpid(), self.number)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_was_swallowed_is_raised_at_the_next_step(number):
    before = signal.getsignal(number)
    with interrupts() as check:
        check()
        with suppress(KeyboardInterrupt):
            Cleaning(number)
        with pytest.raises(KeyboardInterrupt):
            check()
    assert signal.getsignal(number) is before
