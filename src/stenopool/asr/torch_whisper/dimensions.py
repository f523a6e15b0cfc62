"""The sizes of a Whisper model, as its config.json has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stenopool.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Dimensions:
    """Sizes; the names in config.json are given in brackets.

    Attributes:
        mels: bins of the spectrogram (`num_mel_bins`): 80, or 128 from large-v3 on.
        width: of the residual stream (`d_model`).
        encoder_heads: attention heads of an encoder layer (`encoder_attention_heads`).
        decoder_heads: likewise (`decoder_attention_heads`).
        encoder_layers: (`encoder_layers`).
        decoder_layers: (`decoder_layers`).
        vocabulary: tokens (`vocab_size`): 51,864 for English alone, 51,865 and 51,866 else.
        frames: positions of the encoder (`max_source_positions`): 1,500, half of the spectrogram's.
        positions: of the decoder (`max_target_positions`): 448.
    """

    mels: int
    width: int
    encoder_heads: int
    decoder_heads: int
    encoder_layers: int
    decoder_layers: int
    vocabulary: int
    frames: int
    positions: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Dimensions:
        """Read the sizes out of a config.json.

        Raises:
            ModelError: it is not that of a Whisper model.
        """
        try:
            return cls(
                mels=config["num_mel_bins"],
                width=config["d_model"],
                encoder_heads=config["encoder_attention_heads"],
                decoder_heads=config["decoder_attention_heads"],
                encoder_layers=config["encoder_layers"],
                decoder_layers=config["decoder_layers"],
                vocabulary=config["vocab_size"],
                frames=config["max_source_positions"],
                positions=config["max_target_positions"],
            )
        except KeyError as error:
            raise ModelError(
                f"config.json has no {error}: it is not that of a Whisper model in "
                "Transformers' format"
            ) from error
