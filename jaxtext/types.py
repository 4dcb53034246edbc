"""The axis legend, the array aliases and the one contract that everything obeys.

Axes, written as suffixes where a rank changes (``xs_TBD``):

====== =====================================================================
``B``  batch: independent sequences; stands for any number of leading axes
``T``  time: steps of a sequence
``D``  input width of a cell
``H``  hidden width of a cell, the width of its output
``V``  vocabulary: number of distinct symbols
``P``  predicted positions of a window, the last ``P`` of its ``T``
====== =====================================================================

In equations, ``x_t`` is the input at step ``t``, ``h_tm1`` the hidden state one step
before it, ``σ`` the logistic sigmoid and ``⊙`` the elementwise product.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax

Array: TypeAlias = jax.Array
Key: TypeAlias = jax.Array  # a typed PRNG key, from jax.random.key
Shape: TypeAlias = tuple[int, ...]
DType: TypeAlias = jax.typing.DTypeLike
Device: TypeAlias = Any  # a jax.Device, which type checkers do not take for a class
Params: TypeAlias = Any  # nested dicts of arrays, their keys strings
State: TypeAlias = Any  # a pytree of arrays, each with the batch axes first
# What `jaxtext.unroll` takes as `backend`.
BackendName: TypeAlias = Literal[
    "auto", "scan", "fused", "mosaic", "mosaic_gpu", "cudnn", "parallel"
]


class Noise(NamedTuple):
    """Random numbers for one sequence, drawn before time is walked.

    Attributes:
      per_sequence: A pytree that holds for the whole sequence (a variational mask).
      per_step: A pytree whose leaves have a leading time axis.
    """

    per_sequence: Any = None
    per_step: Any = None


class Masks(NamedTuple):
    """What happens to the state around each step, time-major booleans.

    Attributes:
      resets: ``[T + 1, B]``, one entry for each gap between steps: the state goes back
        to the initial one before step ``t``, or, at ``T``, after the last. Walked
        backwards, the same gaps come in reverse order. ``None``: never.
      valid: ``[T, B]``, false in padding: the output is zero and the state is kept.
        ``None``: all steps are valid.
    """

    resets: Array | None = None
    valid: Array | None = None


class Target(NamedTuple):
    """What a program is for.

    Attributes:
      platform: ``"cpu"``, ``"gpu"`` or ``"tpu"``.
      kind: The device as its maker calls it, such as ``"TPU v5 lite"``.
      devices: How many of them the compiler may divide the program between; one within
        ``jax.pmap`` and ``jax.shard_map``, where it is divided already.
    """

    platform: str
    kind: str
    devices: int = 1


class Backend(NamedTuple):
    """Another way over a sequence than a scan of ``step``, for the same function.

    Attributes:
      name: What ``unroll(backend=…)`` calls it.
      sequence: ``(params, state, xs, masks, noise, keep) -> (state, ys)``, time-major.
        `keep` is whether what lies within a step may be kept for the backward pass,
        or is to be computed again.
      lacks: ``(target, params, state, xs, masks) -> str | None``: what it lacks to do
        that on a `Target`, in words, going by shapes and types alone. ``None`` in its
        place: it lacks nothing anywhere.
      divisible: Whether XLA can divide it between devices by itself.
      cell: What kind of cell it computes, by the name that ``jaxtext.evidence`` knows
        measurements under.
    """

    name: str
    sequence: Callable[..., tuple[State, Array]]
    lacks: Callable[..., str | None] | None = None
    divisible: bool = True
    cell: str = ""


class Cell(NamedTuple):
    """A recurrent cell: pure functions that compose, as Optax's transformations do.

    Attributes:
      init: ``(key, input_size) -> params``: arrays in nested dicts with string keys, as
        Flax's and Optax's tools go by; ``{}`` where there are none.
      initial_state: ``(batch_shape) -> state``.
      step: ``(params, state, x, noise=None) -> (state, y)``, one step in time of a
        batch: ``x`` is ``[B, D]``, or integers ``[B]`` that stand for one-hot rows;
        ``y`` is ``[B, H]``. ``None`` for a cell that has to see the whole sequence.
      noise: ``(key, input_size, length) -> Noise`` for one sequence, if the cell
        is random; each call of ``unroll`` draws it once, sequence by sequence.
        ``step`` gets it batched and without the time axis. A symbol counts as
        one wide.
      sequence: ``(walk, params, state, xs, masks, noise) -> (state, ys)`` over
        time-major ``xs``, for a cell made of others: ``walk(cell, params, state, xs,
        masks, noise)`` takes one of them over a sequence as the caller asked.
      backends: Other ways over a sequence than step by step. Who replaces ``step`` or
        ``initial_state`` of a cell empties it, since these know of no replacement.
      embed: ``(params, vectors [V, D]) -> params`` with which the cell reads symbols as
        it would read the vectors that they stand for: a step with them takes ``s`` to
        where one with `params` takes ``vectors[s]``. For a cell that does nothing with
        its input but multiply it. ``None``: it does, or does not say. Who replaces
        ``step`` by one that does more with its input sets this to ``None``.
    """

    init: Callable[..., Params]
    initial_state: Callable[[Shape], State]
    step: Callable[..., tuple[State, Array]] | None
    noise: Callable[..., Noise] | None = None
    sequence: Callable[..., tuple[State, Array]] | None = None
    backends: tuple[Backend, ...] = ()
    embed: Callable[[Params, Array], Params] | None = None
