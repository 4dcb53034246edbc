"""Training speed of the language model, beside the same model on flax.linen.RNN.

    python benchmarks/train.py --out benchmarks/results/train.json
    python benchmarks/train.py --cells gru --hidden 384 --seq-len 64

Both train the model of char_gen.py on one device: one layer, the same text and batches,
AdamW, no dropout. They have the same number of parameters, except for biases. They are
timed in turns. The last line on standard output is one JSON object.
"""

import jaxtext.needs_experiments

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import optax
from loops import ours, with_flax
from measuring import record
from measuring.command import chosen, command
from measuring.ours import CELLS
from measuring.timing import in_turns

import jaxtext as jt
from jaxtext.streams import say


@dataclass(frozen=True)
class Config:
    """Time training steps of character-level language models."""

    cells: tuple[str, ...] = ("rnn", "lstm", "gru")
    """Cells: rnn, lstm, gru."""
    corpus: str = "stdlib"
    """Text to train on, as for char_gen.py."""
    hidden: int = 256
    """Width of the layer."""
    batch_size: int = 16
    """Streams in a batch."""
    seq_len: int = 32
    """Characters of each stream in a batch."""
    seconds: float = 30.0
    """Time for each cell, both libraries together."""
    out: Path | None = None
    """Also write the JSON to this file."""


def measure(config: Config) -> dict[str, Any]:
    """Times both libraries, and returns the result."""
    corpus = jt.text.load([config.corpus])
    streams = jt.text.Streams(corpus.ids, config.batch_size, config.seq_len)
    vocab_size, size = len(corpus.vocabulary), streams.batch_size
    rows, ratios = [], {}
    for cell in config.cells:
        clip, adamw = optax.clip_by_global_norm(1.0), optax.adamw(4e-3, b2=0.99)
        optimizer = optax.chain(clip, adamw)
        model = jt.LanguageModel(jt.stack(CELLS[cell](config.hidden)), vocab_size)
        parallel = jt.training.data_parallel(model, optimizer, size, jax.devices()[:1])
        state = jt.training.create_state(model, optimizer, jax.random.key(0), size)
        programs = {
            "jaxtext": ours.repeated(parallel, state, partial(streams.batch, 0)),
            "flax": with_flax.repeated(
                cell, config.hidden, vocab_size, streams, optimizer
            ),
        }
        times = in_turns(programs, visit_seconds=1.0, seconds=config.seconds)
        speed = {}
        for library, found in times.items():
            characters = ours.STEPS * streams.characters_per_batch
            speed[library] = 1e3 * characters / found["median_ms"]
            row = {"library": library, "cell": cell, "chars_per_second": speed[library]}
            rows.append({**row, **{k: v / ours.STEPS for k, v in found.items()}})
            say(f"{cell:5} {library:8} {speed[library]:10,.0f} chars/s")
        ratios[cell] = speed["jaxtext"] / speed["flax"]
        say(f"{cell:5} ratio    {ratios[cell]:10.2f}")
    shape = chosen(config, "corpus", "batch_size", "seq_len", "hidden")
    return {"rows": rows, "vs_flax": ratios, **shape, **record.environment()}


main = command(Config, measure)

if __name__ == "__main__":
    sys.exit(main())
