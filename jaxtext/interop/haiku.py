"""Weights from and to Haiku: ``hk.LSTM``, ``hk.GRU``, ``hk.DeepRNN``."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from jaxtext.errors import InputError
from jaxtext.interop.gates import reorder
from jaxtext.interop.layers import Layer, Network, in_sequence, layer, layers_of
from jaxtext.interop.peer import peer
from jaxtext.interop.representable import class_of, one_way
from jaxtext.types import Cell, Params


def from_haiku(make_core: Callable[[], Any], params: Mapping[str, Any]) -> Network:
    """Converts a recurrent core of Haiku to a cell and its parameters.

    Haiku's LSTM has one kernel for input and state, and gates in the order
    ``i, g, f, o``. It adds 1 to the forget gate in every step, which becomes part of
    the bias here. Its GRU resets before the recurrent product, and its ``z`` is
    ``1 - z`` here. The weights of that gate change their sign, as ``σ(-a) = 1 - σ(a)``.

    Args:
      make_core: A function that creates the core, as you would call it in a transformed
        function: ``lambda: hk.LSTM(5)``. The core is an ``LSTM``, a ``GRU``, or a
        ``DeepRNN`` of these.
      params: The parameters, by Haiku's names. For a core within other modules, leave
        out the prefix of these.

    Returns:
      The cell and its parameters, in their own dtype.

    Raises:
      InputError: If there is no cell for the core (``VanillaRNN`` uses ReLU, `rnn`
        tanh), or the parameters belong to another core.

    Example:
      >>> import jax, haiku as hk
      >>> def core():
      ...     return hk.LSTM(5)
      >>> def run(xs):
      ...     return hk.dynamic_unroll(core(), xs, hk.LSTM(5).initial_state(None))[0]
      >>> weights = hk.transform(run).init(jax.random.key(0), jnp.ones((7, 3)))
      >>> cell, params = from_haiku(core, weights)
      >>> params["kernel"].shape
      (3, 20)
    """
    haiku = peer("haiku", "dm-haiku")
    found = []

    def look():
        core = make_core()
        deep = isinstance(core, haiku.DeepRNN)
        for one in core.layers if deep else [core]:
            found.append((one, getattr(one, "module_name", None)))

    haiku.transform(look).init(None)
    try:
        return in_sequence([_core(haiku, core, params, name) for core, name in found])
    except KeyError as missing:
        raise InputError(
            f"from_haiku: expected the core's parameters, got no {missing} in "
            f"{sorted(params)}"
        ) from None


def to_haiku(cell: Cell, params: Params) -> tuple[Callable[[], Any], dict[str, Any]]:
    """Converts a cell and its parameters to a recurrent core of Haiku.

    Dropout is left out, since it does nothing without a key.

    Args:
      cell: `lstm` or ``gru(reset_after=False)``, alone or in a `stack`.
      params: Its parameters.

    Returns:
      A function that creates the core within a transformed function, and the parameters
      to apply that function with. The core is an ``LSTM``, a ``GRU``, or for a stack a
      ``DeepRNN``.

    Raises:
      InputError: If the network contains other cells, a GRU with ``reset_after=True``,
        or bidirectional layers, which Haiku does not have.

    Example:
      >>> import jax, haiku as hk
      >>> import jaxtext as jt
      >>> cell = jt.lstm(5)
      >>> core, params = to_haiku(cell, cell.init(jax.random.key(0), 3))
      >>> def run(xs):
      ...     return hk.dynamic_unroll(core(), xs, hk.LSTM(5).initial_state(None))[0]
      >>> hk.transform(run).apply(params, None, jnp.ones((7, 3))).shape
      (7, 5)
    """
    haiku = peer("haiku", "dm-haiku")
    layers = one_way(layers_of(cell, params), "to_haiku", "Haiku")
    classes = {"lstm": haiku.LSTM, "gru, reset before": haiku.GRU}
    weights, kinds = {}, []
    for n, one in enumerate(layers):
        kinds.append(class_of(classes, one, "to_haiku", "Haiku"))
        weights |= _to_weights(one, f"layer_{n}")

    def make_core():
        cores = [
            kind(one.sizes[1], name=f"layer_{n}")
            for n, (kind, one) in enumerate(zip(kinds, layers, strict=True))
        ]
        return cores[0] if len(cores) == 1 else haiku.DeepRNN(cores)

    return make_core, weights


def _core(haiku: Any, core: Any, params: Mapping[str, Any], name: str) -> Network:
    if isinstance(core, haiku.LSTM):
        w, b = params[f"{name}/linear"]["w"], params[f"{name}/linear"]["b"]
        kernel, recurrent_kernel = jnp.split(w, [len(w) - core.hidden_size])
        weights = {"kernel": kernel, "recurrent_kernel": recurrent_kernel, "bias": b}
        weights = {k: reorder(x, "igfo", "ifgo") for k, x in weights.items()}
        forget = slice(core.hidden_size, 2 * core.hidden_size)
        weights["bias"] = weights["bias"].at[forget].add(1)
        return layer("lstm", weights)
    if isinstance(core, haiku.GRU):
        own = params[name]
        names = {"kernel": "w_i", "recurrent_kernel": "w_h", "bias": "b"}
        weights = {
            ours: _negate_z(reorder(own[theirs], "zra", "rza"))
            for ours, theirs in names.items()
        }
        return layer("gru, reset before", weights)
    if isinstance(core, haiku.VanillaRNN):
        raise InputError(
            "from_haiku: jt.rnn uses tanh, got a VanillaRNN, which uses ReLU"
        )
    raise InputError(
        "from_haiku: expected LSTM or GRU, alone or in DeepRNN, got "
        f"{getattr(core, '__name__', type(core).__name__)}"
    )


def _to_weights(one: Layer, name: str) -> dict[str, Any]:
    params = {k: jnp.asarray(x) for k, x in one.params.items()}
    hidden = one.sizes[1]
    if one.kind == "lstm":
        params["bias"] = params["bias"].at[hidden : 2 * hidden].add(-1)
        params = {k: reorder(x, "ifgo", "igfo") for k, x in params.items()}
        w = jnp.concatenate([params["kernel"], params["recurrent_kernel"]])
        return {f"{name}/linear": {"w": w, "b": params["bias"]}}
    params = {k: reorder(_negate_z(x), "rza", "zra") for k, x in params.items()}
    own = {"w_i": params["kernel"], "w_h": params["recurrent_kernel"]}
    return {name: own | {"b": params["bias"]}}


def _negate_z(x):
    """Changes the sign of the second of three gates."""
    r, z, n = jnp.split(x, 3, axis=-1)
    return jnp.concatenate([r, -z, n], axis=-1)
