"""Train the demo model: a small Whisper that reads digits and the words of an order line.

It goes on from the weights of a folder in transformers' format, or from random ones with
`--from-scratch`. Short windows come first, because attention learns to follow speech in them at a
fraction of the cost; the second half sees the full 30 s that the encoder has in use.

    python tools/train_demo_model.py --base DIGITS_MODEL --digits DIGIT_RECORDINGS --out OUT

Convert the result with CTranslate2's `ct2-transformers-converter --quantization int8`.
"""

import argparse
import json
import logging
import pickle
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from spoken_words import DIGITS, SAMPLE_RATE_HZ
from training_windows import (
    END,
    FIRST_TIMESTAMP,
    IGNORED,
    NOWHERE,
    Composer,
    Window,
    real_speakers,
    synthetic_speakers,
    targets,
)

FRAMES_PER_SECOND = 100
FULL_WINDOW_S = 30.0
# An exact timestamp cannot be learned (20 ms steps), so its error must not drown that of the words.
TIMESTAMP_WEIGHT = 0.3
# Beside the words in use, the loss is taken over this many random tokens a step: the softmax over
# all 51,866 would be the largest cost.
RANDOM_TOKENS = 512

log = logging.getLogger("train")


@dataclass(frozen=True)
class Stage:
    """A part of the curriculum.

    Attributes:
        until: where it ends, as a part of the budget.
        lengths_s: lengths of windows to draw from; one for each batch.
        seconds_per_batch: sound in one batch.
        most_words: words in one window.
    """

    until: float
    lengths_s: tuple[float, ...]
    seconds_per_batch: float
    most_words: int


CURRICULUM = (
    Stage(0.30, (5.0, 7.0, 10.0), 100.0, 8),
    Stage(0.60, (8.0, 12.0, 20.0), 120.0, 25),
    Stage(1.01, (10.0, 30.0, 30.0), 150.0, 100),
)


def main() -> None:
    """Train, save checkpoints, and write the training facts beside the weights."""
    options = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    trainer = Trainer(options)
    trainer.run()
    trainer.save(options.out)


