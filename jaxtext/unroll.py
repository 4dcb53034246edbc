"""The one place where time is walked.

Lengths, resets, direction and layout are turned into time-major inputs and masks here,
once. Everything below sees only those.
"""

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, get_args, overload

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from jaxtext.checks import flag, flags, inputs, integers
from jaxtext.dispatch import STEP_BY_STEP, choose
from jaxtext.errors import InputError, reverse_mode_only
from jaxtext.expected import a_cell, fitted_params, fitted_state
from jaxtext.kernels.masks import kept
from jaxtext.kernels.products import is_symbols
from jaxtext.keys import folded, of_each, typed_key
from jaxtext.quantities import count, shown
from jaxtext.types import (
    Array,
    BackendName,
    Cell,
    Key,
    Masks,
    Noise,
    Params,
    Snapshot,
    State,
    Target,
)
from jaxtext.walk import Remat, Seen, apart, backwards, before_steps, over_time


@overload
def unroll(
    cell: Cell,
    params: Params,
    state: State,
    xs: Array,
    *,
    key: Key | None = None,
    lengths: Array | None = None,
    mask: Array | None = None,
    resets: Array | None = None,
    reverse: bool = False,
    time_major: bool = False,
    backend: BackendName = "auto",
    remat: Remat = None,
    emit: None = None,
) -> tuple[State, Array]: ...


@overload
def unroll(
    cell: Cell,
    params: Params,
    state: State,
    xs: Array,
    *,
    key: Key | None = None,
    lengths: Array | None = None,
    mask: Array | None = None,
    resets: Array | None = None,
    reverse: bool = False,
    time_major: bool = False,
    backend: BackendName = "auto",
    remat: Remat = None,
    emit: Callable[[Snapshot], Any],
) -> tuple[State, Any]: ...


