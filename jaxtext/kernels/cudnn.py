"""NVIDIA's own LSTM: a whole sequence, or its gradients, as one call of cuDNN.

By `jax.experimental.rnn`, which has it for float32 alone. Where there is no GPU, the
reference that module brings along takes the same operands and stands in for the call,
which is for tests.
"""

from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jax.experimental import rnn

from jaxtext.kernels.gates import Arrays, Operands, Passes, Recurrence, Weights, cast
from jaxtext.kernels.products import is_symbols, one_hot
from jaxtext.target import target
from jaxtext.types import Array, Target

Tape: TypeAlias = tuple[Array, ...] | None

# The input product is cuDNN's own and knows no symbols; their one-hot rows are made for
# it, which should not dwarf all else that a sequence keeps.
_MOST_SYMBOLS = 4096


def lacks(
    device: Target,
    what: Recurrence,
    operands: Operands,
) -> str | None:
    """What cuDNN lacks to run a recurrence on a device, if anything.

    Off the GPU there is the reference, which has the same limits, but for float64.
    """
    weights, _, xs, resets, _ = operands
    if device.platform == "tpu" or device.kind.startswith(("AMD", "gfx")):
        return "it is for NVIDIA's GPUs"
    dtype = jnp.dtype(what.dtype).name
    if dtype not in ("float32", "float64" if device.platform == "cpu" else ""):
        return f"it computes in float32, not in {dtype}"
    if resets is not None:
        return "it has no resets within a sequence"
    symbols = weights.kernel.shape[0] if is_symbols(xs) else 0
    if symbols > _MOST_SYMBOLS:
        return f"it takes at most {_MOST_SYMBOLS} symbols, not {symbols}"
    return None


class Call(NamedTuple):
    """The operands of `jax.experimental.rnn.lstm`, which has the batch first.

    Attributes:
      x: ``[B, T, D]``.
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
    return record(what, operands)[0]


def record(
    what: Recurrence,
    operands: Operands,
) -> tuple[tuple[Arrays, Array], Tape]:
    """The same, and what cuDNN reserves for its backward pass, if that is kept."""
    state, valid = operands.state, operands.valid
    call = _call(what, operands)
    (y, h, c), tape = _there(call)
    after, ys = (c[0], h[0]), y.swapaxes(0, 1)
    if valid is not None:
        none = ~valid.any(0)[:, None]
        after = tuple(jnp.where(none, a, b) for a, b in zip(state, after, strict=True))
        ys = jnp.where(valid[..., None], _rolled(ys, -_first(valid)), 0)
    return (after, ys), tape if what.keep else None


def backward(
    what: Recurrence,
    operands: Operands,
    tape: Tape,
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
    weights, _, xs, _, valid = operands
    call = _call(what, operands)
    if tape is None:
        _, tape = _there(call)
    dafter, dys = cotangents
    passed_on = tuple(jnp.zeros_like(d) for d in dafter)
    if valid is not None:
        none = ~valid.any(0)[:, None]
        passed_on = tuple(jnp.where(none, d, 0) for d in dafter)
        dafter = tuple(jnp.where(none, 0, d) for d in dafter)
        dys = _rolled(jnp.where(valid[..., None], dys, 0), _first(valid))
    dc, dh = dafter
    dx, dh, dc, dflat = _back(call, tape, (dys.swapaxes(0, 1), dh[None], dc[None]))
    dstate = dc[0] + passed_on[0], dh[0] + passed_on[1]
    dweights = jax.tree.map(
        lambda g, w: g.astype(w.dtype), unpack(dflat, call.sizes), weights
    )
    if is_symbols(xs):
        return dweights, dstate, None
    dxs = dx.swapaxes(0, 1)
    if valid is not None:
        dxs = jnp.where(valid[..., None], _rolled(dxs, -_first(valid)), 0)
    return dweights, dstate, dxs.astype(xs.dtype)


def _call(what, operands):
    """CuDNN's operands, each sequence's valid steps in front."""
    weights, state, xs, resets, valid = operands
    if resets is not None:
        raise ValueError("cuDNN has no resets within a sequence")
    w = cast(weights, what.dtype)
    length, batch = xs.shape[:2]
    if is_symbols(xs):
        xs = one_hot(xs, w.kernel.shape[0], what.dtype)
    if valid is None:
        lengths = jnp.full(batch, length, jnp.int32)
    else:
        xs = _rolled(xs, _first(valid))
        # cuDNN fails on a sequence of no steps (jax issue 17966): it takes one, and
        # nothing of what that gives is used.
        lengths = jnp.maximum(valid.sum(0, dtype=jnp.int32), 1)
    c, h = state
    x = xs.astype(what.dtype).swapaxes(0, 1)
    return Call(x, h[None], c[None], pack(w), lengths)


def _first(valid):
    """``[B]``: the first step that counts.

    Those that count are one stretch. Of lengths, they come first, and last where time
    is walked backwards.
    """
    return jnp.argmax(valid, axis=0)


def _rolled(xs, steps):
    """``[T, B, …]`` with each sequence that many steps earlier, and round the end."""
    length, batch = xs.shape[:2]
    index = (jnp.arange(length)[:, None] + steps[None]) % length
    return xs[index, jnp.arange(batch)[None]]


# cuDNN has no batching rule: what `jax.vmap` maps over goes one after the other. Batch
# axes are the way to have it at once.
@sequential_vmap
def _there(call: Call) -> tuple[tuple[Array, Array, Array], Tape]:
    """Outputs, last ``h`` and last ``c``; and what `_back` needs."""
    if target().platform == "gpu":
        return rnn.lstm_fwd(*call, *call.sizes, precision=None)
    return _reference(*call), call


@sequential_vmap
def _back(call: Call, tape: Any, cotangents: tuple[Array, Array, Array]) -> Arrays:
    """Gradients by ``x, h, c`` and the flat weights."""
    if target().platform == "gpu":
        return rnn.lstm_bwd(*call.sizes, None, tape, cotangents)[:4]

    def run(x, h, c, weights):
        return _reference(x, h, c, weights, call.lengths)

    return jax.vjp(run, call.x, call.h, call.c, call.weights)[1](cotangents)


def _reference(x, h, c, weights, lengths):
    sizes = Call(x, h, c, weights, lengths).sizes
    input_size, hidden, layers, _, both = sizes
    apart = rnn.unpack_lstm_weights(weights, input_size, hidden, layers, both)
    return rnn.lstm_ref(x, h, c, *apart, lengths, *sizes)


CUDNN = Passes(forward, record, backward, lacks)
