"""The cells of jaxtext and of other JAX libraries, with one signature.

Each is used as the documentation of its library recommends, in the layout that suits it
best, with a given initial state. Libraries are imported where they are used, so that a
missing one does not affect the others.
"""

import os
import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from measuring.cells import cell_of
from measuring.graphs import GRAPHS
from measuring.workload import GATES, MASKED, RESETS, Workload

import jaxtext as jt
from contest import textbook

JAXTEXT = "jaxtext-"  # followed by the name of a backend, and by forms of the cell


class Contestant(NamedTuple):
    """A cell over a sequence.

    Attributes:
      unroll: ``(params, state, xs) -> (state, ys)``, pure.
      params: A pytree of arrays.
      state: A pytree of ``[B, H]``. Only its shapes matter.
      time_major: Whether `xs` is ``[T, B, D]``, not ``[B, T, D]``, and `ys` likewise.
    """

    unroll: Callable[..., Any]
    params: Any
    state: Any
    time_major: bool


def contestant(library: str, work: Workload, key: jax.Array) -> Contestant:
    """The cell of `library`.

    Raises:
      ImportError: If the library is not installed.
      LookupError: If it has no such cell.
    """
    # Parameters are made in float32 and then cast: some libraries know no other type.
    if work.resets and not library.startswith(JAXTEXT):
        raise LookupError("it has no resets within a sequence")
    if library.startswith(JAXTEXT):
        entry = _jaxtext(_backend(library), own_form(library, work), key)
    else:
        entry = LIBRARIES[library](work, key)
        entry = entry._replace(state=_as_dtype(entry.state, work))
    return entry._replace(params=_as_dtype(entry.params, work))


def own_form(library: str, work: Workload) -> Workload:
    """What an entry computes: the workload in the form that its name asks for.

    Raises:
      LookupError: If the name ends with what is no form.

    Example:
      >>> work = Workload("lstm", 16, 128, 128, 128, "float32")
      >>> own_form("jaxtext-auto+8-heads+masked", work).called()
      'lstm of 8 heads with masks'
    """
    for form in library.removesuffix(GRAPHS).split("+")[1:]:
        heads = re.fullmatch(r"([1-9]\d*)-heads", form)
        if heads is not None:
            work = work._replace(heads=int(heads[1]))
        elif form == "masked":
            work = work._replace(masked=True)
        else:
            raise LookupError(f"expected +masked or +N-heads, got +{form}")
    return work


def _backend(library):
    return library.removeprefix(JAXTEXT).split("+")[0]


def _jaxtext(backend, work, key):
    cell = cell_of(work)
    known = {"scan", "auto"} | {other.name for other in cell.backends}
    if backend not in known:  # unroll might go step by step instead
        raise LookupError(f"jt.{work.cell} has no backend {backend!r}")
    drawn = np.random.default_rng(0).random((2, work.time, work.batch))
    options = {"time_major": True, "backend": backend}
    if work.resets:
        options["resets"] = jnp.asarray(drawn[0] < RESETS)
    if work.masked:
        options["mask"] = jnp.asarray(drawn[1] >= MASKED)
    unroll = partial(jt.unroll, cell, **options)
    state = cell.initial_state((work.batch,))
    return Contestant(unroll, cell.init(key, work.input), state, True)


def _textbook(work, key):
    step = {"rnn": textbook.rnn, "lstm": textbook.lstm, "gru": textbook.gru}[work.cell]
    width = GATES[work.cell] * work.hidden
    w_key, u_key = jax.random.split(key)
    params = {
        "w": jax.random.normal(w_key, (work.input, width)) / work.input**0.5,
        "u": jax.random.normal(u_key, (work.hidden, width)) / work.hidden**0.5,
        "b": jnp.zeros(width),
    }
    if work.cell == "gru":
        params["b_h"] = jnp.zeros(width)
    h = jnp.zeros((work.batch, work.hidden))
    state = (h, h) if work.cell == "lstm" else h
    return Contestant(partial(textbook.unroll, step), params, state, True)


def _flax_linen(optimized, work, key):
    from flax import linen as nn

    cell = _flax_cell(nn, optimized, work)(work.hidden, dtype=work.dtype)
    rnn = nn.RNN(cell, time_major=True, return_carry=True)
    xs = jnp.zeros((work.time, work.batch, work.input), work.dtype)
    params = rnn.init(key, xs)

    def unroll(params, state, xs):
        return rnn.apply(params, xs, initial_carry=state)

    state = cell.initialize_carry(key, (work.batch, work.input))
    return Contestant(unroll, params, state, True)


