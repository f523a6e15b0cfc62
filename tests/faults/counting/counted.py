"""An engine that writes down what it has done: one line a window in the file that COUNTED names.

Python finds it as an installed engine where this folder is on PYTHONPATH; the tests put it there.
"""

import hashlib
import os

from stenopool.asr import ctranslate2

describe = ctranslate2.describe


def load(options, settings, device="auto", threads=0):
    return Counted(ctranslate2.load(options, settings, device, threads))


class Counted:
    name = "counted"

    def __init__(self, engine):
        self._engine = engine
        self.info = engine.info
        self.max_batch = engine.max_batch
        self.detect_languages = engine.detect_languages

    def transcribe(self, windows, options, languages):
        results = self._engine.transcribe(windows, options, languages)
        lines = [hashlib.blake2b(w.tobytes(), digest_size=8).hexdigest() + "\n" for w in windows]
        file = os.open(os.environ["COUNTED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, "".join(lines).encode())  # in one piece, whoever else writes
        os.close(file)
        return results
