"""The states and gates of a network while it reads, by name."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxtext as jt
from jaxtext.cells.affine import input_product
from jaxtext.cells.layer_norm import layer_norm
from jaxtext.types import Array, Params


class Units(NamedTuple):
    """The values of all units after each symbol.

    Attributes:
      names: ``U`` of them, such as ``layer 1, c[17]``.
      values: ``[n, U]`` float32.
    """

    names: list[str]
    values: np.ndarray


def watch(
    model: jt.LanguageModel, params: Params, ids: np.ndarray, identity: dict[str, Any]
) -> Units:
    """Reads a text once, and returns the states and gates of all layers.

    Args:
      model: The model.
      params: Its parameters.
      ids: ``[n]`` symbols.
      identity: What the model was built from, as `charlm.build.build_model` takes it.

    Returns:
      States after each symbol, ``c`` and ``h``, and the gates that led to them: the
      LSTM's ``i, f, o``, the GRU's ``r, z``.
    """

    @jax.jit
    def read(params, state, ids):
        def step(state, symbol):
            state, _ = model.apply({"params": params}, state, symbol, method="step")
            return state, state

        return jax.lax.scan(step, state, ids)[1]

    states = read(params, model.initial_state(()), ids)
    x = jnp.asarray(ids)
    if "embedding" in params:
        x = params["embedding"][x]
    begins = None if model.end is None else jnp.asarray(ids == model.end)
    names, values = [], []
    # What the stack has beside its layers, dropout, has neither state nor parameters.
    layers = {str(n): state for n, state in enumerate(states) if jax.tree.leaves(state)}
    for layer, (name, state) in enumerate(layers.items(), 1):
        of_layer = params["recurrent"][name]
        h = state.h if isinstance(state, jt.LSTMState) else state
        parts = state._asdict() if isinstance(state, jt.LSTMState) else {"h": h}
        parts |= _gates(identity["cell"], of_layer, x, h, begins)
        for part, of_part in parts.items():
            names += [f"layer {layer}, {part}[{k}]" for k in range(of_part.shape[-1])]
            values.append(np.asarray(of_part, np.float32))
        x = h + x if identity.get("residual") and layer > 1 else h
    return Units(names, np.concatenate(values, axis=1))


def _gates(
    cell: str, params: Params, x: Array, h: Array, begins: Array | None
) -> dict[str, Array]:
    """The gates of one layer at each step, by the equations of `jaxtext.cells`.

    Args:
      cell: Its name. Only the gates of an LSTM and of a GRU are computed.
      params: Its parameters, of the one with layer norm if they have its scales.
      x: ``[n]`` symbols or ``[n, D]``, what it read.
      h: ``[n, H]``, its hidden state after each of them.
      begins: ``[n]`` booleans, where a document begins, from the zero state.
    """
    h_tm1 = jnp.concatenate([jnp.zeros_like(h[:1]), h[:-1]])
    if begins is not None:
        h_tm1 = jnp.where(begins[:, None], 0, h_tm1)
    if cell not in ("lstm", "gru"):
        return {}
    from_x = input_product(x, params["kernel"], h.dtype)
    from_h = h_tm1 @ params["recurrent_kernel"]
    if cell == "lstm":
        i, f, _, o = jnp.split(_sum(params, from_x, from_h), 4, axis=-1)
        gates = {"i": i, "f": f, "o": o}
    else:
        # The candidate apart: what is normalised are the gates alone.
        width = 2 * h.shape[-1]
        of_gates = {k: v[..., :width] for k, v in params.items()}
        z = _sum(of_gates, from_x[..., :width], from_h[..., :width])
        gates = dict(zip("rz", jnp.split(z, 2, axis=-1), strict=True))
    return {name: jax.nn.sigmoid(gate) for name, gate in gates.items()}


def _sum(params, from_x, from_h):
    """The pre-activations: both products, normalised if the cell does so, and bias."""
    if "input_scale" in params:
        from_x = layer_norm(from_x, params["input_scale"])
        from_h = layer_norm(from_h, params["recurrent_scale"])
    return from_x + from_h + params["bias"]
