"""NVIDIA's own LSTM: a whole sequence, or its gradients, as one call of cuDNN.

`jax.experimental.rnn` binds it, for LSTMs in float32 alone. Cells of fewer bits are
computed in float32 and rounded at the end. Without a GPU, that module's reference
takes the same operands in place of cuDNN, for tests.

cuDNN takes sequences from their first step on, and cannot begin one anew. So the steps
that count are moved to the front, and a step of our own comes before each that begins
a new segment. It closes three gates, which leaves the state at zero::

    i = f = o = σ(-∞) = 0
    c_t = f ⊙ c_tm1 + i ⊙ g = 0,  h_t = o ⊙ tanh(c_t) = 0

No gradient passes a closed gate either, so values and gradients are those of separate
sequences. A state that is not finite does pass it, since 0 times NaN is NaN.
"""

from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jax.experimental import rnn

from jaxtext.floats import accumulation_dtype
from jaxtext.kernels.gates import (
    Arrays,
    Operands,
    Passes,
    Recurrence,
    Weights,
    cast,
)
from jaxtext.kernels.masks import cleared, kept, out_of_step, select
from jaxtext.kernels.packing import at, pack_steps
from jaxtext.kernels.precision import tf32_will_do
from jaxtext.kernels.products import is_symbols, one_hot
from jaxtext.target import target
from jaxtext.types import Array, DType, Target

Tape: TypeAlias = tuple[Array, Array]

# The input product is cuDNN's own and knows no symbols. Their one-hot rows are made for
# it, and should not take more memory than all else that is kept of a sequence.
_MOST_SYMBOLS = 4096

# The pre-activation of a closed gate. σ(-1e4) is zero in every type, and no product
# with a state, whose values are within 1, comes near it.
_CLOSED = -1e4


def lacks(
    device: Target,
    what: Recurrence,
    operands: Operands,
) -> str | None:
    """What cuDNN lacks to run a recurrence on a device, if anything.

    The reference has the same limits, except that it also computes in float64.
    """
    weights, _, xs, _, _ = operands
    if device.platform == "tpu" or device.kind.startswith(("AMD", "gfx")):
        return "it is for NVIDIA's GPUs"
    if device.platform == target().platform == "gpu" and not _is_at_hand():
        return "it plans its memory on the GPU, and there is none here to compile on"
    if device.platform == "gpu" and xs.shape[1] == 0:
        return "it takes no batch without sequences"
    dtype = jnp.dtype(what.dtype).name
    if dtype == "float64" and device.platform != "cpu":
        return f"it computes in float32, not in {dtype}"
    symbols = weights.kernel.shape[0] if is_symbols(xs) else 0
    if symbols > _MOST_SYMBOLS:
        return f"it takes at most {_MOST_SYMBOLS} symbols, not {symbols}"
    return None


class Call(NamedTuple):
    """The operands of `jax.experimental.rnn.lstm`, which has the batch first.

    Attributes:
      x: ``[B, L, D]``.
      h: ``[1, B, H]``, before the first step.
      c: Likewise.
      weights: All of them, flat, as `pack` puts them.
      lengths: ``[B]`` integers, at least one.
    """

    x: Array
    h: Array
    c: Array
    weights: Array
    lengths: Array

    @property
    def sizes(self) -> tuple[int, int, int, float, bool]:
        """Input and hidden size, layers, dropout, both directions."""
        return self.x.shape[-1], self.h.shape[-1], 1, 0.0, False


def pack(weights: Weights) -> Array:
    """Weights in the flat layout of cuDNN: ``Wᵀ, Uᵀ, b`` and a second bias of zero.

    Its gates are in the LSTM's own order, ``i, f, g, o``.
    """
    parts = weights.kernel.T, weights.recurrent_kernel.T, weights.bias
    parts = *parts, jnp.zeros_like(weights.bias)
    return jnp.concatenate([part.reshape(-1) for part in parts])


def unpack(flat: Array, sizes: tuple[int, int, int, float, bool]) -> Weights:
    """The inverse of `pack`; of gradients, those by the weights."""
    input_size, hidden, layers, _, both = sizes
    w, u, b, _ = rnn.unpack_lstm_weights(flat, input_size, hidden, layers, both)
    return Weights(w[0].T, u[0].T, b[0])


