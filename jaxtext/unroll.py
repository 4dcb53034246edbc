"""The one place where time is walked.

Everything a caller may say about time (lengths, resets, direction, layout) is turned
into time-major inputs and masks once, so that whatever walks the sequence sees those
alone.
"""

import math
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp

from jaxtext.dispatch import choose
from jaxtext.types import (
    Array,
    BackendName,
    Cell,
    Key,
    Masks,
    Noise,
    Params,
    State,
    Target,
)
from jaxtext.walk import Remat, backwards, over_time, select, step_by_step


def unroll(
    cell: Cell,
    params: Params,
    state: State,
    xs: Array,
    *,
    key: Key | None = None,
    lengths: Array | None = None,
    resets: Array | None = None,
    reverse: bool = False,
    time_major: bool = False,
    backend: BackendName = "auto",
    remat: Remat = None,
) -> tuple[State, Array]:
    """Runs a cell over a sequence.

    ::

        state_t, y_t = step(params, state_tm1, x_t)        t = 1 … T

    The whole is pure and differentiable in `params`, `state` and `xs`. Of a cell that
    has a step, two calls over two chunks, the state passed on, are one call over both
    (under `reverse` the later chunk comes first; noise is drawn anew in each call).

    Args:
      cell: The cell, or stack of cells.
      params: Its parameters.
      state: The state to start from, as ``cell.initial_state(batch_shape)`` makes it.
      xs: ``[B, T, D]`` floating point, or ``[B, T]`` integers in ``[0, D)`` that stand
        for one-hot rows; ``B`` may be any number of axes, or none.
      key: Where the cell's noise comes from: one key, sequence ``i`` of a batch then
        drawing from ``fold_in(key, i)``, or a key for each sequence ``[B]``. ``None``:
        no noise.
      lengths: ``[B]`` integers: how many steps of each sequence count. Outputs after
        them are zero and the state stays that of the last step that counts; length 0
        returns the state given. What the padding holds has no effect, NaN included.
      resets: ``[B, T]`` booleans, true where a new segment starts: the state goes back
        to ``cell.initial_state`` before that step. Under `reverse` a segment is left
        by its first step, so the state goes back after it.
      reverse: Whether to walk from the last step to the first. Outputs stay where
        their inputs are.
      time_major: Whether `xs`, `resets` and the outputs have time as the first axis,
        ``[T, B, …]``, which saves two transpositions.
      backend: How each cell is taken over the sequence: ``"scan"``, step by step;
        ``"fused"``, by a hand-derived backward pass; ``"mosaic"``, by kernels for TPU;
        ``"triton"``, by kernels for GPU; ``"cudnn"``, by NVIDIA's own (`lstm`);
        ``"parallel"``, all steps at once (`min_gru`, `min_lstm`); or ``"auto"``, by
        the evidence for the device (`explain_backend` says which and why). A cell that
        does not know the way asked for goes step by step. All compute the same
        function. Forward mode (``jax.jvp``, ``jax.jacfwd``, ``jax.hessian``), which
        hand-derived passes do not serve, needs ``"scan"``.
      remat: What to compute again in the backward pass rather than keep. ``None``:
        nothing. ``"gates"``: what lies within a step; states and outputs are kept.
        An integer ``k``: all but the state at every ``k``-th step, so that
        activations take memory in ``T / k + k`` steps (Chen et al., "Training deep
        nets with sublinear memory cost", 2016); ``k`` near ``sqrt(T)`` takes least.

    Returns:
      The state after the last step, and the outputs ``[B, T, H]``.

    Raises:
      ValueError: If the shapes do not fit together, no backend has that name, or the
        one that has cannot do what is asked.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.gru(4)
      >>> params = cell.init(jax.random.key(0), 65)
      >>> ids = jnp.array([[7, 2, 9], [1, 0, 0]])
      >>> start = cell.initial_state((2,))
      >>> state, ys = jt.unroll(
      ...     cell, params, start, ids, lengths=jnp.array([3, 1])
      ... )
      >>> ys.shape, bool((ys[1, 1:] == 0).all()), bool((state[1] == ys[1, 0]).all())
      ((2, 3, 4), True, True)
    """
    _check_backend(cell, backend)
    count = isinstance(remat, int) and not isinstance(remat, bool) and remat > 0
    if not (count or remat is None or remat == "gates"):
        raise ValueError(f"remat: expected None, 'gates' or a count, got {remat!r}")
    walk = partial(over_time, backend=backend, remat=remat)
    return _walked(
        walk, cell, params, state, xs, key, lengths, resets, reverse, time_major
    )


