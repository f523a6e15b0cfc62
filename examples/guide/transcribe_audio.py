"""Transcribe a stage of recordings with Whisper from the transformers library, on five nodes.

The stage must be there and filled: `upload.sh` does that. WHISPER_MODEL names a model of the hub or
a folder with one.
"""

from __future__ import annotations

import io
import os

import av
import numpy as np
import pandas as pd
import ray

from snowflake.ml.ray.datasink import SnowflakeTableDatasink
from snowflake.ml.ray.datasource import SFStageBinaryFileDataSource
from snowflake.ml.runtime_cluster import get_nodes, scale_cluster

DATABASE, SCHEMA = "AUDIO_DB", "TRANSCRIPTION"
STAGE, TABLE = "@RECORDINGS/", "TRANSCRIPTS"
MODEL = os.environ.get("WHISPER_MODEL", "openai/whisper-large-v3")
NODES = 5
BATCH = 30
SAMPLE_RATE = 16_000


class Whisper:
    """One Whisper on one GPU; Ray makes one of these on each node."""

    def __init__(self) -> None:
        import torch
        from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor, pipeline

        on_gpu = torch.cuda.is_available()
        processor = AutoProcessor.from_pretrained(MODEL)
        self.recognise = pipeline(
            "automatic-speech-recognition",
            model=AutoModelForSpeechSeq2Seq.from_pretrained(MODEL),
            tokenizer=processor.tokenizer,
            feature_extractor=processor.feature_extractor,
            dtype=torch.float16 if on_gpu else torch.float32,
            device="cuda:0" if on_gpu else "cpu",
        )

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        audio = [
            {"raw": decode(data), "sampling_rate": SAMPLE_RATE} for data in batch["file_binary"]
        ]
        found = self.recognise(
            audio,
            batch_size=BATCH,
            return_timestamps=True,
            generate_kwargs={"language": "english", "max_new_tokens": 128},
        )
        batch["outputs"] = [result["text"].strip() for result in found]
        return batch.drop(columns="file_binary")


def decode(data: bytes) -> np.ndarray:
    """The sound of a file as float32, shape (n_samples,), range [-1, 1], mono, 16 kHz."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    with av.open(io.BytesIO(data)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def main() -> None:
    """Scale up, read the stage, transcribe, write the table."""
    ray.init(ignore_reinit_error=True)
    scale_cluster(NODES)
    print(f"{len(get_nodes())} nodes, {int(ray.cluster_resources()['GPU'])} GPUs")

    source = SFStageBinaryFileDataSource(
        stage_location=STAGE,
        database=DATABASE,
        schema=SCHEMA,
        file_pattern="*.wav",
        include_paths=True,
    )
    recordings = ray.data.read_datasource(source)
    print(f"{recordings.count()} recordings")

    transcripts = recordings.map_batches(
        Whisper, batch_size=BATCH, batch_format="pandas", num_gpus=1, concurrency=NODES
    )
    sink = SnowflakeTableDatasink(
        table_name=TABLE, database=DATABASE, schema=SCHEMA, auto_create_table=True, override=True
    )
    transcripts.write_datasink(sink)
    scale_cluster(1)


if __name__ == "__main__":
    main()
