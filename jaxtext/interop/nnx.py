"""Weights from and to ``flax.nnx``: ``SimpleCell``, ``LSTMCell``, ``GRUCell``."""

from typing import Any

import numpy as np
from flax import nnx

from jaxtext.errors import InputError
from jaxtext.interop.flax_layers import Library, Places, from_flax, to_flax
from jaxtext.interop.layers import Layer, Network, layers_of
from jaxtext.types import Array, Cell, Params

_INPUTS, _STATES = ("dense_i",), ("dense_h",)
_PLACES = {
    "SimpleCell": Places("rnn", _INPUTS, _STATES, _INPUTS),
    "LSTMCell": Places(
        "lstm",
        ("ii", "if_", "ig", "io"),
        ("hi", "hf", "hg", "ho"),
        ("hi", "hf", "hg", "ho"),
    ),
    "OptimizedLSTMCell": Places("lstm", _INPUTS, _STATES, _STATES),
    "GRUCell": Places("gru", _INPUTS, _STATES, _INPUTS),
}


def from_nnx(module: Any) -> Network:
    """Converts a recurrent module of nnx to a cell and its parameters.

    The order of the gates is the same. The GRU of nnx has no ``b_hn``, which becomes
    zero.

    Args:
      module: ``SimpleCell``, ``LSTMCell``, ``OptimizedLSTMCell`` or ``GRUCell``, alone
        or in ``RNN``; ``Bidirectional`` around two of these; or ``Sequential`` of any
        of these and ``Dropout``.

    Returns:
      The cell and its parameters, in the module's dtypes.

    Raises:
      InputError: If there is no cell for the module (another class, other activations,
        ``residual``, another ``merge_fn``, a carry that does not start at zero).

    Example:
      >>> import jax.numpy as jnp, jaxtext as jt
      >>> module = nnx.RNN(nnx.LSTMCell(3, 5, rngs=nnx.Rngs(0)))
      >>> cell, params = from_nnx(module)
      >>> _, ys = jt.unroll(
      ...     cell, params, cell.initial_state((2,)), jnp.ones((2, 7, 3))
      ... )
      >>> ys.shape
      (2, 7, 5)
    """
    return from_flax(_NNX, module, None)


def to_nnx(cell: Cell, params: Params) -> Any:
    """Converts a cell and its parameters to a recurrent module of nnx.

    Dropout is left out, since it does nothing without a key.

    Args:
      cell: `rnn`, `lstm` or `gru`, alone, in `bidirectional`, or in a `stack` of these.
      params: Its parameters.

    Returns:
      The module: ``nnx.RNN``, ``nnx.Bidirectional``, or for a stack ``nnx.Sequential``
      of these.

    Raises:
      InputError: If the network contains other cells, or a GRU with a ``b_hn`` that is
        not zero or with ``reset_after=False``.

    Example:
      >>> import jax, jax.numpy as jnp, jaxtext as jt
      >>> cell = jt.lstm(5)
      >>> module = to_nnx(cell, cell.init(jax.random.key(0), 3))
      >>> module(jnp.ones((2, 7, 3))).shape
      (2, 7, 5)
    """
    modules = [to_flax(_NNX, directions) for directions in layers_of(cell, params)]
    return modules[0] if len(modules) == 1 else nnx.Sequential(*modules)


def _inner(variables: None, name: str) -> None:
    return None  # a module of nnx holds its weights itself


def _read(module: Any, variables: None, submodule: str, name: str) -> Array:
    return getattr(getattr(module, submodule), name)[...]


def _make(cls: Any, one: Layer) -> Any:
    if np.any(one.params.get("recurrent_bias", 0)):
        raise InputError(
            "to_nnx: nnx's GRUCell has no bias b_hn within the reset gate, got a GRU "
            "with one that is not zero; to_linen can represent it"
        )
    cell = cls(
        *one.sizes,
        dtype=one.dtype,
        param_dtype=one.param_dtype,
        # The default, orthogonal, cannot be drawn in 16 bits.
        recurrent_kernel_init=nnx.initializers.lecun_normal(),
        rngs=nnx.Rngs(0),
    )
    cell.dense_i.kernel[...] = one.params["kernel"]
    cell.dense_h.kernel[...] = one.params["recurrent_kernel"]
    biased = cell.dense_h if one.kind == "lstm" else cell.dense_i
    biased.bias[...] = one.params["bias"]
    return cell


_NNX = Library("nnx", nnx, _PLACES, _inner, _read, _make)
