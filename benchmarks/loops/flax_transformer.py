"""The Transformer of `transformer.py` in Flax."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from loops.learner import Sizes

NORMAL = nn.initializers.normal


class Block(nn.Module):
    """Causal attention and a layer of GELUs, each normalised before and added."""

    sizes: Sizes

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[B, T, W]`` to ``[B, T, W]``."""
        width, heads = self.sizes.width, self.sizes.heads
        dense = partial(nn.Dense, use_bias=False, kernel_init=NORMAL(0.02))
        last = NORMAL(0.02 / np.sqrt(2 * self.sizes.layers))
        qkv = dense(3 * width)(nn.LayerNorm(use_bias=False)(x))
        q, k, v = (
            part.reshape(*x.shape[:2], heads, width // heads)
            for part in jnp.split(qkv, 3, axis=-1)
        )
        read = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        x += dense(width, kernel_init=last)(read.reshape(x.shape))
        inner = nn.gelu(dense(4 * width)(nn.LayerNorm(use_bias=False)(x)), False)
        return x + dense(width, kernel_init=last)(inner)


class Transformer(nn.Module):
    """GPT-2's Transformer without biases."""

    sizes: Sizes

    @nn.compact
    def __call__(self, ids: jax.Array) -> jax.Array:
        """Maps ids ``[B, T]`` to logits ``[B, T, V]``."""
        sizes = self.sizes
        symbols = nn.Embed(sizes.symbols, sizes.width, embedding_init=NORMAL(0.02))
        places = nn.Embed(sizes.block, sizes.width, embedding_init=NORMAL(0.02))
        x = symbols(ids) + places(jnp.arange(ids.shape[1]))[None]
        for _ in range(sizes.layers):
            x = Block(sizes)(x)
        return symbols.attend(nn.LayerNorm(use_bias=False)(x))


class Learner:
    """A Transformer and its optimizer; see `loops.learner.Learner`."""

    def __init__(self, sizes: Sizes, seed: int):
        self.model = Transformer(sizes)
        key, ids = jax.random.key(seed), jnp.zeros((1, 1), jnp.int32)
        params = jax.jit(self.model.init)(key, ids)["params"]

        @optax.inject_hyperparams
        def optimizer(learning_rate):
            return optax.chain(
                optax.clip_by_global_norm(1.0),
                optax.adamw(
                    learning_rate,
                    b2=0.99,
                    weight_decay=0.1,
                    mask=lambda params: jax.tree.map(lambda x: x.ndim > 1, params),
                ),
            )

        self.optimizer = optimizer(learning_rate=0.0)
        self.state: Any = params, self.optimizer.init(params)
        self.parameters = sum(x.size for x in jax.tree.leaves(params))

    def step(self, inputs: np.ndarray, targets: np.ndarray, rate: float) -> float:
        """Takes a step, and returns the loss before it."""
        self.state, loss = self._step(self.state, inputs, targets, rate)
        return float(loss)

    def losses(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The loss of each target, ``[B, T]``."""
        return np.asarray(self._losses(self.state[0], inputs, targets))

    @partial(jax.jit, static_argnums=0)
    def _losses(self, params, inputs, targets):
        logits: Any = self.model.apply({"params": params}, inputs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets)

    @partial(jax.jit, static_argnums=0, donate_argnums=1)
    def _step(self, state, inputs, targets, rate):
        params, opt_state = state
        opt_state.hyperparams["learning_rate"] = rate
        loss, grads = jax.value_and_grad(
            lambda params: self._losses(params, inputs, targets).mean()
        )(params)
        updates, opt_state = self.optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), loss