def forward(
    what: Recurrence,
    operands: Operands,
) -> tuple[Arrays, Array]:
    """Runs a recurrence; arguments and results as those of `recurrence`."""
    return record(what._replace(keep=False), operands)[0]


def record(
    what: Recurrence,
    operands: Operands,
) -> tuple[tuple[Arrays, Array], Tape | None]:
    """The same, and what cuDNN reserves for its backward pass, if that is kept."""
    # cuDNN has no batching rule: what `jax.vmap` maps over goes one after the other.
    # Batch axes are the way to have it at once.
    return sequential_vmap(partial(_record, what))(operands)


def backward(
    what: Recurrence,
    operands: Operands,
    tape: Tape | None,
    cotangents: tuple[Arrays, Array],
) -> tuple[Weights, Arrays, Array | None]:
    """Gradients of a recurrence.

    Args:
      what: The recurrence.
      operands: What it is of.
      tape: What `record` kept.
      cotangents: Those of the last state and of the outputs.

    Returns:
      Gradients by weights, state and inputs; ``None`` for those of symbols.
    """
    return sequential_vmap(partial(_backward, what))(operands, tape, cotangents)


def _record(what, operands):
    operands, begins, _ = _first_apart(operands)

    def run(begins):
        call, places = _call(what, operands, begins)
        results, tape = _there(call)
        return _results(what, operands, places, results), tape if what.keep else None

    plain = partial(run, None)
    if begins is None:
        return plain()

    def in_segments():
        results, _ = run(begins)
        like = operands.state[-1]
        tape = jax.tree.map(
            lambda x: jnp.zeros_like(like, shape=x.shape, dtype=x.dtype),
            jax.eval_shape(plain)[1],
        )
        return results, tape

    # Text is read in streams, and a segment mostly begins where a batch does. One that
    # begins later takes more steps and memory. Its tape, which would have another
    # shape, is not kept.
    return jax.lax.cond(begins.any(), in_segments, plain)


def _backward(what, operands, tape, cotangents):
    state, xs = operands.state, operands.xs
    operands, begins, anew = _first_apart(operands)
    valid = operands.valid
    dlast, dys = jax.tree.map(lambda d: d.astype(_wide(what)), cotangents)
    some = None if valid is None else valid.any(0)  # sequences with a step

    def run(begins, tape):
        call, places = _call(what, operands, begins)
        if tape is None:
            _, tape = _there(call)
        dy = dys if places is None else at(dys, places.steps, 0)
        dc, dh = kept(some, dlast)
        along = dy.swapaxes(0, 1), dh[None], dc[None]
        dx, dh, dc, dflat = _back(call, tape, along)
        dkernel, *others = unpack(dflat, call.sizes)
        dkernel = dkernel[: operands.weights.kernel.shape[0]]  # without what closes
        dxs = None
        if not is_symbols(xs):
            dxs = dx.swapaxes(0, 1)
            dxs = dxs if places is None else at(dxs, places.slots, 0)
            dxs = dxs[..., : xs.shape[-1]].astype(xs.dtype)
        return Weights(dkernel, *others), (dc[0], dh[0]), dxs

    if begins is None:
        dweights, dstate, dxs = run(None, tape)
    else:
        dweights, dstate, dxs = jax.lax.cond(
            begins.any(), partial(run, begins, None), partial(run, None, tape)
        )
    dstate = out_of_step(some, anew, dstate, dlast)

    def as_given(found, given):
        return jax.tree.map(lambda d, x: d.astype(x.dtype), found, given)

    return as_given(dweights, operands.weights), as_given(dstate, state), dxs


def _wide(what) -> DType:
    """The type that cuDNN, or the reference, computes in."""
    return accumulation_dtype(what.dtype)


def _first_apart(operands):
    """Applies the resets that come before a sequence's first step that counts.

    Returns:
      The operands, with those applied to the state; the other resets ``[T, B]``; and
      which sequences were reset ``[B]``. The latter two are ``None`` without resets.
    """
    _, state, xs, resets, valid = operands
    if resets is None:
        return operands, None, None
    if valid is None:
        first = jax.lax.broadcasted_iota(jnp.int32, xs.shape[:2], 0) == 0
    else:
        counted = valid.astype(jnp.int32)
        first = jnp.cumsum(counted, axis=0) == counted
    anew = (resets & first).any(0)
    return operands._replace(state=cleared(anew, state)), resets & ~first, anew


