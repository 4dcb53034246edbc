"""Weights from and to Equinox: ``eqx.nn.LSTMCell``, ``eqx.nn.GRUCell``."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxtext.errors import InputError
from jaxtext.interop.layers import Layer, Network, in_sequence, layer, layers_of
from jaxtext.interop.peer import peer
from jaxtext.interop.representable import class_of, one_way
from jaxtext.types import Cell, Params


def from_equinox(module: Any) -> Network:
    """Converts a cell of Equinox to a cell and its parameters.

    Kernels are transposed. The order of the gates and the biases are the same.

    Args:
      module: ``eqx.nn.LSTMCell`` or ``GRUCell``; or a tuple of these, a stack in which
        each reads the outputs of the one before.

    Returns:
      The cell and its parameters, in their own dtype.

    Raises:
      InputError: If `module` is of another class.

    Example:
      >>> import equinox as eqx
      >>> cell, params = from_equinox(eqx.nn.GRUCell(3, 5, key=jax.random.key(0)))
      >>> params["kernel"].shape
      (3, 15)
    """
    eqx = peer("equinox", "equinox")
    if isinstance(module, tuple | list):
        return in_sequence([from_equinox(one) for one in module])
    if not isinstance(module, eqx.nn.LSTMCell | eqx.nn.GRUCell):
        raise InputError(
            "from_equinox: expected eqx.nn.LSTMCell or GRUCell, or a tuple of these, "
            f"got {type(module).__name__}"
        )
    kernel = module.weight_ih.T
    zeros = jnp.zeros(kernel.shape[1], kernel.dtype)
    weights = {
        "kernel": kernel,
        "recurrent_kernel": module.weight_hh.T,
        "bias": module.bias if module.use_bias else zeros,
    }
    if isinstance(module, eqx.nn.LSTMCell):
        return layer("lstm", weights)
    own = module.bias_n if module.use_bias else zeros[: module.hidden_size]
    return layer("gru", weights | {"recurrent_bias": own})


def to_equinox(cell: Cell, params: Params) -> Any:
    """Converts a cell and its parameters to a cell of Equinox.

    Dropout is left out, since it does nothing without a key.

    Args:
      cell: `lstm` or `gru`, alone or in a `stack`.
      params: Its parameters.

    Returns:
      ``eqx.nn.LSTMCell`` or ``GRUCell``; for a stack a tuple of these.

    Raises:
      InputError: If the network contains other cells, a GRU with
        ``reset_after=False``, or bidirectional layers, which Equinox does not have.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.gru(5)
      >>> module = to_equinox(cell, cell.init(jax.random.key(0), 3))
      >>> module(jnp.ones(3), jnp.zeros(5)).shape
      (5,)
    """
    eqx = peer("equinox", "equinox")
    layers = one_way(layers_of(cell, params), "to_equinox", "Equinox")
    modules = [_to_cell(eqx, one) for one in layers]
    return modules[0] if len(modules) == 1 else tuple(modules)


def _to_cell(eqx: Any, one: Layer) -> Any:
    classes = {"lstm": eqx.nn.LSTMCell, "gru": eqx.nn.GRUCell}
    cls = class_of(classes, one, "to_equinox", "Equinox")
    params = {name: jnp.array(x) for name, x in one.params.items()}
    weights = [params["kernel"].T, params["recurrent_kernel"].T, params["bias"]]
    if one.kind == "gru":
        weights.append(params["recurrent_bias"])
    like = eqx.filter_eval_shape(
        cls, *one.sizes, dtype=one.param_dtype, key=jax.random.key(0)
    )
    names = ("weight_ih", "weight_hh", "bias", "bias_n")[: len(weights)]
    return eqx.tree_at(lambda m: [getattr(m, n) for n in names], like, weights)
