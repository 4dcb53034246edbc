"""Weights from and to PyTorch: ``nn.RNN``, ``nn.LSTM``, ``nn.GRU``."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtext.dropout import dropout
from jaxtext.errors import InputError
from jaxtext.floats import accumulation_dtype
from jaxtext.interop.gates import merge_gru_biases, split_biases
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
from jaxtext.interop.representable import class_of
from jaxtext.types import Array, Cell, Params


def from_torch(module: Any) -> Network:
    """Converts a module of PyTorch to a cell and its parameters.

    Kernels are transposed, and the order of the gates is the same. PyTorch has two
    biases for each gate. They are added up, except for ``b_hn`` of a GRU, which is
    within the reset gate and stays apart. Dropout between layers becomes
    `jaxtext.dropout`. ``batch_first`` does not matter: it says nothing about weights.

    Args:
      module: ``torch.nn.RNN``, ``LSTM`` or ``GRU``, of any number of layers,
        bidirectional or not, with or without bias, on any device.

    Returns:
      The cell and its parameters, copied, in the module's dtype.

    Raises:
      InputError: If there is no cell for the module (another class,
        ``nonlinearity="relu"``, ``proj_size``).

    Example:
      >>> import torch
      >>> import jaxtext as jt
      >>> cell, params = from_torch(torch.nn.LSTM(3, 5, batch_first=True))
      >>> _, ys = jt.unroll(
      ...     cell, params, cell.initial_state((2,)), jnp.ones((2, 7, 3))
      ... )
      >>> ys.shape
      (2, 7, 5)
    """
    nn = peer("torch", "torch").nn
    kinds: dict[Any, Kind] = {nn.RNN: "rnn", nn.LSTM: "lstm", nn.GRU: "gru"}
    kind: Kind | None = None
    for cls, of_class in kinds.items():
        kind = of_class if isinstance(module, cls) else kind
    if kind is None:
        raise InputError(
            "from_torch: expected torch.nn.RNN, LSTM or GRU, got "
            f"{type(module).__name__}"
        )
    if kind == "rnn" and module.nonlinearity != "tanh":
        raise InputError(
            f"from_torch: jt.rnn uses tanh, got an nn.RNN with {module.nonlinearity}"
        )
    if module.proj_size:
        raise InputError(
            "from_torch: projections are not converted, got an nn.LSTM with "
            f"proj_size={module.proj_size}"
        )
    networks = []
    for n in range(module.num_layers):
        if n and module.dropout:
            networks.append((dropout(module.dropout), {}))
        one = _direction(kind, module, f"_l{n}")
        if module.bidirectional:
            one = both_ways(one, _direction(kind, module, f"_l{n}_reverse"))
        networks.append(one)
    return in_sequence(networks)


def to_torch(cell: Cell, params: Params) -> Any:
    """Converts a cell and its parameters to a module of PyTorch.

    The bias becomes ``b_ih``. ``b_hh`` is zero, except for ``b_hn`` of a GRU. Dropout
    is left out, since it does nothing without a key.

    Args:
      cell: `rnn`, `lstm` or `gru`, alone, in `bidirectional`, or in a `stack` of these.
        All layers of a stack have the same kind, width and number of directions.
      params: Its parameters.

    Returns:
      ``torch.nn.RNN``, ``LSTM`` or ``GRU`` with ``batch_first=True``, on the CPU, in
      the dtype of the parameters.

    Raises:
      InputError: If the network contains other cells, a GRU with
        ``reset_after=False``, or layers that differ.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.stack(jt.lstm(5), jt.lstm(5))
      >>> to_torch(cell, cell.init(jax.random.key(0), 3))
      LSTM(3, 5, num_layers=2, batch_first=True)
    """
    torch = peer("torch", "torch")
    layers = layers_of(cell, params)
    forms = {
        (len(directions), d.kind, d.sizes[1], jnp.dtype(d.param_dtype).name)
        for directions in layers
        for d in directions
    }
    if len(forms) > 1:
        raise InputError(
            "to_torch: torch's modules have one kind, width, dtype and number of "
            f"directions for all layers, got {sorted(forms)}; convert layer by layer"
        )
    [(directions, _, hidden, dtype)] = forms
    classes = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    module = class_of(classes, layers[0][0], "to_torch", "torch")(
        layers[0][0].sizes[0],
        hidden,
        num_layers=len(layers),
        bidirectional=directions == 2,
        batch_first=True,
        dtype=getattr(torch, dtype),
        device="meta",  # draws no random numbers
    )
    weights = {}
    for n, both in enumerate(layers):
        for direction, suffix in zip(both, ("", "_reverse"), strict=False):
            for name, x in _to_direction(direction).items():
                # torch reads no bfloat16 from NumPy. float32 holds both 16-bit types.
                wide = accumulation_dtype(x.dtype)
                x = torch.tensor(np.asarray(x).astype(wide))
                weights[f"{name}_l{n}{suffix}"] = x
    module.to_empty(device="cpu").load_state_dict(weights)
    return module


def _direction(kind: Kind, module: Any, suffix: str) -> Network:
    def read(name):
        return _as_jax(getattr(module, name + suffix))

    kernel, recurrent_kernel = read("weight_ih").T, read("weight_hh").T
    zeros = jnp.zeros(kernel.shape[1], kernel.dtype)
    b_ih, b_hh = (read("bias_ih"), read("bias_hh")) if module.bias else (zeros, zeros)
    params = {"kernel": kernel, "recurrent_kernel": recurrent_kernel}
    biases = merge_gru_biases(b_ih, b_hh) if kind == "gru" else {"bias": b_ih + b_hh}
    return layer(kind, params | biases)


def _to_direction(direction: Layer) -> dict[str, Array]:
    params = direction.params
    bias_ih, bias_hh = split_biases(direction)
    return {
        "weight_ih": params["kernel"].T,
        "weight_hh": params["recurrent_kernel"].T,
        "bias_ih": bias_ih,
        "bias_hh": bias_hh,
    }


def _as_jax(tensor: Any) -> Array:
    """A copy, so that training one network does not change the other."""
    tensor = tensor.detach().cpu()
    name = str(tensor.dtype).removeprefix("torch.")
    if jax.dtypes.canonicalize_dtype(name) != name:
        raise InputError(
            "from_torch: float64 needs jax.config.update('jax_enable_x64', True); "
            "otherwise convert module.float()"
        )
    # torch gives NumPy no bfloat16. float32 holds it exactly.
    wide = tensor.float() if name == "bfloat16" else tensor
    return jnp.array(wide.numpy(), name)
