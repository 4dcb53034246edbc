"""The order of gates along an axis, and their biases."""

import jax.numpy as jnp

from jaxtext.interop.layers import Layer
from jaxtext.types import Array


def reorder(x: Array, source: str, target: str) -> Array:
    """Reorders the gates along the last axis. Each gate is a letter.

    Example:
      >>> reorder(jnp.arange(6), "rzn", "zrn").tolist()
      [2, 3, 0, 1, 4, 5]
    """
    gates = dict(zip(source, jnp.split(x, len(source), axis=-1), strict=True))
    return jnp.concatenate([gates[gate] for gate in target], axis=-1)


def merge_gru_biases(b_input: Array, b_state: Array) -> dict[str, Array]:
    """One bias for each gate, and ``b_hn``, of a library's two biases for each gate."""
    inside = len(b_input) // 3 * 2
    bias = b_input.at[:inside].add(b_state[:inside])
    return {"bias": bias, "recurrent_bias": b_state[inside:]}


def split_biases(one: Layer) -> tuple[Array, Array]:
    """The two biases of `merge_gru_biases`; the second is zero except for ``b_hn``."""
    bias = one.params["bias"]
    second = jnp.zeros_like(bias)
    if "recurrent_bias" in one.params:
        second = second.at[2 * one.sizes[1] :].set(one.params["recurrent_bias"])
    return bias, second