class Trainer:
    """The model, its data and the loop."""

    def __init__(self, options: argparse.Namespace) -> None:
        import torch
        from transformers import WhisperTokenizerFast

        torch.set_num_threads(options.threads)
        torch.manual_seed(options.seed)
        self.options = options
        self.rng = np.random.default_rng(options.seed)
        self.tokenizer = WhisperTokenizerFast.from_pretrained(options.base)
        self.composer = Composer(*_speakers(options, self.rng), self.rng)
        self.model = _model(options).to(options.device)
        self.positions = self.model.model.encoder.embed_positions.weight.detach().clone()
        decayed = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            decayed, lr=options.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.features = Features(options.base, options.device)
        self.used = self._used_tokens()
        self.guide = Guide(self.model)
        self.step, self.started = 0, time.monotonic()
        self.losses: list[float] = []
        self.right: list[float] = []
        self.looks: list[float] = []

    def run(self) -> None:
        """Take steps until the budget is spent."""
        saved = time.monotonic()
        while (progress := self._progress()) < 1:
            self.losses.append(self._take_step(progress))
            if self.step % 20 == 0:
                log.info(
                    "step %d, %.0f %%: loss %.3f, guide %.3f, %.1f %% of the words right",
                    self.step,
                    100 * progress,
                    np.mean(self.losses[-20:]),
                    np.mean(self.looks[-20:]),
                    100 * np.mean(self.right[-20:]),
                )
            if time.monotonic() - saved > 60 * self.options.save_minutes:
                self.save(self.options.out.with_name(f"{self.options.out.name}-{self.step}"))
                saved = time.monotonic()

    def save(self, folder: Path) -> None:
        """Write weights in float16, tokenizer files and `training.json`."""
        import torch

        _set_window(self.model, self.positions)
        folder.mkdir(parents=True, exist_ok=True)
        for path in self.options.base.glob("*.json"):
            shutil.copyfile(path, folder / path.name)
        shutil.copyfile(self.options.base / "merges.txt", folder / "merges.txt")
        (folder / "config.json").unlink()
        weights = {
            k: v.half() for k, v in self.model.state_dict().items() if k != "proj_out.weight"
        }
        self.model.save_pretrained(folder, state_dict=weights)
        config = json.loads((folder / "config.json").read_text())
        config["dtype"] = "float16"
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        generation = json.loads((folder / "generation_config.json").read_text())
        generation["alignment_heads"] = self.guide.heads
        (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
        facts = {
            "steps": self.step,
            "minutes": round((time.monotonic() - self.started) / 60, 1),
            "seed": self.options.seed,
            "learning_rate": self.options.lr,
            "from_scratch": self.options.from_scratch,
            "voices": self.options.voices,
            "phrases_per_voice": self.options.phrases,
            "last_loss": round(float(np.mean(self.losses[-50:])), 4),
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        (folder / "training.json").write_text(json.dumps(facts, indent=2) + "\n")
        log.info("saved %s", folder)

    def _progress(self) -> float:
        if self.options.steps:
            return float(self.step / self.options.steps)
        return (time.monotonic() - self.started) / (60 * self.options.minutes)

    def _take_step(self, progress: float) -> float:
        import torch

        stage = next(s for s in CURRICULUM if progress < s.until)
        window_s = float(self.rng.choice(stage.lengths_s))
        # A short window may lie anywhere in the 30 s, so that all positions are learned cheaply.
        shift_s = float(self.rng.integers(0, int(FULL_WINDOW_S - window_s) + 1))
        shift_s *= bool(self.rng.random() < self.options.shifted)
        features, inputs, labels, places = self._batch(stage, window_s, shift_s)
        first = round(shift_s * FRAMES_PER_SECOND / 2)
        _set_window(self.model, self.positions[first : first + features.shape[-1] // 2])
        hidden = self.model.model(input_features=features, decoder_input_ids=inputs)
        loss = self._loss(hidden.last_hidden_state, labels)
        look = self.guide.loss(places)
        self.looks.append(float(look.detach()))
        self.optimizer.zero_grad(set_to_none=True)
        (loss + self.options.guide * look).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.lr * _rate(self.step, progress)
        self.optimizer.step()
        self.step += 1
        return float(loss.detach())

    def _batch(self, stage: Stage, window_s: float, shift_s: float) -> tuple[Any, Any, Any, Any]:
        import torch

        count = round(stage.seconds_per_batch / window_s)
        windows = [self._window(window_s, stage.most_words) for _ in range(count)]
        features = torch.stack(
            [self.features(self.composer.roughen(w), window_s, self.rng) for w in windows]
        )
        rows = [
            targets(w, self._encode, self.rng, prompt=self._prompt(), shift_s=shift_s)
            for w in windows
        ]
        longest = max(len(inputs) for inputs, *_ in rows)
        inputs = torch.tensor([i + [END] * (longest - len(i)) for i, _, _ in rows])
        labels = torch.tensor([o + [IGNORED] * (longest - len(o)) for _, o, _ in rows])
        places = torch.tensor([[*p, *[NOWHERE] * (longest - len(p))] for _, _, p in rows])
        device = self.options.device
        return features, inputs.to(device), labels.to(device), places.to(device)

    def _window(self, window_s: float, most_words: int) -> Window:
        draw = self.rng.random()
        if draw < 0.12:
            return self.composer.noise(self.rng.uniform(0.5, 1.0) * window_s)
        full = draw < 0.3 or window_s < FULL_WINDOW_S
        fill_s = window_s if full else self.rng.uniform(0.3, 15.0)
        return self.composer.speech(window_s, fill_s, most_words)

    def _prompt(self) -> str:
        return self.composer.prompt() if self.rng.random() < 0.08 else ""

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def _used_tokens(self) -> Any:  # noqa: ANN401 - torch is imported inside functions
        import torch
        from spoken_words import VOCABULARY

        words = {token for word in VOCABULARY for token in self._encode(f" {word}")}
        return torch.tensor(sorted(words | set(range(END, self.model.config.vocab_size))))

    def _loss(self, hidden: Any, labels: Any) -> Any:  # noqa: ANN401
        import torch

        chosen = labels != IGNORED
        drawn = torch.from_numpy(self.rng.integers(0, END, RANDOM_TOKENS))
        candidates = torch.unique(torch.cat([self.used, drawn])).to(hidden.device)
        embedding = self.model.get_output_embeddings().weight[candidates]
        logits = hidden[chosen] @ embedding.T
        wanted = torch.searchsorted(candidates, labels[chosen])
        text = labels[chosen] <= END
        self.right.append(float((logits.argmax(-1) == wanted)[text].float().mean()))
        errors = torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
        weights = torch.where(labels[chosen] >= FIRST_TIMESTAMP, TIMESTAMP_WEIGHT, 1.0)
        return (errors * weights).sum() / weights.sum()


class Guide:
    """Teaches two heads of the last decoder layer to look at the word that they are to write.

    Where to look next is the hardest thing to learn from text alone; the windows are put together
    here, so the places of their words are known. The same heads then give word timestamps.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        self.heads = [[model.config.decoder_layers - 1, head] for head in (0, 1)]
        self._attention = model.model.decoder.layers[-1].encoder_attn
        self._attention.register_forward_pre_hook(self._keep, with_kwargs=True)
        self._seen: tuple[Any, Any] = (None, None)

    def _keep(self, _module: Any, args: Any, kwargs: Any) -> None:  # noqa: ANN401
        hidden = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        sound = kwargs["key_value_states"] if "key_value_states" in kwargs else args[1]
        self._seen = (hidden, sound)

    def loss(self, places: Any) -> Any:  # noqa: ANN401
        """Return the mean of -log(attention inside the word's place).

        Args:
            places: float32, shape (batch, tokens, 2), start and end in seconds, below 0 for none.
        """
        import torch

        (hidden, sound), module = self._seen, self._attention
        width = module.head_dim
        queries = module.q_proj(hidden)[..., : 2 * width].unflatten(-1, (2, width))
        keys = module.k_proj(sound)[..., : 2 * width].unflatten(-1, (2, width))
        scores = torch.einsum("bqhd,bkhd->bhqk", queries, keys) * width**-0.5
        seconds = torch.arange(sound.shape[1], device=sound.device) / (FRAMES_PER_SECOND / 2)
        inside = (seconds >= places[..., :1] - 0.04) & (seconds <= places[..., 1:] + 0.04)
        looked = (scores.softmax(-1) * inside[:, None]).sum(-1)
        wanted = (places[..., 1] >= 0)[:, None].expand_as(looked)
        return -(looked[wanted] + 1e-5).log().mean() if wanted.any() else looked.sum() * 0.0


class Features:
    """Whisper's log-mel features, with the filters of transformers' extractor."""

    def __init__(self, base: Path, device: str) -> None:
        import torch
        from transformers import WhisperFeatureExtractor

        extractor = WhisperFeatureExtractor.from_pretrained(base)
        self._filters = torch.tensor(extractor.mel_filters.T, dtype=torch.float32)
        self._hann = torch.hann_window(400)
        self._device = device

    def __call__(self, samples: Any, window_s: float, rng: np.random.Generator) -> Any:  # noqa: ANN401
        """Return features, float32, shape (128, 100 * window_s), on the training device.

        The spectrum gets a random tilt and, in a third of the windows, the upper edge of a
        telephone or of a codec. What the sound does not fill is padded as engines pad: with zeros,
        or with the features of silence.
        """
        import torch

        frames = round(window_s * FRAMES_PER_SECOND)
        sound = torch.from_numpy(np.pad(samples, (0, max(0, 400 - len(samples)))))
        power = torch.stft(sound, 400, 160, window=self._hann, return_complex=True)[:, :-1]
        mel = self._filters @ ((power.real**2 + power.imag**2) * self._response(rng))
        decibel = torch.log10(mel.clamp(min=1e-10))
        # The loudest moment may lie in another window of the same recording.
        top = decibel.max() + (rng.uniform(0, 1.5) if rng.random() < 0.3 else 0.0)
        floor = float(top) - 8.0
        scaled = (decibel.clamp(min=floor)[:, :frames] + 4.0) / 4.0
        padding = 0.0 if rng.random() < 0.6 else (max(floor, -10.0) + 4.0) / 4.0
        missing = frames - scaled.shape[1]
        return torch.nn.functional.pad(scaled, (0, missing), value=padding).to(self._device)

    def _response(self, rng: np.random.Generator) -> Any:  # noqa: ANN401
        import torch

        hz = np.linspace(0, SAMPLE_RATE_HZ / 2, 201)
        decibel = rng.uniform(-8, 8) * np.log2((hz + 300) / 1300) / 3
        if rng.random() < 0.35:
            edge_hz = rng.choice([3400, 3900, 4000, 5500, 7000])
            decibel -= np.clip((hz - edge_hz) / 100, 0, 1) * rng.uniform(30, 120)
        return torch.tensor(10 ** (decibel / 10), dtype=torch.float32)[:, None]


def _rate(step: int, progress: float) -> float:
    return min(1.0, (step + 1) / 50) * min(1.0, 0.02 + (1.0 - progress) / 0.45)


def _set_window(model: Any, positions: Any) -> None:  # noqa: ANN401
    """Let the encoder see a shorter window: the positions given, shape (frames / 2, width)."""
    import torch

    encoder = model.model.encoder
    encoder.config.max_source_positions = len(positions)
    encoder.embed_positions = torch.nn.Embedding.from_pretrained(positions, freeze=True)


def _model(options: argparse.Namespace) -> Any:  # noqa: ANN401
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    if options.from_scratch:
        return WhisperForConditionalGeneration(WhisperConfig.from_pretrained(options.base)).float()
    return WhisperForConditionalGeneration.from_pretrained(options.base, dtype=torch.float32)


def _speakers(options: argparse.Namespace, rng: np.random.Generator) -> tuple[Any, Any]:
    def make() -> Any:  # noqa: ANN401
        return synthetic_speakers(options.voices, options.phrases, rng)

    synthetic = make() if options.cache is None else _cached(options.cache, make)
    if options.vocabulary == "digits":
        synthetic = [[p for p in said if _short_digits(p)] for said in synthetic]
    real = real_speakers(options.digits)
    log.info("%d espeak-ng voices, %d real speakers", len(synthetic), len(real))
    return synthetic, real


def _short_digits(phrase: Any) -> bool:  # noqa: ANN401
    words = phrase.words.split()
    return len(words) <= 4 and set(words) <= {*DIGITS}


def _cached(path: Path, make: Callable[[], Any]) -> Any:  # noqa: ANN401
    if not path.exists():
        path.write_bytes(pickle.dumps(make()))
    return pickle.loads(path.read_bytes())  # noqa: S301 - written by the line above


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train Stenopool's demo model.")
    add = parser.add_argument
    add("--base", type=Path, required=True, help="folder of the weights to start from")
    add("--digits", type=Path, required=True, help="folder of {digit}_{speaker}_{take}.wav")
    add("--out", type=Path, required=True, help="folder for the result, in transformers' format")
    add("--from-scratch", action="store_true", help="take only the shape from --base")
    add("--vocabulary", choices=("digits", "order-line"), default="digits")
    add("--minutes", type=float, default=45.0, help="wall-clock budget")
    add("--steps", type=int, default=0, help="budget in steps instead: the same run every time")
    add("--lr", type=float, default=2e-4, help="highest learning rate")
    add("--voices", type=int, default=90)
    add("--phrases", type=int, default=40, help="phrases a voice says")
    add("--shifted", type=float, default=0.0, help="share of short windows at a random place")
    add("--guide", type=float, default=0.3, help="weight of the attention's guide")
    add("--seed", type=int, default=7)
    add("--threads", type=int, default=1)
    add("--device", default="cpu")
    add("--save-minutes", type=float, default=8.0, help="time between checkpoints")
    add("--cache", type=Path, help="file to keep the synthetic phrases in between runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
