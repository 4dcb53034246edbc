"""The same model and training loop, written with flax.linen."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from loops.ours import STEPS

CELLS = {"rnn": nn.SimpleCell, "lstm": nn.OptimizedLSTMCell, "gru": nn.GRUCell}


class Model(nn.Module):
    """One-hot characters, one recurrent layer and a dense layer."""

    cell: str
    hidden: int
    vocab_size: int

    @nn.compact
    def __call__(self, carry, ids):
        """Maps a carry and ids ``[B, T]`` to the next carry, logits ``[B, T, V]``."""
        layer = nn.RNN(CELLS[self.cell](self.hidden), return_carry=True)
        one_hot = jax.nn.one_hot(ids, self.vocab_size)
        carry, hs = layer(one_hot, initial_carry=carry)
        return carry, nn.Dense(self.vocab_size)(hs)


def repeated(cell, hidden, vocab_size, streams, optimizer) -> Callable[[], object]:
    """A function that takes the next `STEPS` training steps at each call."""
    model = Model(cell, hidden, vocab_size)
    shape = (streams.batch_size, hidden)
    carry = (jnp.zeros(shape), jnp.zeros(shape)) if cell == "lstm" else jnp.zeros(shape)
    ids = jnp.zeros((streams.batch_size, streams.seq_len), int)
    variables: Any = model.init(jax.random.key(0), carry, ids)
    apply: Any = model.apply  # its declared result type is too wide to unpack

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