def unroll(
    cell: Cell,
    params: Params,
    state: State,
    xs: Array,
    *,
    key: Key | None = None,
    lengths: Array | None = None,
    mask: Array | None = None,
    resets: Array | None = None,
    reverse: bool = False,
    time_major: bool = False,
    backend: BackendName = "auto",
    remat: Remat = None,
    emit: Callable[[Snapshot], Any] | None = None,
) -> tuple[State, Any]:
    """Runs a cell over a sequence.

    ::

        state_t, y_t = step(params, state_tm1, x_t)        t = 1 … T

    It is pure, and differentiable in `params`, `state` and `xs`. If the cell has a
    step, you may split a sequence in two and pass the state from the first call to the
    second: the results are those of one call. (Under `reverse` the later half comes
    first. Noise is drawn anew in each call.)

    Args:
      cell: The cell, or stack of cells.
      params: Its parameters.
      state: The state to start from. It has the structure and the shapes of
        ``cell.initial_state(batch_shape)``, and is cast to its types. ``None``: the
        initial state.
      xs: ``[B, T, D]`` floating point, or ``[B, T]`` integers in ``[0, D)`` that stand
        for one-hot rows; ``B`` may be any number of axes, or none.
      key: The key that the cell's noise is drawn from. Sequence ``i`` of a batch uses
        ``fold_in(key, i)``. You may also pass a key for each sequence, ``[B]``.
        ``None``: no noise.
      lengths: ``[B]`` integers: how many steps of each sequence are valid. Outputs
        after them are zero, and the state stays that of the last valid step; length 0
        returns the state given. The values in the padding have no effect, NaN included.
      mask: ``[B, T]`` flags, booleans or numbers: false, or zero, at steps to leave
        out. There the output is zero and the state is kept, as in padding, but these
        steps may be anywhere. A step has to be inside `lengths` as well. A reset at a
        step that is left out still resets.
      resets: ``[B, T]`` flags, booleans or numbers: true, or not zero, where a new
        segment starts. The state goes back to ``cell.initial_state`` before that step.
        Under `reverse` the walk leaves a segment by its first step, so the state goes
        back after it.
      reverse: Whether to walk from the last step to the first. Outputs stay where
        their inputs are.
      time_major: Whether `xs`, `resets` and the outputs have time as the first axis,
        ``[T, B, …]``, which saves two transpositions.
      backend: How each cell runs over the sequence. All backends compute the same
        function. ``"auto"`` takes the fastest one by the evidence for the device;
        `explain_backend` says which, and why. ``"scan"`` goes step by step. ``"fused"``
        has a backward pass of its own. ``"mosaic"`` has kernels for TPU,
        ``"mosaic_gpu"`` for Hopper GPUs, and ``"cudnn"`` is NVIDIA's own (`lstm`).
        ``"parallel"`` takes all steps at once (`min_gru`, `min_lstm`), and so does
        ``"newton"`` (`para_gru`, `para_lstm`). A cell that does not have the backend
        raises an error. Forward mode (``jax.jvp``, ``jax.jacfwd``,
        ``jax.hessian``) needs ``"scan"``. ``"cudnn"`` and ``"mosaic_gpu"`` run the
        batch axes of `xs` at once, but an axis of ``jax.vmap`` one after another.
      remat: What to compute again in the backward pass instead of keeping it.
        ``None``: nothing. ``"gates"``: values within a step; states and outputs are
        kept. An integer ``k``: everything but the state at every ``k``-th step, so that
        activations take memory for ``T / k + k`` steps (Chen et al., "Training deep
        nets with sublinear memory cost", 2016); ``k`` near ``sqrt(T)`` takes least.
      emit: What to return of each step in place of its output: a function of a
        `Snapshot`, the state, output and gates of one step of one sequence. It is
        mapped over time and batch and returns any pytree of arrays. A snapshot has the
        state as the step left it, before a reset that follows. In padding, and where
        `lengths` is 0, it has the state that is kept, an output of zero and gates of
        zero. Under `reverse`, and in the second half of `bidirectional`, snapshots stay
        where their inputs are. Cells then go step by step, so `backend` has to be
        ``"auto"`` or ``"scan"``. Outside ``jax.jit``, pass the same function each time,
        because each new function compiles again.

    Returns:
      The state after the last step, and the outputs ``[B, T, H]``, or what `emit`
      returns, each array with the axes ``[B, T]`` in front.

    Lists may stand for arrays. Outside ``jax.jit`` it compiles once for each cell and
    each shape of the arguments. Equal calls make equal cells.

    Raises:
      ValueError: If an argument is not as described above; the error names it and says
        what was expected and what it got. If there is no backend of that name, the cell
        does not have it, or it cannot do what is asked.

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
      >>> _, resets = jt.unroll(
      ...     cell, params, start, ids, emit=lambda step: step.gates["r"]
      ... )
      >>> resets.shape
      (2, 3, 4)
    """
    a_cell("cell", cell)
    _check_backend(cell, backend)
    reverse, time_major = flag("reverse", reverse), flag("time_major", time_major)
    if emit is not None:
        if not callable(emit):
            raise InputError(f"emit: expected a function, got {shown(emit)}")
        if backend not in ("auto", STEP_BY_STEP):
            raise InputError(
                f"emit: expected backend 'auto' or 'scan', got {backend!r}, which does "
                "not give the state of every step"
            )
        backend = STEP_BY_STEP
    if not (remat is None or remat == "gates"):
        remat = count("remat", remat, or_else="None, 'gates'")
    operands = _operands(
        cell, params, state, xs, key, lengths, mask, resets, time_major
    )
    how = cell, backend, remat, reverse, time_major, emit
    try:
        run = _compiled(*how)
    except TypeError:  # a cell without a hash
        run = _compiled.__wrapped__(*how)
    with reverse_mode_only(f"write backend='scan' in place of {backend!r}"):
        return run(*operands)


@lru_cache(maxsize=256)
def _compiled(cell, backend, remat, reverse, time_major, emit):
    """What `unroll` does with its operands, compiled once for each of their shapes.

    The last 256 cells are kept with what was compiled for them. Within another compiled
    function this one is a call, which XLA inlines.
    """
    watch = emit is not None
    walk = partial(over_time, backend=backend, remat=remat, watch=watch)
    walk = partial(
        _walked, walk, cell, reverse=reverse, time_major=time_major, emit=emit
    )

    def unroll(*operands):  # by this name in profiles
        return _in_any_mesh(walk, time_major, *operands)

    return jax.jit(unroll)


