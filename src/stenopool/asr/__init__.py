"""Windows in, segments out: engines, their models, and subtitles from what they said."""

from stenopool.asr.engine import Engine, describe_model, engine_names, load_engine
from stenopool.asr.hub import fetch_model
from stenopool.asr.models import KnownModel, known_models
from stenopool.asr.subtitles import to_json, to_srt, to_tsv, to_txt, to_vtt
from stenopool.asr.verify import Check, verify_model

__all__ = [
    "Check",
    "Engine",
    "KnownModel",
    "describe_model",
    "engine_names",
    "fetch_model",
    "known_models",
    "load_engine",
    "to_json",
    "to_srt",
    "to_tsv",
    "to_txt",
    "to_vtt",
    "verify_model",
]
