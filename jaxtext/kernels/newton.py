"""All steps of a nonlinear recurrence at once, by Newton's method.

The states of a whole sequence solve one system of equations::

    s_t = f(s_tm1, x_t)        t = 1 … T

Given a guess ``ŝ`` of all states, each step is replaced by its tangent, which leaves an
affine recurrence. `affine_scan` solves it for all steps at once::

    J_t = ∂f/∂s (ŝ_tm1, x_t)
    s_t = f(ŝ_tm1, x_t) + J_t (s_tm1 - ŝ_tm1)

The solution is the next guess. Near the true states, each iteration doubles the number
of right digits. This pays if ``J`` is small: here a unit of the state sees only its own
unit of the state before, so ``J`` is a number for each unit, or a matrix of two by two
where each unit has two states.

Far from the true states, slopes above one in a row multiply up, and the next guess may
be worse than the last. So each entry of ``J`` is limited to ``[-1, 1]`` until all steps
are right to a tenth. That changes no solution: with any ``J``, the first ``k`` states
are right after ``k`` iterations, and a guess that meets all equations is the sequence.

The gradient does not go through the iterations. By the implicit function theorem it is
one affine recurrence backwards, in the transposed ``J`` at the solution::

    λ_t = ∂L/∂s_t + J_{t+1}ᵀ λ_{t+1}
    dL/dw = Σ_t (∂f/∂w)ᵀ λ_t

The iteration ends when no step misses its equation by more than 32 units in the last
place (`tolerance`). If it does not get there, the steps are taken one by one.

References:
  Danieli et al., "ParaRNN: unlocking parallel training of nonlinear RNNs for large
  language models", 2026, sections 2 and 3. Lim et al., "Parallelizing non-linear
  sequential models over the sequence length", 2024 (DEER). Gonzalez et al., "Towards
  scalable and stable parallelization of nonlinear RNNs", 2024, which proves that the
  iteration ends at the states of the scan, whatever ``J`` is.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from jaxtext.floats import accumulation_dtype
from jaxtext.kernels.affine_scan import Matrix, Vector, affine_scan, times, transposed
from jaxtext.kernels.divided import divide_gradient
from jaxtext.kernels.masks import cleared, kept, stepped
from jaxtext.types import Array, Backend, Cell, DType, Masks, Params, State

MOST_ITERATIONS = 64
NEAR = 0.1  # the residual from which on slopes are not limited

Steps: TypeAlias = Callable[[Vector], Vector]  # the states before and after each step


class Step(NamedTuple):
    """A recurrence whose units do not see one another's states.

    Attributes:
      inputs: ``(params, xs) -> zs``: all that the steps take of the input, a tree of
        arrays ``[T, B, …]``.
      step: ``(params, state, z) -> state``, for any number of leading axes. The state
        is a tree of ``N`` arrays ``[…, H]``, at least float32, and unit ``i`` of the
        new state depends on no unit of the old one but ``i``.
      output: ``(state) -> y``.
    """

    inputs: Callable[[Params, Array], Any]
    step: Callable[[Params, State, Any], State]
    output: Callable[[State], Array]


def backends(what: Step) -> tuple[Backend, ...]:
    """The backend ``"newton"`` of a cell.

    Args:
      what: What the cell does. The state has to be zero at the start of a sequence.
    """
    return (Backend("newton", partial(_sequence, what), _lacks),)


def converge(
    cell: Cell, params: Params, state: State, xs: Array
) -> tuple[Array, Array]:
    """How many iterations a sequence takes, and the largest residual at their end.

    Args:
      cell: A cell that has this backend.
      params: Its parameters.
      state: The state before the first step.
      xs: ``[T, B, D]``, or symbols ``[T, B]``.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.para_gru(4)
      >>> params, start = cell.init(jax.random.key(0), 3), cell.initial_state((2,))
      >>> count, worst = converge(cell, params, start, jnp.ones((50, 2, 3)))
      >>> int(count) < 8, float(worst) < 1e-5
      (True, True)
    """
    sequence: Any
    (sequence,) = (way.sequence for way in cell.backends if way.name == "newton")
    (what,) = sequence.args
    _, worst, count = iterate(*_system(what, params, state, xs, Masks()))
    return count, worst


def _sequence(what, params, state, xs, masks, noise, keep):
    del noise, keep  # only the states are kept
    params = divide_gradient(params)
    states = solve(*_system(what, params, state, xs, masks))
    parts, structure = jax.tree.flatten(state)
    last = [x[-1].astype(y.dtype) for x, y in zip(states, parts, strict=True)]
    ys = what.output(structure.unflatten(states))
    return structure.unflatten(last), kept(masks.valid, ys)


def _lacks(target, params, state, xs, masks):
    del target, params, state, masks
    known = isinstance(xs.shape[0], int)
    return None if known else "it needs a length that is not symbolic"


def _system(what, params, state, xs, masks):
    """The arguments of `solve`."""
    if masks.resets is not None:  # else what it clears would meet a slope of zero
        state = cleared(masks.resets[0], state)
    parts, structure = jax.tree.flatten(state)
    start = tuple(x.astype(accumulation_dtype(x.dtype)) for x in parts)
    inputs = what.inputs(params, xs), masks.resets, masks.valid
    return _masked(what.step, structure), params, inputs, start


def tolerance(dtype: DType) -> float:
    """How far a step may miss its equation, in units of ``max(1, |s|)``."""
    return 32 * float(jnp.finfo(dtype).eps)


def iterate(
    step: Callable[..., Vector], params: Params, inputs: Any, start: Vector
) -> tuple[Vector, Array, Array]:
    """Newton's iteration.

    Args:
      step: ``(params, states, inputs) -> states``, the states as a tuple.
      params: Its parameters.
      inputs: What each step takes, ``[T, …]``.
      start: The state before the first step.

    Returns:
      The states ``[T, …]``, the largest residual, and the number of iterations.
    """
    limit = tolerance(jnp.result_type(*start))

    def run(states):
        return step(params, states, inputs)

    def iteration(carry):
        states, worst, count = carry
        return *refined(run, start, states, worst), count + 1

    def unfinished(carry):
        _, worst, count = carry
        return (worst > limit) & (count < MOST_ITERATIONS)  # NaN ends it

    guess = first_guess(run, start, len(jax.tree.leaves(inputs)[0]))
    worst = jnp.full((), jnp.inf, jnp.result_type(*start))
    return jax.lax.while_loop(unfinished, iteration, (guess, worst, jnp.int32(0)))


def linearised(f: Steps, states: Vector) -> tuple[Vector, Matrix]:
    """``f(s)``, and its Jacobian, unit by unit: ``J[i][j] = ∂f_i / ∂s_j``.

    Example:
      >>> found, slopes = linearised(lambda s: (s[0] ** 2,), (jnp.array([1.0, 3.0]),))
      >>> slopes[0][0].tolist()
      [2.0, 6.0]
    """
    found, along = jax.linearize(f, states)
    columns = [
        along(tuple(jnp.full_like(x, i == j) for i, x in enumerate(states)))
        for j in range(len(states))
    ]
    return found, transposed(tuple(columns))


def first_guess(run: Steps, start: Vector, length: int) -> Vector:
    """The states ``[T, …]`` after a step from the first state, wherever they stand."""
    return run(tuple(jnp.broadcast_to(x, (length, *x.shape)) for x in start))


def refined(
    run: Steps,
    start: Vector,
    states: Vector,
    residual: Array,
    tangents: Callable[[Steps, Vector], tuple[Vector, Matrix]] = linearised,
) -> tuple[Vector, Array]:
    """One iteration: the next guess, and its residual.

    The residual is the largest error of a step, ``max |s_t - f(s_tm1, x_t)|``, in units
    of ``max(1, |s_t|)``.

    Args:
      run: All steps, each from a state of its own.
      start: The state before the first step.
      states: The guess, ``[T, …]``.
      residual: That of the guess; infinite if it is the first one.
      tangents: Computes values and Jacobians, as `linearised` does.
    """
    before = _before(start, states)
    found, slopes = tangents(run, before)
    far = residual > NEAR
    slopes = jax.tree.map(lambda j: jnp.where(far, jnp.clip(j, -1, 1), j), slopes)
    shift = times(slopes, before)
    offsets = tuple(f - s for f, s in zip(found, shift, strict=True))
    states = affine_scan(slopes, offsets, start)
    errors = [
        jnp.max(jnp.abs(s - f) / jnp.maximum(1, jnp.abs(s)))
        for s, f in zip(states, run(_before(start, states)), strict=True)
    ]
    return states, jnp.max(jnp.stack(errors))


def _solve(step, params, inputs, start) -> Vector:
    """The states ``[T, …]`` after each step, from the one before the first."""
    states, worst, _ = iterate(step, params, inputs, start)

    def one_by_one():
        def body(state, here):
            state = step(params, state, here)
            return state, state

        return jax.lax.scan(body, start, inputs)[1]

    right = worst <= tolerance(jnp.result_type(*start))
    return jax.lax.cond(right, lambda: states, one_by_one)


def _forward(step, params, inputs, start):
    # By `solve` itself, so that the gradient has a gradient.
    states = solve(step, params, inputs, start)
    return states, (params, inputs, start, states)


def _backward(step, kept_back, dstates):
    params, (zs, *masks), start, states = kept_back
    before = _before(start, states)

    def run(params, zs, before):
        return step(params, before, (zs, *masks))

    _, slopes = linearised(lambda s: run(params, zs, s), before)
    _, pullback = jax.vjp(run, params, zs, before)
    # λ_t takes J of the step after it.
    following = jax.tree.map(
        lambda j: jnp.concatenate([j[1:], jnp.zeros_like(j[:1])]), transposed(slopes)
    )
    nothing = tuple(jnp.zeros_like(x) for x in start)
    adjoints = affine_scan(following, dstates, nothing, reverse=True)
    dparams, dzs, dbefore = pullback(adjoints)
    none = (None,) * len(masks)
    return dparams, (dzs, *none), tuple(d[0] for d in dbefore)


solve = jax.custom_vjp(_solve, nondiff_argnums=(0,))
solve.defvjp(_forward, _backward)


def _before(start: Vector, states: Vector) -> Vector:
    """The states before each step."""
    return tuple(
        jnp.concatenate([first[None], after[:-1]])
        for first, after in zip(start, states, strict=True)
    )


def _masked(step, structure):
    """The step on a tuple of states, with what masks do around it."""

    def masked(params, states, inputs):
        z, reset, valid = inputs
        states = cleared(reset, states)
        after = step(params, structure.unflatten(states), z)
        return stepped(valid, tuple(jax.tree.leaves(after)), states)

    return masked
