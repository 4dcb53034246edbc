"""A Transformer in the minutes, and on the machine, of the preset cpu-3min.

    python benchmarks/transformer.py
    python benchmarks/transformer.py --library flax --width 120 --block 256 \
        --batch-size 8

The defaults are nanoGPT's configuration for CPUs, in torch: 4 layers and heads of
width 128, contexts of 64 characters, batches of 12. The second command has as many
parameters as the LSTM of cpu-3min, in Flax, with contexts long enough for cold-256.

Both are written anew from GPT-2's description, and train as nanoGPT does: random
windows of the text, AdamW, 100 steps of warm-up and a cosine to a tenth of the rate.
The schedule follows the time. Training ends the given minutes after the start of the
process; evaluation comes after that, while a run of char_gen.py has to evaluate within
its minutes. The last line on standard output is one JSON object.

References:
  Radford et al., "Language models are unsupervised multitask learners", 2019 (GPT-2).

  Karpathy, nanoGPT, https://github.com/karpathy/nanoGPT (the configuration).
"""

import jaxtext.needs_experiments

import importlib
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

STARTED = time.monotonic()  # before the libraries, which take seconds to import

import numpy as np
from loops.learner import Learner, Sizes
from measuring import record
from measuring.command import chosen, command

import jaxtext as jt
from jaxtext.streams import say
from jaxtext.text.file_array import windows
from jaxtext.training.surprisal import in_windows

WINDOWS = 64, 256  # characters predicted from an empty context, as in cold-256
WARM_UP = 100  # steps
RECENT = 100  # steps that the training loss is the mean of


@dataclass(frozen=True)
class Config:
    """Train a Transformer for some minutes, and evaluate it."""

    library: Literal["torch", "flax"] = "torch"
    """The library that it is written in."""
    corpus: str = "tinyshakespeare"
    """Text to train on, as for char_gen.py. The last tenth is for validation."""
    minutes: float = 3.0
    """Train until so many minutes after the start of the process."""
    steps: int | None = None
    """Train for at most this many steps; nanoGPT takes 2000."""
    layers: int = 4
    """Blocks of attention and feed-forward layer."""
    heads: int = 4
    """Heads of attention."""
    width: int = 128
    """Width of the embedding."""
    block: int = 64
    """Characters of context."""
    batch_size: int = 12
    """Windows in a batch."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    seed: int = 0
    """Seed of parameters and batches."""
    out: Path | None = None
    """Also write the JSON to this file."""


def measure(config: Config) -> dict[str, Any]:
    """Trains and evaluates, and returns the result."""
    corpus = jt.text.load([config.corpus])
    text, validation = jt.text.split(corpus.ids, 0.1)
    sizes = Sizes(
        len(corpus.vocabulary), config.block, config.layers, config.heads, config.width
    )
    loop: Any = importlib.import_module(f"loops.{config.library}_transformer")
    learner = loop.Learner(sizes, config.seed)
    trained = train(config, learner, text)
    say(f"{trained['steps']:,} steps, {trained['train_nats_per_char']:.3f} nats/char")
    found = {
        f"cold-{window}": evaluate(learner, validation, window)
        for window in WINDOWS
        if window <= config.block
    }
    return {
        **trained,
        "nats_per_char": found,
        "parameters": learner.parameters,
        "seconds": since_start(),
        **chosen(config, "library", "corpus", "minutes", "layers", "heads", "width"),
        **chosen(config, "block", "batch_size", "learning_rate", "seed"),
        **record.environment(),
    }


def train(config: Config, learner: Learner, text: jt.text.Ids) -> dict[str, Any]:
    """Takes steps until the time is over; at least one."""
    random = np.random.default_rng(config.seed)
    begin, end = since_start(), 60 * config.minutes
    losses, warm = [], begin
    while not losses or progress(config, len(losses), begin, end) < 1:
        starts = random.integers(len(text) - config.block, size=config.batch_size)
        ids = windows(text, starts, config.block + 1).astype(np.int32)
        over = progress(config, len(losses), begin, end)
        fall = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * over))
        rate = config.learning_rate * min((len(losses) + 1) / WARM_UP, fall)
        losses.append(learner.step(ids[:, :-1], ids[:, 1:], rate))
        if len(losses) == 1:
            warm = since_start()  # the first step compiles
    after_first = (len(losses) - 1) * config.batch_size * config.block
    return {
        "steps": len(losses),
        "train_nats_per_char": float(np.mean(losses[-RECENT:])),
        "chars_per_second": after_first / (since_start() - warm),
    }


def progress(config: Config, steps: int, begin: float, end: float) -> float:
    """The share of the training that is over, at most 1."""
    of_time = (since_start() - begin) / max(end - begin, 1e-9)
    return min(1.0, max(of_time, steps / (config.steps or math.inf)))


def evaluate(learner: Learner, ids: jt.text.Ids, window: int) -> float:
    """The mean loss over windows that follow each other, all positions counted."""
    total = 0.0
    for part in in_windows(ids, window, 8192 // window):
        inputs, targets = (x.astype(np.int32) for x in (part.inputs, part.targets))
        losses = learner.losses(inputs, targets)
        total += float(losses.sum(where=part.counts, dtype=np.float64))
    return total / (len(ids) - 1)


def since_start() -> float:
    """Seconds since this process began."""
    return time.monotonic() - STARTED


main = command(Config, measure)

if __name__ == "__main__":
    sys.exit(main())
