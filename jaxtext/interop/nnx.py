"""Weights from and to ``flax.nnx``: ``SimpleCell``, ``LSTMCell``, ``GRUCell``."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

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
from jaxtext.interop.peer import peer
from jaxtext.types import Cell, Params


def from_nnx(module: Any) -> Network:
    """A cell that computes what a recurrent module of nnx does, and its parameters.

    Its gates are in our order. Its GRU has no ``b_hn``, which becomes zero.

    Args:
      module: ``SimpleCell``, ``LSTMCell``, ``OptimizedLSTMCell`` or ``GRUCell``, alone
        or in ``RNN``, such a one in ``Bidirectional``, or a ``Sequential`` of these and
        of ``Dropout``.

    Returns:
      A cell and its parameters, in the module's dtypes.

    Raises:
      InputError: If it is another module, or computes what no cell of ours does (other
        activations, ``residual``, ``merge_fn``, a carry that does not start at zero).

    Example:
      >>> from flax import nnx
      >>> import jaxtext as jt
      >>> module = nnx.RNN(nnx.LSTMCell(3, 5, rngs=nnx.Rngs(0)))
      >>> cell, params = from_nnx(module)
      >>> _, ys = jt.unroll(
      ...     cell, params, cell.initial_state((2,)), jnp.ones((2, 7, 3))
      ... )
      >>> ys.shape
      (2, 7, 5)
    """
    nnx = peer("flax.nnx", "flax")
    match module:
        case nnx.Sequential():
            return in_sequence([from_nnx(one) for one in module.layers])
        case nnx.Dropout() if not module.broadcast_dims:
            return dropout(module.rate), {}
        case nnx.Bidirectional():
            with jax.ensure_compile_time_eval():  # so that it can be differentiated
                merged = module.merge_fn(jnp.zeros((1, 1)), jnp.ones((1, 1)))
            if merged.tolist() != [[0, 1]]:
                raise InputError(
                    "from_nnx: jt.bidirectional puts both outputs side by side, got "
                    "another merge_fn"
                )
            rnns = module.forward_rnn, module.backward_rnn
            return both_ways(*(_cell(getattr(rnn, "cell", rnn)) for rnn in rnns))
        case nnx.RNN():
            if module.reverse:
                raise InputError(
                    "from_nnx: expected an RNN that reads forwards, got reverse=True; "
                    "convert its cell, and use jt.unroll(…, reverse=True)"
                )
            return _cell(module.cell)
        case _:
            return _cell(module)


def to_nnx(cell: Cell, params: Params) -> Any:
    """A recurrent module of nnx that computes what a cell does.

    Dropout is nothing without a key, and is left out.

    Args:
      cell: `rnn`, `lstm` or `gru`, alone, in a `stack`, or singly in `bidirectional`.
      params: Its parameters.

    Returns:
      ``nnx.RNN`` around a cell, ``nnx.Bidirectional`` around two of these, or for a
      stack ``nnx.Sequential``.

    Raises:
      InputError: If the network is made of other cells, of a GRU whose ``b_hn`` is not
        zero, or of one that resets before its recurrent product.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.lstm(5)
      >>> module = to_nnx(cell, cell.init(jax.random.key(0), 3))
      >>> module(jnp.ones((2, 7, 3))).shape
      (2, 7, 5)
    """
    nnx = peer("flax.nnx", "flax")
    modules = []
    for directions in layers_of(cell, params):
        rnns = [nnx.RNN(_to_cell(nnx, d)) for d in directions]
        modules.append(rnns[0] if len(rnns) == 1 else nnx.Bidirectional(*rnns))
    return modules[0] if len(modules) == 1 else nnx.Sequential(*modules)


def _cell(module: Any) -> Network:
    nnx = peer("flax.nnx", "flax")

    def side_by_side(names, what):
        parts = [getattr(getattr(module, name), what)[...] for name in names]
        return jnp.concatenate(parts, axis=-1)

    match module:
        case nnx.LSTMCell():
            kind, bias = "lstm", ("hi", "hf", "hg", "ho")
            names = ("ii", "if_", "ig", "io"), bias
        case nnx.OptimizedLSTMCell():
            kind, names, bias = "lstm", (("dense_i",), ("dense_h",)), ("dense_h",)
        case nnx.GRUCell():
            kind, names, bias = "gru", (("dense_i",), ("dense_h",)), ("dense_i",)
        case nnx.SimpleCell():
            kind, names, bias = "rnn", (("dense_i",), ("dense_h",)), ("dense_i",)
        case _:
            raise InputError(
                "from_nnx: expected SimpleCell, LSTMCell or GRUCell, alone, in RNN, "
                f"Bidirectional or Sequential, got {type(module).__name__}"
            )
    same = (
        module.activation_fn is nnx.tanh,
        getattr(module, "gate_fn", nnx.sigmoid) is nnx.sigmoid,
        module.carry_init in (None, nnx.initializers.zeros),
        not getattr(module, "residual", False),
    )
    if not all(same):
        raise InputError(
            f"from_nnx: expected a {type(module).__name__} with tanh, sigmoid gates, a "
            "carry that starts at zero and no residual, got another"
        )
    weights = {
        "kernel": side_by_side(names[0], "kernel"),
        "recurrent_kernel": side_by_side(names[1], "kernel"),
        "bias": side_by_side(bias, "bias"),
    }
    if kind == "gru":
        third = weights["bias"][: module.hidden_features]
        weights["recurrent_bias"] = jnp.zeros_like(third)
    return layer(kind, weights, module.dtype)


def _to_cell(nnx: Any, direction: Layer) -> Any:
    classes = {"rnn": nnx.SimpleCell, "lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell}
    if direction.kind not in classes:
        raise InputError(
            "to_nnx: nnx's GRUCell resets after the recurrent product, got one with "
            "reset_after=False, which is another function"
        )
    params = direction.params
    if np.any(params.get("recurrent_bias", 0)):
        raise InputError(
            "to_nnx: nnx's GRUCell has no bias b_hn within the reset gate, got one "
            "that is not zero; to_linen has a place for it"
        )
    cell = classes[direction.kind](
        *direction.sizes,
        dtype=direction.dtype,
        param_dtype=direction.param_dtype,
        # nnx's own, orthogonal, cannot be drawn in 16 bits.
        recurrent_kernel_init=nnx.initializers.lecun_normal(),
        rngs=nnx.Rngs(0),
    )
    cell.dense_i.kernel[...] = params["kernel"]
    cell.dense_h.kernel[...] = params["recurrent_kernel"]
    biased = cell.dense_h if direction.kind == "lstm" else cell.dense_i
    biased.bias[...] = params["bias"]
    return cell
