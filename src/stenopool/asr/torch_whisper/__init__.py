"""Whisper in torch alone: the arithmetic of the `torch` engine.

::

    folder ─▶ weights ─▶ log_mel ─▶ encoder ─▶ decoder, with attention over caches
                                                  │ logits
                                     slots ◀── choosing ◀── rules
                                       │
                                     words (alignment)

Modules here import torch at their top; nothing outside the folder imports them but
`stenopool.asr.torch_engine`, inside its functions.
"""
