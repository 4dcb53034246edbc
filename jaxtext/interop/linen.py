"""Weights from and to ``flax.linen``: ``SimpleCell``, ``LSTMCell``, ``GRUCell``."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxtext.dropout import dropout
from jaxtext.errors import InputError
from jaxtext.interop.layers import (
    Layer,
    Network,
    both_ways,
    in_sequence,
    layer,
    layers_of,
)
from jaxtext.types import Cell, Params


def from_linen(module: nn.Module, variables: Mapping[str, Any]) -> Network:
    """A cell that computes what a recurrent module of linen does, and its parameters.

    Linen has a matrix for each gate, ``i*`` from the input and ``h*`` from the state,
    under the names of our gates; they are put side by side.

    Args:
      module: ``SimpleCell``, ``LSTMCell``, ``OptimizedLSTMCell`` or ``GRUCell``, alone
        or in ``RNN``, such a one in ``Bidirectional``, or a ``Sequential`` of these and
        of ``Dropout``.
      variables: What its ``init`` returned, of which ``"params"`` is read.

    Returns:
      A cell and its parameters, in the module's dtypes.

    Raises:
      InputError: If it is another module, or computes what no cell of ours does (other
        activations, ``residual``, ``merge_fn``), or if the variables are not its own.

    Example:
      >>> import jaxtext as jt
      >>> module, xs = nn.RNN(nn.LSTMCell(5)), jnp.ones((2, 7, 3))
      >>> cell, params = from_linen(module, module.init(jax.random.key(0), xs))
      >>> jt.unroll(cell, params, cell.initial_state((2,)), xs)[1].shape
      (2, 7, 5)
    """
    try:
        return _module(module, variables.get("params", {}))
    except KeyError as missing:
        raise InputError(
            f"from_linen: expected the variables of this {type(module).__name__}, got "
            f"some without {missing}"
        ) from None


def to_linen(cell: Cell, params: Params) -> tuple[nn.Module, dict[str, Any]]:
    """A recurrent module of linen that computes what a cell does, and its variables.

    Dropout is nothing without a key, and is left out.

    Args:
      cell: `rnn`, `lstm` or `gru`, alone, in a `stack`, or singly in `bidirectional`.
      params: Its parameters.

    Returns:
      ``nn.RNN`` around a cell, ``nn.Bidirectional`` around two of these, or for a stack
      ``nn.Sequential``; and what to `apply` it with.

    Raises:
      InputError: If the network is made of other cells, or of a GRU that resets before
        its recurrent product.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.lstm(5)
      >>> module, variables = to_linen(cell, cell.init(jax.random.key(0), 3))
      >>> module.apply(variables, jnp.ones((2, 7, 3))).shape
      (2, 7, 5)
    """
    modules, weights = [], []
    for directions in layers_of(cell, params):
        rnns: list[Any] = [nn.RNN(_to_cell(d)) for d in directions]
        own = [{"cell": _gate_by_gate(d)} for d in directions]
        if len(rnns) == 2:
            rnns = [nn.Bidirectional(*rnns)]
            own = [{"forward_rnn": own[0], "backward_rnn": own[1]}]
        modules += rnns
        weights += own
    if len(modules) == 1:
        return modules[0], {"params": weights[0]}
    names = (f"layers_{n}" for n in range(len(modules)))
    return nn.Sequential(modules), {"params": dict(zip(names, weights, strict=True))}


def _module(module: Any, params: Mapping[str, Any]) -> Network:
    match module:
        case nn.Sequential():
            layers = enumerate(module.layers)
            own = ((one, params.get(f"layers_{n}", {})) for n, one in layers)
            return in_sequence([_module(*both) for both in own])
        case nn.Dropout() if not module.broadcast_dims:
            return dropout(module.rate), {}
        case nn.Bidirectional():
            with jax.ensure_compile_time_eval():  # so that it can be differentiated
                merged = module.merge_fn(jnp.zeros((1, 1)), jnp.ones((1, 1)))
            if merged.tolist() != [[0, 1]]:
                raise InputError(
                    "from_linen: jt.bidirectional puts both outputs side by side, got "
                    "another merge_fn"
                )
            return both_ways(
                _direction(module.forward_rnn, params["forward_rnn"]),
                _direction(module.backward_rnn, params["backward_rnn"]),
            )
        case nn.RNN():
            if module.reverse:
                raise InputError(
                    "from_linen: expected an RNN that reads forwards, got "
                    "reverse=True; convert its cell, and use jt.unroll(…, reverse=True)"
                )
            return _direction(module, params)
        case _:
            return _cell(module, params)


def _direction(rnn: Any, params: Mapping[str, Any]) -> Network:
    return _cell(getattr(rnn, "cell", rnn), params["cell"])


def _cell(module: Any, params: Mapping[str, Any]) -> Network:
    def side_by_side(names, what):
        return jnp.concatenate([params[name][what] for name in names], axis=-1)

    match module:
        case nn.LSTMCell() | nn.OptimizedLSTMCell():
            kind, bias = "lstm", side_by_side(("hi", "hf", "hg", "ho"), "bias")
            names = ("ii", "if", "ig", "io"), ("hi", "hf", "hg", "ho")
        case nn.GRUCell():
            kind, bias = "gru", side_by_side(("ir", "iz", "in"), "bias")
            names = ("ir", "iz", "in"), ("hr", "hz", "hn")
        case nn.SimpleCell():
            kind, bias, names = "rnn", params["i"]["bias"], (("i",), ("h",))
        case _:
            raise InputError(
                "from_linen: expected SimpleCell, LSTMCell or GRUCell, alone, in RNN, "
                f"Bidirectional or Sequential, got {type(module).__name__}"
            )
    _refuse_other_functions(module)
    weights = {
        "kernel": side_by_side(names[0], "kernel"),
        "recurrent_kernel": side_by_side(names[1], "kernel"),
        "bias": bias,
    }
    if kind == "gru":
        weights["recurrent_bias"] = params["hn"]["bias"]
    return layer(kind, weights, module.dtype)


def _refuse_other_functions(module: Any) -> None:
    same = (
        module.activation_fn is nn.tanh,
        getattr(module, "gate_fn", nn.sigmoid) is nn.sigmoid,
        module.carry_init is nn.initializers.zeros,
        not getattr(module, "residual", False),
    )
    if not all(same):
        raise InputError(
            f"from_linen: expected a {type(module).__name__} with tanh, sigmoid gates, "
            "a carry that starts at zero and no residual, got another"
        )


def _to_cell(direction: Layer) -> nn.RNNCellBase:
    classes = {"rnn": nn.SimpleCell, "lstm": nn.OptimizedLSTMCell, "gru": nn.GRUCell}
    if direction.kind not in classes:
        raise InputError(
            "to_linen: linen's GRUCell resets after the recurrent product, got one "
            "with reset_after=False, which is another function"
        )
    options = {"dtype": direction.dtype, "param_dtype": direction.param_dtype}
    return classes[direction.kind](direction.sizes[1], **options)


def _gate_by_gate(direction: Layer) -> dict[str, Any]:
    gates = {"rnn": ("",), "lstm": "ifgo", "gru": "rzn"}[direction.kind]
    inputs, states = [f"i{gate}" for gate in gates], [f"h{gate}" for gate in gates]

    def apart(name):
        return jnp.split(jnp.array(direction.params[name]), len(inputs), axis=-1)

    weights = {
        name: {"kernel": kernel}
        for names, kernels in ((inputs, "kernel"), (states, "recurrent_kernel"))
        for name, kernel in zip(names, apart(kernels), strict=True)
    }
    biased = states if direction.kind == "lstm" else inputs
    for name, bias in zip(biased, apart("bias"), strict=True):
        weights[name]["bias"] = bias
    if direction.kind == "gru":
        weights["hn"]["bias"] = jnp.array(direction.params["recurrent_bias"])
    return weights