def explain_backend(
    cell: Cell,
    params: Params,
    state: State,
    xs: Array | jax.ShapeDtypeStruct,
    *,
    lengths: Array | jax.ShapeDtypeStruct | None = None,
    mask: Array | jax.ShapeDtypeStruct | None = None,
    resets: Array | jax.ShapeDtypeStruct | None = None,
    time_major: bool = False,
    backend: BackendName = "auto",
    target: Target | None = None,
) -> list[str]:
    """Says which backend `unroll` would use for each cell, and why.

    Nothing is computed. Only shapes and types are read, so any array may be a
    ``jax.ShapeDtypeStruct``.

    Args:
      cell: The cell, or stack of cells.
      params: As for `unroll`.
      state: As for `unroll`.
      xs: As for `unroll`.
      lengths: As for `unroll`.
      mask: As for `unroll`.
      resets: As for `unroll`.
      time_major: As for `unroll`.
      backend: As for `unroll`.
      target: The device, which need not be in this machine, such as
        ``Target("tpu", "TPU v5 lite")``. Default: the one that `unroll` would run on.

    Returns:
      For each cell that is not made of others, in the order in which they run,
      ``"backend: reason"``.

    Raises:
      ValueError: If the cell does not have the backend asked for by name, or that
        backend cannot do it; the error says what is missing.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.stack(jt.gru(256), jt.min_gru(256))
      >>> params = jax.eval_shape(lambda: cell.init(jax.random.key(0), 65))
      >>> state = jax.eval_shape(lambda: cell.initial_state((8,)))
      >>> ids = jax.ShapeDtypeStruct((8, 100), jnp.int32)
      >>> for reason in explain_backend(cell, params, state, ids):
      ...     print(reason)
      fused: measured faster than scan (benchmarks/results/cpu-2-cores.json)
      scan: nothing else has been shown faster on cpu
    """
    a_cell("cell", cell)
    _check_backend(cell, backend)
    reasons = []

    def noting(cell, params, state, xs, masks, noise):
        if cell.sequence is not None:
            return cell.sequence(noting, params, state, xs, masks, noise)
        before, _ = before_steps(masks)
        choice = choose(cell, params, state, xs, before, backend, target)
        reasons.append(choice.reason)
        return over_time(cell, params, state, xs, masks, noise, backend=STEP_BY_STEP)

    def walk(params, state, xs, lengths, mask, resets):
        operands = params, state, xs, None, lengths, mask, resets
        operands = _operands(cell, *operands, time_major)
        return _walked(noting, cell, *operands, reverse=False, time_major=time_major)

    jax.eval_shape(walk, params, state, xs, lengths, mask, resets)
    return reasons


def _check_backend(cell, backend):
    own = [other.name for other in cell.backends]
    known = get_args(BackendName)
    if backend == "triton" and backend not in own:  # the next release forgets it
        raise InputError(
            "backend: 'triton' is gone, as JAX deprecates what it was written in; "
            "write 'mosaic_gpu' instead, which is for Hopper GPUs"
        )
    if backend not in (*known, *own):
        raise InputError(f"backend: expected {', '.join(known)}, got {backend!r}")


def _operands(cell, params, state, xs, key, lengths, mask, resets, time_major):
    """The arrays that a caller gave, as all that follows expects them."""
    xs = inputs("xs", xs)
    symbols = is_symbols(xs)
    if xs.ndim < (1 if symbols else 2):
        raise InputError(
            "xs: expected vectors [..., T, D], or integers [..., T] that stand for "
            f"symbols, got {shown(xs)}"
        )
    over_time = xs.shape if symbols else xs.shape[:-1]
    batch_shape = over_time[1:] if time_major else over_time[:-1]
    if lengths is not None:
        lengths = integers("lengths", lengths)
        _check_shape("lengths", lengths, batch_shape)
    if mask is not None:
        mask = flags("mask", mask)
        _check_shape("mask", mask, over_time)
    if resets is not None:
        resets = flags("resets", resets)
        _check_shape("resets", resets, over_time)
    if key is not None:
        key = typed_key(key)
        if key.shape not in ((), batch_shape):
            raise InputError(
                f"key: expected one key, or one for each sequence {batch_shape}, got "
                f"keys {key.shape}"
            )
    params = fitted_params(cell, params, "xs", xs)
    try:
        state = fitted_state(cell, state, batch_shape)
    except InputError as error:
        of = f"integer xs {xs.shape} are symbols and have no axis D" if symbols else ""
        of = of or f"xs {xs.shape} have the batch axes {batch_shape}"
        raise InputError(f"{error} ({of})") from None
    return params, state, xs, key, lengths, mask, resets


