"""The training loop of char_gen.py in torch: nn.LSTM or nn.GRU, its own AdamW.

    python benchmarks/loops/torch_train.py --seconds 20 --hidden 512 --batch-size 32

It uses the same batches of the same text, the same model (one-hot characters, one
recurrent and one dense layer), and the same clipping, weight decay and learning-rate
schedule. On a GPU the layer is cuDNN's. The last line on standard output is one JSON
object.
"""

import jaxtext.needs_experiments

import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

STARTED = time.monotonic()  # before importing torch, which takes seconds

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
import tyro
from torch.nn import functional  # pyright: ignore[reportMissingImports]

import jaxtext as jt
from jaxtext.streams import print_last_line, script

WINDOW = 256  # characters predicted from the zero state, as in cold-256
WARM_UP = 3  # steps during which cuDNN initializes
LAYERS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}


@dataclass(frozen=True)
class Config:
    """Train a character-level language model with torch."""

    cell: Literal["lstm", "gru"] = "lstm"
    """The recurrent layer."""
    corpus: str = "stdlib"
    """Text to train on, as for char_gen.py."""
    characters: int | None = None
    """Use only so many characters from the beginning of the corpus."""
    hidden: int = 512
    """Width of the layer."""
    batch_size: int = 32
    """Streams in a batch."""
    seq_len: int = 64
    """Characters of each stream in a batch."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the computation (torch.autocast). Parameters are float32."""
    learning_rate: float = 4e-3
    """Peak learning rate."""
    seconds: float = 20.0
    """Train until so many seconds after the start of the process, then validate."""
    seed: int = 0
    """Seed of parameters and batches."""


class Model(torch.nn.Module):
    """One recurrent layer on one-hot characters, and a dense layer."""

    def __init__(self, config: Config, vocab_size: int):
        super().__init__()
        self.vocab_size = vocab_size
        self.layer = LAYERS[config.cell](vocab_size, config.hidden)
        self.dense = torch.nn.Linear(config.hidden, vocab_size)

    def forward(self, ids, state=None):
        """Maps ids ``[T, B]`` and a state to logits ``[T, B, V]``, the next state."""
        hs, state = self.layer(functional.one_hot(ids, self.vocab_size).float(), state)
        return self.dense(hs), state


class Trainer:
    """Training steps. One step is always in flight."""

    def __init__(self, config: Config, streams: jt.text.Streams, vocab_size: int):
        self.config, self.streams = config, streams
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = Model(config, vocab_size).to(self.device)
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim == 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": 0.1},
                {"params": others, "weight_decay": 0.0},
            ],
            betas=(0.9, 0.99),
            fused=self.device == "cuda",
        )
        self.state: Any = None
        self.losses: list[torch.Tensor] = []

    def loss(self, inputs, targets, state):
        """Mean cross-entropy of ids ``[B, T]``, and the last state."""
        inputs, targets = (
            torch.from_numpy(ids.T.astype(np.int64)).to(self.device)
            for ids in (inputs, targets)
        )
        lower = self.config.dtype == "bfloat16"
        with torch.autocast(self.device, torch.bfloat16, enabled=lower):
            logits, state = self.model(inputs, state)
        logits = logits.float().flatten(0, 1)
        return functional.cross_entropy(logits, targets.flatten()), state

    def step(self, progress):
        """Takes a step, and waits for the one before it.

        Args:
          progress: The share of the run that is over, for the learning rate.
        """
        k = len(self.losses)
        fall = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * min((k + 1) / 100, fall)
        batch = self.streams.batch(self.config.seed, k)
        before = None if batch.resets.any() else self.state  # at the start of an epoch
        self.optimizer.zero_grad()
        loss, after = self.loss(batch.inputs, batch.targets, before)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        of_lstm = isinstance(after, tuple)
        self.state = tuple(s.detach() for s in after) if of_lstm else after.detach()
        if self.losses:
            self.losses[-1].item()
        self.losses.append(loss.detach())


def measure(config: Config) -> dict[str, Any]:
    """Trains and evaluates, and returns the result."""
    torch.manual_seed(config.seed)
    torch.set_float32_matmul_precision("high")  # TF32, as in cuDNN and JAX
    corpus = jt.text.load([config.corpus], limit=config.characters)
    text, validation = jt.text.split(corpus.ids, 0.1)
    streams = jt.text.Streams(text, config.batch_size, config.seq_len)
    trainer = Trainer(config, streams, len(corpus.vocabulary))

    begin, steps = since_start(), WARM_UP
    for _ in range(WARM_UP):
        trainer.step(0.0)
    trainer.losses[-1].item()
    warm = since_start()
    while (now := since_start()) < config.seconds:
        trainer.step((now - begin) / (config.seconds - begin))
        steps += 1
    last = torch.stack(trainer.losses[-streams.batches_per_epoch :]).mean().item()
    speed = (steps - WARM_UP) * streams.characters_per_batch / (since_start() - warm)

    ids = np.asarray(validation[: (len(validation) - 1) // WINDOW * WINDOW + 1])
    inputs, targets = (part.reshape(-1, WINDOW) for part in (ids[:-1], ids[1:]))
    with torch.no_grad():
        held_out = trainer.loss(inputs, targets, None)[0].item()
    return {
        "steps": steps,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "chars_per_second": speed,
        "train_nats_per_char": last,
        "val_nats_per_char": held_out,
        "torch": torch.__version__,
        "seconds": since_start(),
    }


def since_start() -> float:
    """Seconds since this process began."""
    return time.monotonic() - STARTED


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Trains, and prints the result as the last line."""
    print_last_line(json.dumps(measure(tyro.cli(Config, args=argv))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
