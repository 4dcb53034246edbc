"""Weights from and to Keras 3: ``SimpleRNN``, ``LSTM``, ``GRU``."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxtext.dropout import dropout
from jaxtext.errors import InputError
from jaxtext.interop.gates import merge_gru_biases, reorder, split_biases
from jaxtext.interop.layers import (
    Kind,
    Layer,
    Network,
    both_ways,
    in_sequence,
    layer,
    layers_of,
)
from jaxtext.interop.peer import peer
from jaxtext.types import Cell, DType, Params


def from_keras(module: Any) -> Network:
    """Converts a recurrent layer of Keras to a cell and its parameters.

    The weights of an LSTM stay as they are. A GRU of Keras has its gates in the order
    ``z, r, h``. With ``reset_after=True`` it has two biases for each gate. They are
    added up, except for ``b_hn``, which is within the reset gate and stays apart.

    Args:
      module: A layer that is built: ``SimpleRNN``, ``LSTM``, ``GRU``, or an ``RNN`` of
        their cells; ``Bidirectional`` around one of these; or a ``Sequential`` of any
        of these and ``Dropout``.

    Returns:
      The cell and its parameters, copied, in the layer's dtypes.

    Raises:
      InputError: If the layer is not built, or there is no cell for it (another class,
        other activations, another ``merge_mode``, ``dropout`` within a layer).

    Example:
      >>> import keras
      >>> import jaxtext as jt
      >>> module = keras.layers.LSTM(5, return_sequences=True)
      >>> module.build((None, None, 3))
      >>> cell, params = from_keras(module)
      >>> _, ys = jt.unroll(
      ...     cell, params, cell.initial_state((2,)), jnp.ones((2, 7, 3))
      ... )
      >>> ys.shape
      (2, 7, 5)
    """
    keras = peer("keras", "keras")
    if not module.built:
        raise InputError(
            f"from_keras: {module.name} has no weights yet; call its build() first"
        )
    if isinstance(module, keras.Sequential):
        return in_sequence([from_keras(one) for one in module.layers])
    if isinstance(module, keras.layers.Dropout) and module.noise_shape is None:
        return dropout(module.rate), {}
    if isinstance(module, keras.layers.Bidirectional):
        ahead, back = module.forward_layer, module.backward_layer
        if module.merge_mode != "concat":
            raise InputError(
                "from_keras: expected a Bidirectional that concatenates both outputs, "
                f"got merge_mode={module.merge_mode!r}"
            )
        return both_ways(_layer(ahead, False), _layer(back, True))
    return _layer(module, False)


def to_keras(cell: Cell, params: Params) -> Any:
    """Converts a cell and its parameters to a recurrent layer of Keras.

    The bias of a GRU becomes the input bias. The recurrent bias is zero, except for
    ``b_hn``. Dropout is left out, since it does nothing without a key.

    Args:
      cell: `rnn`, `lstm` or `gru`, alone, in `bidirectional`, or in a `stack` of these.
      params: Its parameters.

    Returns:
      The layer, built, with ``return_sequences=True``; for a stack a ``Sequential``.

    Raises:
      InputError: If the network contains other cells, or has dtypes for which Keras has
        no policy.

    Example:
      >>> import jax, jaxtext as jt
      >>> cell = jt.gru(5)
      >>> to_keras(cell, cell.init(jax.random.key(0), 3)).units
      5
    """
    keras = peer("keras", "keras")
    layers, modules = layers_of(cell, params), []
    for directions in layers:
        module, *back = (_to_layer(keras, d, n == 1) for n, d in enumerate(directions))
        if back:
            module = keras.layers.Bidirectional(module, backward_layer=back[0])
        module.build((None, None, directions[0].sizes[0]))
        weights = [w for d in directions for w in _weights(d)]
        for variable, weight in zip(module.weights, weights, strict=True):
            variable.assign(weight)
        modules.append(module)
    if len(modules) == 1:
        return modules[0]
    network = keras.Sequential(modules)
    network.build((None, None, layers[0][0].sizes[0]))
    return network


def _layer(module: Any, backwards: bool) -> Network:
    layers = peer("keras", "keras").layers
    if not isinstance(module, layers.RNN):
        raise InputError(
            "from_keras: expected SimpleRNN, LSTM or GRU, alone, in Bidirectional or "
            f"in Sequential, got {type(module).__name__}"
        )
    if module.go_backwards != backwards:
        raise InputError(
            f"from_keras: got {module.name} with go_backwards={module.go_backwards}; "
            "convert it forwards, and use jt.unroll(…, reverse=True)"
        )
    stacked = isinstance(module.cell, layers.StackedRNNCells)
    cells = module.cell.cells if stacked else [module.cell]
    return in_sequence([_cell(cell) for cell in cells])


def _cell(cell: Any) -> Network:
    keras = peer("keras", "keras")
    kinds: dict[Any, Kind] = {
        keras.layers.SimpleRNNCell: "rnn",
        keras.layers.LSTMCell: "lstm",
        keras.layers.GRUCell: "gru",
    }
    kind = kinds.get(type(cell))
    if kind is None:
        raise InputError(
            "from_keras: expected SimpleRNNCell, LSTMCell or GRUCell, got "
            f"{type(cell).__name__}"
        )
    functions = keras.activations
    if (
        cell.activation is not functions.tanh
        or getattr(cell, "recurrent_activation", functions.sigmoid)
        is not functions.sigmoid
    ):
        raise InputError(
            f"from_keras: expected tanh and sigmoid gates, got a {type(cell).__name__} "
            "with other activations"
        )
    if cell.dropout or cell.recurrent_dropout:
        raise InputError(
            f"from_keras: expected no dropout within the layer, got a "
            f"{type(cell).__name__} with dropout; to convert what it computes at "
            "inference, set its dropout and recurrent_dropout to 0"
        )

    def read(name):
        # A copy by way of NumPy, which Keras offers with each of its backends.
        return jnp.array(keras.ops.convert_to_numpy(getattr(cell, name).value))

    params = {"kernel": read("kernel"), "recurrent_kernel": read("recurrent_kernel")}
    if cell.use_bias:
        params["bias"] = read("bias")
    else:
        rows = (2,) if kind == "gru" and cell.reset_after else ()
        width = params["kernel"].shape[1]
        params["bias"] = jnp.zeros((*rows, width), params["kernel"].dtype)
    if kind == "gru":
        params = {name: reorder(x, "zrn", "rzn") for name, x in params.items()}
        if not cell.reset_after:
            kind = "gru, reset before"
        else:
            params |= merge_gru_biases(*params["bias"])
    return layer(kind, params, jnp.dtype(cell.compute_dtype))


def _to_layer(keras: Any, direction: Layer, backwards: bool) -> Any:
    options = {
        "return_sequences": True,
        "go_backwards": backwards,
        # The default, orthogonal, cannot be drawn in 16 bits.
        "recurrent_initializer": "glorot_uniform",
        "dtype": _policy(direction.dtype, direction.param_dtype),
    }
    hidden = direction.sizes[1]
    match direction.kind:
        case "rnn":
            return keras.layers.SimpleRNN(hidden, **options)
        case "lstm":
            return keras.layers.LSTM(hidden, **options)
        case "gru":
            return keras.layers.GRU(hidden, reset_after=True, **options)
        case "gru, reset before":
            return keras.layers.GRU(hidden, reset_after=False, **options)


def _policy(dtype: DType, param_dtype: DType) -> str:
    name, param_name = jnp.dtype(dtype).name, jnp.dtype(param_dtype).name
    if name == param_name:
        return name
    if param_name == "float32" and name in ("float16", "bfloat16"):
        return f"mixed_{name}"
    raise InputError(
        f"to_keras: Keras has no policy to compute in {name} with {param_name} weights"
    )


def _weights(direction: Layer) -> list[np.ndarray]:
    """The weights in Keras's order: kernel, recurrent kernel, bias."""
    params = dict(direction.params)
    if direction.kind == "gru":
        del params["recurrent_bias"]
        params["bias"] = jnp.stack(split_biases(direction))
    if direction.kind in ("gru", "gru, reset before"):
        params = {name: reorder(x, "rzn", "zrn") for name, x in params.items()}
    return [np.asarray(params[n]) for n in ("kernel", "recurrent_kernel", "bias")]
