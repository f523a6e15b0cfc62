"""Everything that runs on Ray, and the only folder that imports it.

`run.transcribe` is the main flow; `planning`, `reading`, `transcribing` and `collecting` are its
stages, in that order.
"""
