"""What a recurrence is made of: weights, two products, and gates between them.

::

    z_t = x_t W + b,  u_t = h_tm1 U,  state_t = gates(z_t, u_t, state_tm1)
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxtext.types import Array, DType

Arrays: TypeAlias = tuple[Array, ...]


class Gates(NamedTuple):
    """One step without its products, and the same backwards.

    The state is a tuple of ``[B, H]`` arrays whose last one is ``h``, the output.

    Attributes:
      name: Of the network, such as ``"lstm"``.
      forward: ``(z, u, inner, state, activate) -> (state, saved)``; `z` and `u` are
        ``[B, G H]``, or tuples of ``G`` arrays ``[B, H]``, and `saved` is a tuple of
        ``[B, H]`` arrays, and after them ``[B, 1]``. `activate` is `activations`, or
        `gate_by_gate`.
      backward: ``(dstate, saved, state, inner) -> (dpre, dstate, dinner)``, where
        `state` is the one before the step; `dpre` is ``(dz,)``, or ``(dz, du)`` where
        they differ, each a tuple of ``G`` arrays ``[B, H]``; `dstate` lacks for ``h``
        what comes through ``u``; `dinner` is not yet summed over the batch.
      saved: How many arrays ``[B, H]`` `forward` saves.
      row_values: How many arrays ``[B, 1]`` it saves. Where there are any, a step has
        means over all of ``H``, and cannot be taken for a part of ``H`` alone.
      differ: Whether ``du`` is not ``dz``; then they are not in the last gate alone.
      reads_h: Whether `backward` reads the values of the state's ``h``.
      normed: What it consists of, if ``u`` is normalised before anything else.
    """

    name: str
    forward: Callable[..., tuple[Arrays, Arrays]]
    backward: Callable[..., tuple[tuple[Arrays, ...], Arrays, Any]]
    saved: int
    row_values: int = 0
    differ: bool = False
    reads_h: bool = False
    normed: Any = None


class Normed(NamedTuple):
    """A step whose recurrent part is normalised first, and what is done then.

    Attributes:
      gates: The step with ``α ⊙ û`` in place of ``u``. Its `inner` is the second of
        the whole step's, which are ``(α, inner)``.
      groups: How many gates are normalised together.
    """

    gates: Gates
    groups: tuple[int, ...]


class Weights(NamedTuple):
    """What the pre-activations are made of.

    Attributes:
      kernel: ``[D, G H]``.
      recurrent_kernel: ``[H, G H]``.
      bias: ``[G H]``; ``None`` if there is none, and ``W`` is of its type already.
      inner: Small weights within the step, any tree of vectors of size ``H`` or
        ``G H``; the GRU's is the bias of the last gate's recurrent part.
      normal: ``(α, b)``, each ``[G H]``, if ``x W`` is normalised as ``u`` is:
        ``z = α ⊙ LN(x W) + b``. There is no other bias then.
    """

    kernel: Any
    recurrent_kernel: Any
    bias: Any
    inner: Any = None
    normal: Any = None


class Operands(NamedTuple):
    """The arrays that a recurrence is taken over.

    Attributes:
      weights: The weights, of any type.
      state: The state before the first step, each ``[B, H]``.
      xs: ``[T, B, D]``, or integers ``[T, B]`` that stand for one-hot rows.
      resets: ``[T, B]``: the state goes to zero before the step. ``None``: never.
      valid: ``[T, B]``: where false, the output is zero and the state is kept.
    """

    weights: Weights
    state: Arrays
    xs: Array
    resets: Array | None = None
    valid: Array | None = None


class Passes(NamedTuple):
    """One way to take a recurrence over a sequence, and back.

    Attributes:
      forward: ``(what, operands) -> (state, ys)``.
      record: ``(what, operands) -> ((state, ys), tape)``; what is on the tape is its
        own affair.
      backward: ``(what, operands, tape, cotangents) -> (dweights, dstate, dxs)``, where
        ``dxs`` is ``None`` for symbols. Need not be differentiable.
      lacks: ``(target, what, operands) -> str | None``: what it lacks to do so on a
        device, going by shapes and types.
      divisible: Whether XLA can divide it between devices by itself: not a kernel.
    """

    forward: Callable[..., tuple[Arrays, Array]]
    record: Callable[..., tuple[tuple[Arrays, Array], Any]]
    backward: Callable[..., tuple[Weights, Arrays, Array | None]]
    lacks: Callable[..., str | None]
    divisible: bool = False


class Recurrence(NamedTuple):
    """The computation, apart from its arrays.

    Attributes:
      passes: How it is taken over the sequence.
      gates: The network's own part.
      dtype: The type of the products, of ``h`` and of the output.
      keep: Whether the gates are kept for the backward pass, or computed again.
    """

    passes: Passes
    gates: Gates
    dtype: DType
    keep: bool


def activations(z: Array, sigmoid: tuple[bool, ...]) -> list[Array]:
    """``σ`` of some gates and ``tanh`` of the others, as one ``tanh`` over all.

    ::

        σ(x) = tanh(x / 2) / 2 + 1 / 2

    One long loop that XLA vectorises, in place of several short ones.

    Args:
      z: ``[B, G H]``.
      sigmoid: For each of the ``G`` gates, whether it is a sigmoid.

    Returns:
      ``G`` arrays ``[B, H]``.
    """
    hidden = z.shape[-1] // len(sigmoid)
    scale = np.repeat(np.where(sigmoid, 0.5, 1.0), hidden)
    offset = np.repeat(np.where(sigmoid, 0.5, 0.0), hidden)
    if all(sigmoid):  # an array of one number is slower: XLA keeps it out of the loop
        scale = offset = np.array([0.5])
    scale, offset = scale.astype(z.dtype), offset.astype(z.dtype)
    scale, offset = (x.reshape((1,) * (z.ndim - 1) + x.shape) for x in (scale, offset))
    return jnp.split(jnp.tanh(z * scale) * scale + offset, len(sigmoid), axis=-1)


def gate_by_gate(z: Array | Arrays, sigmoid: tuple[bool, ...]) -> list[Array]:
    """What `activations` returns, each gate on its own and without constant arrays.

    For kernels, which work in registers and may not hold arrays of their own.
    """
    if not isinstance(z, tuple):
        z = tuple(jnp.split(z, len(sigmoid), axis=-1))

    def of_gate(x, is_sigmoid):
        return jnp.tanh(x / 2) / 2 + 0.5 if is_sigmoid else jnp.tanh(x)

    return list(map(of_gate, z, sigmoid))


def parts(x: Array | Arrays, hidden: int) -> Arrays:
    """Gates side by side, one by one."""
    if isinstance(x, tuple):
        return x
    return tuple(jnp.split(x, x.shape[-1] // hidden, axis=-1))


def last_apart(z: Array | Arrays, hidden: int) -> tuple[Any, Array]:
    """The pre-activations of all gates but the last, and those of the last."""
    if isinstance(z, tuple):
        return z[:-1], z[-1]
    rest, last = jnp.split(z, [z.shape[-1] - hidden], axis=-1)
    return rest, last


def as_rows(inner: Any) -> Any:
    """Vectors as rows ``[1, F]``."""
    return jax.tree.map(lambda vector: vector[None], inner)


def cast(weights: Weights, dtype: DType) -> Weights:
    """The weights in the type of the products.

    Those within the step stay as they are, and so does a table of pre-activations.
    """
    kernel, recurrent_kernel, bias, *small = weights
    recurrent_kernel = jnp.asarray(recurrent_kernel, dtype)
    if bias is not None or weights.normal is not None:
        kernel = jnp.asarray(kernel, dtype)
    bias = None if bias is None else jnp.asarray(bias, dtype)
    return Weights(kernel, recurrent_kernel, bias, *small)