def _call(what, operands, begins):
    """CuDNN's operands, and the packing, if steps are moved."""
    weights, state, xs, _, valid = operands
    wide = _wide(what)
    w = cast(cast(weights, what.dtype), wide)
    length, batch = xs.shape[:2]
    width = w.kernel.shape[0]
    symbols = is_symbols(xs)
    xs = xs.astype(jnp.int32) if symbols else xs.astype(what.dtype).astype(wide)
    places, lengths = None, jnp.full(batch, length, jnp.int32)
    if not (begins is None and valid is None):
        places = pack_steps((length, batch), begins, valid)
        # cuDNN fails on a sequence of no steps (jax issue 17966): it takes one, and
        # nothing of what that gives is used.
        lengths = jnp.maximum(places.lengths, 1)
        xs = at(xs, places.steps, width if symbols else 0)
        if begins is not None:
            # An input of its own, one where a slot holds no step, closes the gates.
            w = w._replace(kernel=jnp.concatenate([w.kernel, _closing(w.kernel)]))
            if not symbols:
                empty = (places.steps == length)[..., None]
                xs = jnp.concatenate([xs, empty.astype(wide)], axis=-1)
    x = one_hot(xs, w.kernel.shape[0], wide) if symbols else xs
    c, h = (s.astype(wide) for s in state)
    return Call(x.swapaxes(0, 1), h[None], c[None], pack(w), lengths), places


def _closing(kernel):
    """``[1, 4 H]``: the input weights that close ``i``, ``f`` and ``o``."""
    hidden = kernel.shape[1] // 4
    gates = jnp.array([_CLOSED, _CLOSED, 0, _CLOSED], kernel.dtype)
    return jnp.repeat(gates, hidden)[None]


def _results(what, operands, places, results):
    """The state after the last step and the outputs, where and as they are wanted."""
    state, valid = operands.state, operands.valid
    y, h, c = results
    after, ys = (c[0], h[0]), y.swapaxes(0, 1)
    if places is not None:
        ys = at(ys, places.slots, 0)
    after = tuple(a.astype(s.dtype) for a, s in zip(after, state, strict=True))
    if valid is not None:
        after = select(valid.any(0), after, state)
    return after, ys.astype(what.dtype)


def _there(call: Call) -> tuple[tuple[Array, Array, Array], Tape]:
    """Outputs, last ``h`` and last ``c``; and what `_back` needs."""
    if target().platform == "gpu":
        results, kept = rnn.lstm_fwd(*call, *call.sizes, precision=_precision())
        return results, kept[-2:]
    y, h, c = _reference(*call)
    return (y, h, c), (y, jnp.zeros_like(y, shape=(0,)))


def _back(call: Call, tape: Tape, cotangents: tuple[Array, Array, Array]) -> Arrays:
    """Gradients by ``x, h, c`` and the flat weights."""
    if target().platform == "gpu":
        residuals = *call, *tape
        return rnn.lstm_bwd(*call.sizes, _precision(), residuals, cotangents)[:4]

    def run(x, h, c, weights):
        return _reference(x, h, c, weights, call.lengths)

    return jax.vjp(run, call.x, call.h, call.c, call.weights)[1](cotangents)


def _is_at_hand():
    return any(device.platform == "gpu" for device in jax.local_devices())


def _precision():
    """Full float32 where JAX's products have been told to have it, else TF32."""
    lax = jax.lax.Precision
    one = lax.HIGH if tf32_will_do() else lax.HIGHEST
    return one, one


def _reference(x, h, c, weights, lengths):
    sizes = Call(x, h, c, weights, lengths).sizes
    input_size, hidden, layers, _, both = sizes
    apart = rnn.unpack_lstm_weights(weights, input_size, hidden, layers, both)
    return rnn.lstm_ref(x, h, c, *apart, lengths, *sizes)


CUDNN = Passes(forward, record, backward, lacks)
