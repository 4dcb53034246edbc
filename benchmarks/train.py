"""Training speed of the language model, beside the same model on flax.linen.RNN.

    python benchmarks/train.py --out benchmarks/results/train.json
    python benchmarks/train.py --cells gru --hidden 384 --seq-len 64

Both train the model of char_gen.py (one layer, the same text and streams, AdamW, no
dropout, the number of parameters give or take biases), on one device, and are timed in
turns. The last line on standard output is one JSON object.
"""

import jaxtext.needs_experiments

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from flax import linen as nn
from measuring import record
from measuring.ours import CELLS
from measuring.timing import interleave, spread, visit

import jaxtext as jt
from jaxtext.streams import script
from jaxtext.training.loop import run as run_steps

STEPS = 24  # of one repetition: whole cycles of two or three lengths
FLAX_CELLS = {
    "rnn": nn.SimpleCell,
    "lstm": nn.OptimizedLSTMCell,
    "gru": nn.GRUCell,
}


@dataclass(frozen=True)
class Config:
    """Time training steps of character-level language models."""

    cells: tuple[str, ...] = ("rnn", "lstm", "gru")
    """Which cells: rnn, lstm, gru."""
    corpus: str = "stdlib"
    """Text to train on, as for char_gen.py."""
    hidden: int = 256
    """Width of the layer."""
    batch_size: int = 16
    """Streams read side by side."""
    seq_len: int = 32
    """Characters of each stream in a batch."""
    seconds: float = 30.0
    """How long to time each cell, everybody together."""
    out: Path | None = None
    """Also write the JSON to this file."""


class FlaxModel(nn.Module):
    """What one writes with flax.linen: one-hot, nn.RNN, Dense."""

    cell: str
    hidden: int
    vocab_size: int

    @nn.compact
    def __call__(self, carry, ids):
        """Carry and ids ``[B, T]`` to the next carry and logits ``[B, T, V]``."""
        layer = nn.RNN(FLAX_CELLS[self.cell](self.hidden), return_carry=True)
        one_hot = jax.nn.one_hot(ids, self.vocab_size)
        carry, hs = layer(one_hot, initial_carry=carry)
        return carry, nn.Dense(self.vocab_size)(hs)


def flax_trainer(cell, hidden, vocab_size, streams, optimizer) -> Callable[[], object]:
    """A plain training loop around `FlaxModel`; each call takes `STEPS` steps."""
    model = FlaxModel(cell, hidden, vocab_size)
    shape = (streams.batch_size, hidden)
    carry = (jnp.zeros(shape), jnp.zeros(shape)) if cell == "lstm" else jnp.zeros(shape)
    ids = jnp.zeros((streams.batch_size, streams.seq_len), int)
    variables: Any = model.init(jax.random.key(0), carry, ids)
    apply: Any = model.apply  # whose declared result nobody could use as it is

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(variables, opt_state, carry, inputs, targets):
        def loss_fn(variables):
            new, logits = apply(variables, carry, inputs)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
            return losses.mean(), new

        (loss, new), grads = jax.value_and_grad(loss_fn, has_aux=True)(variables)
        updates, opt_state = optimizer.update(grads, opt_state, variables)
        return optax.apply_updates(variables, updates), opt_state, new, loss

    state = [variables, optimizer.init(variables), carry, 0]

    def run():
        *arrays, k = state
        loss = None
        for _ in range(STEPS):
            batch = streams.batch(0, k)
            inputs, targets = (x.astype(np.int32) for x in batch[:2])
            *arrays, loss = step(*arrays, inputs, targets)
            k += 1
        state[:] = [*arrays, k]
        return jax.block_until_ready(loss)

    return run


def our_trainer(parallel, state, batch) -> Callable[[], object]:
    """The loop of char_gen.py; each call takes `STEPS` steps."""
    now = {"state": parallel.place(state), "step": 0}

    def run():
        start = now["step"]
        for progress in run_steps(parallel, now["state"], batch, start, start + STEPS):
            now["state"], now["step"] = progress.state, progress.step
        return jax.block_until_ready(now["state"])

    return run


def measure(config: Config) -> dict:
    """Times everybody, and returns the result."""
    say = partial(print, file=sys.stderr)
    corpus = jt.text.load([config.corpus])
    streams = jt.text.Streams(corpus.ids, config.batch_size, config.seq_len)
    characters = STEPS * streams.characters_per_batch
    rows, ratios = [], {}
    for cell in config.cells:
        vocabulary, size = len(corpus.vocabulary), streams.batch_size
        clip, adamw = optax.clip_by_global_norm(1.0), optax.adamw(4e-3, b2=0.99)
        optimizer = optax.chain(clip, adamw)
        model = jt.LanguageModel(jt.stack(CELLS[cell](config.hidden)), vocabulary)
        parallel = jt.training.data_parallel(model, optimizer, size, jax.devices()[:1])
        state = jt.training.create_state(model, optimizer, jax.random.key(0), size)
        trainers = {
            "jaxtext": our_trainer(parallel, state, partial(streams.batch, 0)),
            "flax": flax_trainer(cell, config.hidden, vocabulary, streams, optimizer),
        }
        for run in trainers.values():
            run()  # compiles
        times = interleave(
            {name: lambda run=run: visit(run, 1.0) for name, run in trainers.items()},
            rounds=1000,
            seconds=config.seconds,
        )
        speed = {}
        for library, milliseconds in times.items():
            found = spread(milliseconds)
            speed[library] = 1e3 * characters / found["median_ms"]
            row = {"library": library, "cell": cell, "chars_per_second": speed[library]}
            rows.append({**row, **{k: v / STEPS for k, v in found.items()}})
            say(f"{cell:5} {library:8} {speed[library]:10,.0f} chars/s")
        ratios[cell] = speed["jaxtext"] / speed["flax"]
        say(f"{cell:5} ratio    {ratios[cell]:10.2f}")
    names = ("corpus", "batch_size", "seq_len", "hidden")
    shape = {name: getattr(config, name) for name in names}
    return {"rows": rows, "vs_flax": ratios, **shape, **record.environment()}


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Measures, and prints the result as the last line."""
    config = tyro.cli(Config, args=argv)
    record.print_last_line(measure(config), config.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
