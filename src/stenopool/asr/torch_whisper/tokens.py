"""A model's special tokens, and what its generation_config.json says of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stenopool.asr.timestamps import LATEST_START
from stenopool.asr.torch_models import ENGLISH_ONLY_VOCABULARY
from stenopool.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class SpecialTokens:
    """Ids of tokens that are no text.

    Attributes:
        end: `<|endoftext|>`; text has lower ids, all others are special.
        start: `<|startoftranscript|>`.
        previous: `<|startofprev|>`, in front of a prompt.
        language_model: `<|startoflm|>`; unused.
        no_speech: `<|nospeech|>`, called `<|nocaptions|>` in some models.
        no_timestamps: `<|notimestamps|>`; the token behind it is that for 0.00 s.
        tasks: by name, `transcribe` and `translate`.
        languages: by code, such as `en`; empty in a model for English alone.
        suppressed: what never comes, beside the special ones.
        suppressed_first: what never comes first: a blank, and the end.
        latest_start: the first timestamp is at most so many steps of 0.02 s in.
    """

    end: int
    start: int
    previous: int
    language_model: int
    no_speech: int
    no_timestamps: int
    tasks: Mapping[str, int]
    languages: Mapping[str, int]
    suppressed: Sequence[int] = ()
    suppressed_first: Sequence[int] = ()
    latest_start: int = LATEST_START

    @property
    def timestamp_begin(self) -> int:
        """The token for 0.00 s."""
        return self.no_timestamps + 1

    @property
    def never(self) -> set[int]:
        """What never comes: the suppressed ones, and special ones that open something."""
        special = (self.start, self.previous, self.language_model, self.no_speech)
        return {*self.suppressed, *special, *self.tasks.values()}

    def opening(self, language: str, task: str, *, timestamps: bool = True) -> tuple[int, ...]:
        """What every transcript begins with; a model for English alone knows no other opening."""
        chosen = (self.languages[language], self.tasks[task]) if self.languages else ()
        return (self.start, *chosen, *(() if timestamps else (self.no_timestamps,)))

    @classmethod
    def read(
        cls, tokenizer: Tokenizer, generation: Mapping[str, Any], vocabulary: int
    ) -> SpecialTokens:
        """Read them out of a tokenizer and a generation_config.json.

        Raises:
            ModelError: the tokenizer is not that of the model.
        """
        found = {name: tokenizer.token_to_id(f"<|{name}|>") for name in _NAMES}
        found["no_speech"] = found.pop("nospeech", None) or found.pop("nocaptions", None)
        ids = {name: number for name, number in found.items() if number is not None}
        if len(ids) < len(_NAMES) - 1 or tokenizer.get_vocab_size() > vocabulary:
            raise ModelError(
                "tokenizer.json does not belong to the model; fetch or copy both again"
            )
        languages = {}
        if vocabulary > ENGLISH_ONLY_VOCABULARY:
            # The tokens between these two are those of the languages.
            for number in range(ids["startoftranscript"] + 1, ids["translate"]):
                languages[str(tokenizer.id_to_token(number))[2:-2]] = number

        def known(name: str) -> tuple[int, ...]:
            # Some files say -1, which in openai/whisper stands for all of its own list.
            return tuple(token for token in generation.get(name) or () if 0 <= token < vocabulary)

        return cls(
            end=ids["endoftext"],
            start=ids["startoftranscript"],
            previous=ids["startofprev"],
            language_model=ids["startoflm"],
            no_speech=ids["no_speech"],
            no_timestamps=ids["notimestamps"],
            tasks={name: ids[name] for name in ("transcribe", "translate")},
            languages=languages,
            suppressed=known("suppress_tokens"),
            suppressed_first=known("begin_suppress_tokens"),
            latest_start=generation.get("max_initial_timestamp_index") or LATEST_START,
        )


_NAMES: Final = (
    "endoftext",
    "startoftranscript",
    "startofprev",
    "startoflm",
    "nospeech",
    "nocaptions",
    "notimestamps",
    "transcribe",
    "translate",
)