def _check_shape(name, array, shape):
    if array.shape != shape:
        raise InputError(f"{name}: expected shape {shape} as in xs, got {array.shape}")


def _walked(
    walk,
    cell,
    params,
    state,
    xs,
    key,
    lengths,
    mask,
    resets,
    *,
    reverse,
    time_major,
    emit=None,
):
    """Takes `walk` over the sequence: masks and layout done."""
    symbols = is_symbols(xs)
    if not time_major:
        xs = jnp.moveaxis(xs, xs.ndim - (1 if symbols else 2), 0)
        mask, resets = (
            None if flags is None else jnp.moveaxis(flags, -1, 0)
            for flags in (mask, resets)
        )
    length, *batch = xs.shape if symbols else xs.shape[:-1]
    batch_shape = tuple(batch)

    valid = mask
    if lengths is not None:
        steps = jnp.arange(length).reshape(length, *(1 for _ in batch_shape))
        inside = steps < lengths[None]
        valid = inside if mask is None else inside & mask
        resets = None if resets is None else resets & inside
    # The gradient through a step that is masked out is 0 times its slope, and that is
    # NaN where its input is not finite: no mask after it would help.
    xs = kept(valid, xs)
    if resets is not None:
        resets = jnp.concatenate([resets, jnp.zeros((1, *batch_shape), bool)])

    params, state, xs = _varying_alike((params, state, xs), (valid, resets, key))
    noise = _draw_noise(cell, key, 1 if symbols else xs.shape[-1], batch_shape, length)
    walk = partial(backwards, walk) if reverse else walk
    state, ys = walk(cell, params, state, xs, Masks(resets, valid), noise)
    state, seen = apart(state)
    found = ys
    if emit is not None:
        states, gates = _each_step(cell, seen)
        each = emit
        for _ in (length, *batch_shape):
            each = jax.vmap(each)
        found = each(Snapshot(states, ys, gates))
    if not time_major:
        axis = len(batch_shape)
        found = jax.tree.map(lambda x: jnp.moveaxis(x, 0, axis), found)
    return state, found


def _each_step(cell, seen):
    """The states and the gates of every step, by what a walk has seen."""
    parts = jax.tree.leaves(seen, is_leaf=lambda x: x is None or isinstance(x, Seen))
    if not all(isinstance(part, Seen) for part in parts):
        raise InputError(
            f"emit: the cell {cell} runs over sequences by itself and does not give "
            "the state of every step"
        )

    def of_each(name):
        return jax.tree.map(
            lambda part: getattr(part, name),
            seen,
            is_leaf=lambda x: isinstance(x, Seen),
        )

    return of_each("states"), of_each("gates")


def _in_any_mesh(walk, time_major, params, state, xs, key, lengths, mask, resets):
    """Takes `walk` where the types of arrays say how they are divided, and elsewhere.

    With explicit axes a loop would have to be told the division of all that it carries
    or writes into; within, XLA finds it. Batches come out divided as they are in `xs`,
    and the other axes of a state as they came in.
    """
    operands = params, state, xs, key, lengths, mask, resets
    axes = jax.sharding.get_abstract_mesh().explicit_axes
    if not axes:
        return walk(*operands)
    spec = jax.typeof(xs).sharding.spec
    over_time = spec if is_symbols(xs) else spec[:-1]
    batch = over_time[1:] if time_major else over_time[:-1]

    def of_state(x):
        return PartitionSpec(*batch, *jax.typeof(x).sharding.spec[len(batch) :])

    out = jax.tree.map(of_state, state), PartitionSpec(*over_time)
    divided: Any = jax.sharding.auto_axes(walk, axes=axes, out_sharding=out)
    return divided(*operands)


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
    if key.shape != batch_shape:
        index = jnp.arange(math.prod(batch_shape)).reshape(batch_shape)
        key = folded(key, index)

    def draw(key):
        return cell.noise(key, input_size, length)

    return of_each(draw, key, out_axes=Noise(0, 1))
