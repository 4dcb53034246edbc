"""Weights from and to Haiku: ``hk.LSTM``, ``hk.GRU``, ``hk.DeepRNN``."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from jaxtext.errors import InputError
from jaxtext.interop.layers import (
    Layer,
    Network,
    in_sequence,
    layer,
    layers_of,
    reorder,
)
from jaxtext.interop.peer import peer
from jaxtext.types import Cell, Params


def from_haiku(make_core: Callable[[], Any], params: Mapping[str, Any]) -> Network:
    """A cell that computes what a recurrent core of Haiku does, and its parameters.

    Haiku's LSTM has one kernel for input and state, gates in the order ``i, g, f, o``,
    and adds one to the forget gate each time it runs: here the one is in the bias. Its
    GRU resets before the recurrent product, and its ``z`` writes where ours keeps:
    ``σ(-a) = 1 - σ(a)``, so that gate's weights change their sign.

    Args:
      make_core: What makes the core, as a transformed function would call it:
        ``lambda: hk.LSTM(5)``. An `LSTM`, a `GRU`, or a `DeepRNN` of these.
      params: The parameters, by Haiku's names; for a core within other modules, those
        names without what the modules around it put in front.

    Returns:
      A cell and its parameters, in their own dtype.

    Raises:
      InputError: If it is another core (``VanillaRNN`` is ReLU where `rnn` is tanh), or
        the parameters are not its own.

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
            "from_haiku: expected the core's parameters under the core's names, got no "
            f"{missing} in {sorted(params)}"
        ) from None


def to_haiku(cell: Cell, params: Params) -> tuple[Callable[[], Any], dict[str, Any]]:
    """A recurrent core of Haiku that computes what a cell does, and its parameters.

    Dropout is nothing without a key, and is left out.

    Args:
      cell: `lstm` or ``gru(reset_after=False)``, alone or in a `stack`.
      params: Its parameters.

    Returns:
      What makes the core within a transformed function, an `LSTM`, a `GRU` or for a
      stack a `DeepRNN`; and the parameters that function is applied with.

    Raises:
      InputError: If the network is made of other cells, bidirectional ones among them:
        Haiku has none.

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
    layers = []
    for directions in layers_of(cell, params):
        if len(directions) == 2:
            raise InputError(
                "to_haiku: Haiku has no bidirectional core, got jt.bidirectional: "
                "convert its two cells singly"
            )
        layers += directions
    weights = {}
    for n, one in enumerate(layers):
        weights |= _to_weights(one, f"layer_{n}")
    kinds = {"lstm": haiku.LSTM, "gru, reset before": haiku.GRU}

    def make_core():
        cores = [
            kinds[one.kind](one.sizes[1], name=f"layer_{n}")
            for n, one in enumerate(layers)
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
        raise InputError("from_haiku: jt.rnn is tanh, Haiku's VanillaRNN is ReLU")
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
    if one.kind == "gru, reset before":
        params = {k: reorder(_negate_z(x), "rza", "zra") for k, x in params.items()}
        own = {"w_i": params["kernel"], "w_h": params["recurrent_kernel"]}
        return {name: own | {"b": params["bias"]}}
    raise InputError(
        "to_haiku: Haiku's VanillaRNN is ReLU, got jt.rnn, which is tanh"
        if one.kind == "rnn"
        else "to_haiku: Haiku's GRU resets before the recurrent product, got one with "
        "reset_after=True, which is another function"
    )


def _negate_z(x):
    """The sign of the middle one of three gates."""
    r, z, n = jnp.split(x, 3, axis=-1)
    return jnp.concatenate([r, -z, n], axis=-1)
