"""Weights from and to ``flax.linen``: ``SimpleCell``, ``LSTMCell``, ``GRUCell``."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxtext.errors import InputError
from jaxtext.interop.flax_layers import Library, Places, from_flax, to_flax
from jaxtext.interop.layers import Layer, Network, layers_of
from jaxtext.types import Array, Cell, Params

_LSTM = Places(
    "lstm", ("ii", "if", "ig", "io"), ("hi", "hf", "hg", "ho"), ("hi", "hf", "hg", "ho")
)
_PLACES = {
    "SimpleCell": Places("rnn", ("i",), ("h",), ("i",)),
    "LSTMCell": _LSTM,
    "OptimizedLSTMCell": _LSTM,
    "GRUCell": Places(
        "gru", ("ir", "iz", "in"), ("hr", "hz", "hn"), ("ir", "iz", "in"), "hn"
    ),
}


def from_linen(module: nn.Module, variables: Mapping[str, Any]) -> Network:
    """Converts a recurrent module of linen to a cell and its parameters.

    Linen has one matrix for each gate: ``i*`` from the input and ``h*`` from the hidden
    state, where ``*`` is the gate. They are concatenated.

    Args:
      module: ``SimpleCell``, ``LSTMCell``, ``OptimizedLSTMCell`` or ``GRUCell``, alone
        or in ``RNN``; ``Bidirectional`` around two of these; or ``Sequential`` of any
        of these and ``Dropout``.
      variables: The variables that the module's ``init`` returns. Only ``"params"`` is
        read.

    Returns:
      The cell and its parameters, in the module's dtypes.

    Raises:
      InputError: If there is no cell for the module (another class, other activations,
        ``residual``, another ``merge_fn``), or the variables belong to another module.

    Example:
      >>> import jax, jaxtext as jt
      >>> module, xs = nn.RNN(nn.LSTMCell(5)), jnp.ones((2, 7, 3))
      >>> cell, params = from_linen(module, module.init(jax.random.key(0), xs))
      >>> jt.unroll(cell, params, cell.initial_state((2,)), xs)[1].shape
      (2, 7, 5)
    """
    try:
        return from_flax(_LINEN, module, variables.get("params", {}))
    except KeyError as missing:
        raise InputError(
            f"from_linen: expected the variables of this {type(module).__name__}, got "
            f"some without {missing}"
        ) from None


def to_linen(cell: Cell, params: Params) -> tuple[nn.Module, dict[str, Any]]:
    """Converts a cell and its parameters to a recurrent module of linen.

    Dropout is left out, since it does nothing without a key.

    Args:
      cell: `rnn`, `lstm` or `gru`, alone, in `bidirectional`, or in a `stack` of these.
      params: Its parameters.

    Returns:
      The module, and the variables to ``apply`` it with. The module is ``nn.RNN``,
      ``nn.Bidirectional``, or for a stack ``nn.Sequential`` of these.

    Raises:
      InputError: If the network contains other cells, or a GRU with
        ``reset_after=False``.

    Example:
      >>> import jax, jaxtext as jt
      >>> cell = jt.lstm(5)
      >>> module, variables = to_linen(cell, cell.init(jax.random.key(0), 3))
      >>> module.apply(variables, jnp.ones((2, 7, 3))).shape
      (2, 7, 5)
    """
    layers = layers_of(cell, params)
    modules: list[Any] = [to_flax(_LINEN, directions) for directions in layers]
    weights = [_weights(directions) for directions in layers]
    if len(modules) == 1:
        return modules[0], {"params": weights[0]}
    names = (f"layers_{n}" for n in range(len(modules)))
    return nn.Sequential(modules), {"params": dict(zip(names, weights, strict=True))}


def _inner(params: Any, name: str) -> Any:
    return params.get(name, {})  # Dropout has no entry


def _read(module: Any, params: Any, submodule: str, name: str) -> Array:
    return params[submodule][name]


def _make(cls: Any, one: Layer) -> nn.RNNCellBase:
    return cls(one.sizes[1], dtype=one.dtype, param_dtype=one.param_dtype)


_LINEN = Library("linen", nn, _PLACES, _inner, _read, _make)


def _weights(directions: tuple[Layer, ...]) -> dict[str, Any]:
    """The parameters of the module that `to_flax` makes."""
    cells = [{"cell": _gate_by_gate(one)} for one in directions]
    if len(cells) == 1:
        return cells[0]
    return dict(zip(("forward_rnn", "backward_rnn"), cells, strict=True))


def _gate_by_gate(one: Layer) -> dict[str, Any]:
    (places,) = {x for x in _PLACES.values() if x.kind == one.kind}

    def apart(name: str) -> list[Array]:
        return jnp.split(jnp.array(one.params[name]), len(places.inputs), axis=-1)

    weights: dict[str, Any] = {}
    for names, name in ((places.inputs, "kernel"), (places.states, "recurrent_kernel")):
        for submodule, kernel in zip(names, apart(name), strict=True):
            weights[submodule] = {"kernel": kernel}
    for submodule, bias in zip(places.biased, apart("bias"), strict=True):
        weights[submodule]["bias"] = bias
    if places.b_hn is not None:
        weights[places.b_hn]["bias"] = jnp.array(one.params["recurrent_bias"])
    return weights