def _flax_nnx(optimized, work, key):
    from flax import nnx

    rngs = nnx.Rngs(key)
    cell = _flax_cell(nnx, optimized, work)(
        work.input, work.hidden, dtype=work.dtype, rngs=rngs
    )
    rnn = nnx.RNN(cell, time_major=True, return_carry=True, rngs=rngs)
    graph, params, rest = nnx.split(rnn, nnx.Param, ...)

    def unroll(params, state, xs):
        return nnx.merge(graph, params, rest)(xs, initial_carry=state)

    state = cell.initialize_carry((work.batch, work.input), rngs)
    return Contestant(unroll, params, state, True)


def _flax_cell(library, optimized, work):
    """A cell of either interface of Flax: both use the same names."""
    if optimized and work.cell != "lstm":
        raise LookupError(f"no optimized {work.cell}")
    if optimized:
        return library.OptimizedLSTMCell
    cells = {"rnn": "SimpleCell", "lstm": "LSTMCell", "gru": "GRUCell"}
    return getattr(library, cells[work.cell])


def _haiku(work, key):
    import haiku as hk  # pyright: ignore[reportMissingImports]

    make = {"rnn": hk.VanillaRNN, "lstm": hk.LSTM, "gru": hk.GRU}[work.cell]

    def over_time(xs, state):
        ys, state = hk.dynamic_unroll(make(work.hidden), xs, state, time_major=True)
        return state, ys

    def initial_state():
        return make(work.hidden).initial_state(work.batch)

    network = hk.without_apply_rng(hk.transform(over_time))
    start = hk.without_apply_rng(hk.transform(initial_state))
    xs = jnp.zeros((work.time, work.batch, work.input), work.dtype)
    state = _as_dtype(start.apply({}), work)
    params = network.init(key, xs, state)

    def unroll(params, state, xs):
        return network.apply(params, xs, state)

    return Contestant(unroll, params, state, True)


def _equinox(work, key):
    import equinox as eqx  # pyright: ignore[reportMissingImports]

    cells = {"lstm": eqx.nn.LSTMCell, "gru": eqx.nn.GRUCell}
    if work.cell not in cells:
        raise LookupError(f"no {work.cell}")
    cell = cells[work.cell](work.input, work.hidden, key=key)
    params, static = eqx.partition(cell, eqx.is_inexact_array)

    def unroll(params, state, xs):
        of_batch = jax.vmap(eqx.combine(params, static))

        def step(state, x):
            state = of_batch(x, state)
            return state, state[0] if work.cell == "lstm" else state

        return jax.lax.scan(step, state, xs)

    h = jnp.zeros((work.batch, work.hidden), work.dtype)
    return Contestant(unroll, params, (h, h) if work.cell == "lstm" else h, True)


def _keras(work, key):
    os.environ["KERAS_BACKEND"] = "jax"  # read when it is imported
    import keras  # pyright: ignore[reportMissingImports]

    keras.utils.set_random_seed(int(jax.random.randint(key, (), 0, 2**31 - 1)))
    layers = keras.layers
    make = {"rnn": layers.SimpleRNN, "lstm": layers.LSTM, "gru": layers.GRU}[work.cell]
    policy = work.dtype if work.dtype == "float32" else f"mixed_{work.dtype}"
    layer = make(work.hidden, return_sequences=True, return_state=True, dtype=policy)
    layer.build((work.batch, work.time, work.input))
    params = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]

    def unroll(params, state, xs):
        outputs, _ = layer.stateless_call(params, rest, xs, initial_state=state)
        ys, *state = outputs
        return state, ys

    h = jnp.zeros((work.batch, work.hidden), work.dtype)
    state = [h, h] if work.cell == "lstm" else [h]
    return Contestant(unroll, params, state, False)


def _as_dtype(tree, work):
    return jax.tree.map(lambda x: x.astype(work.dtype), tree)


LIBRARIES = {
    "textbook": _textbook,
    "flax-linen": partial(_flax_linen, False),
    "flax-linen-optimized": partial(_flax_linen, True),
    "flax-nnx": partial(_flax_nnx, False),
    "flax-nnx-optimized": partial(_flax_nnx, True),
    "haiku": _haiku,
    "equinox": _equinox,
    "keras": _keras,
}