def explain_backend(
    cell: Cell,
    params: Params,
    state: State,
    xs: Array | jax.ShapeDtypeStruct,
    *,
    lengths: Array | jax.ShapeDtypeStruct | None = None,
    resets: Array | jax.ShapeDtypeStruct | None = None,
    time_major: bool = False,
    backend: BackendName = "auto",
    target: Target | None = None,
) -> list[str]:
    """Says how `unroll` would take each cell over a sequence, and why.

    Nothing is computed: it goes by shapes and types alone, so
    ``jax.ShapeDtypeStruct`` will do for all arrays.

    Args:
      cell: The cell, or stack of cells.
      params: As for `unroll`.
      state: As for `unroll`.
      xs: As for `unroll`.
      lengths: As for `unroll`.
      resets: As for `unroll`.
      time_major: As for `unroll`.
      backend: As for `unroll`.
      target: The device, which need not be at hand, as in
        ``Target("tpu", "TPU v5 lite")``. Default: the one that `unroll` would run on.

    Returns:
      For each cell that is not made of others, in the order in which they run,
      ``"backend: reason"``.

    Raises:
      ValueError: If the backend asked for by name cannot do it, saying what it lacks.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.stack(jt.gru(256), jt.gru(256, reset_after=False))
      >>> params = jax.eval_shape(lambda: cell.init(jax.random.key(0), 65))
      >>> state = jax.eval_shape(lambda: cell.initial_state((8,)))
      >>> ids = jax.ShapeDtypeStruct((8, 100), jnp.int32)
      >>> for reason in explain_backend(cell, params, state, ids):
      ...     print(reason)
      fused: measured faster than scan (benchmarks/results/cpu-2-cores.json)
      scan: nothing else has been shown faster on cpu
    """
    _check_backend(cell, backend)
    reasons = []

    def noting(cell, params, state, xs, masks, noise):
        if cell.sequence is not None:
            return cell.sequence(noting, params, state, xs, masks, noise)
        choice = choose(cell, params, state, xs, masks, backend, target)
        reasons.append(choice.reason)
        return step_by_step(cell, params, state, xs, masks, noise)

    walk = partial(
        _walked, noting, cell, key=None, reverse=False, time_major=time_major
    )
    jax.eval_shape(walk, params, state, xs, lengths=lengths, resets=resets)
    return reasons


def _check_backend(cell, backend):
    own = [other.name for other in cell.backends]
    known = get_args(BackendName)
    if backend not in (*known, *own):
        raise ValueError(f"backend: expected {', '.join(known)}, got {backend!r}")


def _walked(walk, cell, params, state, xs, key, lengths, resets, reverse, time_major):
    """Takes `walk` over the sequence: checks, masks and layout done."""
    lengths = None if lengths is None else jnp.asarray(lengths)
    resets = None if resets is None else jnp.asarray(resets)
    symbols = jnp.issubdtype(xs.dtype, jnp.integer)
    if xs.ndim < (1 if symbols else 2):
        raise ValueError(
            f"unroll expects xs [..., T, D], or integers [..., T]; got {xs.shape}"
        )
    if not time_major:
        time_axis = xs.ndim - (1 if symbols else 2)
        xs = jnp.moveaxis(xs, time_axis, 0)
        resets = None if resets is None else jnp.moveaxis(resets, -1, 0)
    length, *batch = xs.shape if symbols else xs.shape[:-1]
    batch_shape = tuple(batch)
    _check_shapes(xs, symbols, batch_shape, state, lengths, resets)

    valid = None
    if lengths is not None:
        steps = jnp.arange(length).reshape(length, *(1 for _ in batch_shape))
        valid = steps < lengths
        # The gradient through a step that is masked out is 0 times its slope, and
        # that is NaN where the padding is not finite: no mask after it would help.
        xs = select(valid, xs, jnp.zeros_like(xs))
        resets = None if resets is None else resets & valid
    if resets is not None:
        resets = jnp.concatenate([resets, jnp.zeros((1, *batch_shape), bool)])

    key = None if key is None else typed_key(key)
    params, state, xs = _varying_alike((params, state, xs), (resets, key))
    noise = _draw_noise(cell, key, 1 if symbols else xs.shape[-1], batch_shape, length)
    walk = partial(backwards, walk) if reverse else walk
    state, ys = walk(cell, params, state, xs, Masks(resets, valid), noise)
    return state, ys if time_major else jnp.moveaxis(ys, 0, -2)


def _varying_alike(operands, others):
    """Within `jax.shard_map`: all floats varying over the axes that any array does.

    A scan wants that of the state, which is often made on the spot; a hand-derived
    gradient wants it of all that it is a gradient of.
    """
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return operands
    zero = jnp.zeros(())
    for x in jax.tree.leaves((operands, others)):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x = jax.random.key_data(x)
        zero += jnp.zeros_like(x, shape=(), dtype=zero.dtype)

    def varying(x):
        floating = jnp.issubdtype(x.dtype, jnp.floating)
        return x + zero.astype(x.dtype) if floating else x

    return jax.tree.map(varying, operands)


def _draw_noise(cell, key, input_size, batch_shape, length):
    """A `Noise` with the batch axes first, behind the time axis of what has one."""
    if cell.noise is None or key is None:
        return Noise()
    if key.shape not in ((), batch_shape):
        raise ValueError(
            f"key: expected one key or one per sequence {batch_shape}, got {key.shape}"
        )

    def draw(key):
        return cell.noise(key, input_size, length)

    fold = jax.random.fold_in
    if key.shape != batch_shape:
        index = jnp.arange(math.prod(batch_shape)).reshape(batch_shape)
        for _ in batch_shape:
            fold = jax.vmap(fold, (None, 0))
        key = fold(key, index)
    for _ in batch_shape:
        draw = jax.vmap(draw, out_axes=Noise(0, 1))
    return draw(key)


def typed_key(key: Key) -> Key:
    """A key as `jax.random.key` makes it, also of one that `PRNGKey` made."""
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    return jax.random.wrap_key_data(key)


def _check_shapes(xs, symbols, batch_shape, state, lengths, resets):
    """Raises where a shape disagrees with the batch that `xs` has, naming it."""
    expected = {
        "lengths": (lengths, batch_shape),
        "resets (time first)": (resets, (xs.shape[0], *batch_shape)),
    }
    for name, (array, shape) in expected.items():
        if array is not None and array.shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    for leaf in jax.tree.leaves(state):
        if leaf.shape[: len(batch_shape)] != batch_shape:
            hint = " (integer xs are symbols and have no axis D)" if symbols else ""
            raise ValueError(
                f"state: expected batch axes {batch_shape} as in xs{hint}, got an "
                f"array of shape {leaf.shape}"
            )
