"""The forward pass, and the tape that the backward pass reads."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxtext.checks import decided
from jaxtext.kernels.masks import kept, select, stepped
from jaxtext.kernels.products import along, is_symbols, multiply, product
from jaxtext.types import Array, InitialState, Noise, Params, State


class Scan(NamedTuple):
    """The scan, apart from its arrays.

    Attributes:
      step: ``(params, state, x, noise, multiply=…) -> (state, y)``. It calls
        `multiply` as `jaxtext.kernels.products.multiply` is called, always in the same
        order, with kernels and biases that depend on `params` alone.
      initial_state: That of the cell.
      keep: Whether the sums of products are kept for the backward pass, or computed
        again.
    """

    step: Callable[..., tuple[State, Array]]
    initial_state: InitialState
    keep: bool


class Operands(NamedTuple):
    """Its arrays; `jaxtext.types.Masks` has what `resets` and `valid` are."""

    params: Params
    state: State
    xs: Any
    resets: Array | None
    valid: Array | None
    noise: Any


class Weights(NamedTuple):
    """What one call of `multiply` multiplies by, and adds."""

    kernels: list[Any]
    bias: Any


class Tape(NamedTuple):
    """What the backward pass reads.

    Attributes:
      states: The state before each step.
      sums: What each call of `multiply` returned at each step. ``None``: not kept.
    """

    states: State
    sums: list[Array] | None


def run(
    what: Scan, operands: Operands, record: bool
) -> tuple[tuple[State, Array], Tape | None]:
    """The last state and the outputs, and the tape if it is to be recorded."""
    params, state, xs, resets, valid, noise = operands
    of_inputs = []
    _, weights = weights_of(what, operands, params, of_inputs)
    at_once = [
        [
            product(xs, w) if is_input and _is_hoisted(xs) else None
            for w, is_input in zip(call.kernels, flags, strict=True)
        ]
        for call, flags in zip(weights, of_inputs, strict=True)
    ]

    def body(state, inputs):
        x, reset, valid, per_step, known = inputs
        if reset is not None:
            state = select(reset, what.initial_state(reset.shape), state)
        here = Noise(noise.per_sequence, per_step)
        (after, y), sums = step(what, weights, params, state, x, here, known)
        tape = Tape(state, sums if what.keep else None) if record else None
        return stepped(valid, after, state), (kept(valid, y), tape)

    steps = xs, resets, valid, noise.per_step, at_once
    state, (ys, tape) = jax.lax.scan(body, state, steps)
    return (state, ys), tape


def weights_of(
    what: Scan,
    operands: Operands,
    params: Params,
    of_inputs: list[list[bool]] | None = None,
) -> tuple[list[Weights], list[Weights]]:
    """The weights of each call of `multiply`, and the same in the type they act in.

    A step is taken to see them, and nothing that it computes is used.
    """
    _, state, xs, _, _, noise = operands
    x, per_step = jax.tree.map(lambda x: x[0], (xs, noise.per_step))
    plain, cast = [], []

    def catch(*factors, bias=None, dtype):
        weights = Weights([w for _, w in factors], bias)
        if of_inputs is not None:
            of_inputs.append([a is x for a, _ in factors])
        plain.append(weights)
        cast.append(jax.tree.map(lambda w: w.astype(dtype), weights))
        return multiply(*factors, bias=bias, dtype=dtype)

    here = Noise(noise.per_sequence, per_step)
    what.step(params, state, x, here, multiply=catch)
    return plain, cast


def step(
    what: Scan,
    weights: list[Weights],
    params: Params,
    state: State,
    x: Array,
    noise: Noise,
    at_once: list[list[Any]] | None = None,
) -> tuple[tuple[State, Array], list[Array]]:
    """A step with the weights of `weights_of`, and its sums of products."""
    sums = []

    def multiplied(*factors, bias=None, dtype):
        del bias
        call = len(sums)
        kernels, bias = weights[call]
        known = at_once[call] if at_once else [None] * len(kernels)
        products = [
            product(a, w) if z is None else z
            for (a, _), w, z in zip(factors, kernels, known, strict=True)
        ]
        total = sum(products[1:], products[0])
        sums.append(total if bias is None else total + along(bias, total))
        return sums[-1]

    return what.step(params, state, x, noise, multiply=multiplied), sums


def _is_hoisted(xs):
    """Whether products of the inputs are taken before the loop, for all steps at once.

    It pays where a step's product is short of rows (``docs/kernels.md``).
    """
    if is_symbols(xs):
        return False
    return decided(lambda: math.prod(xs.shape[1:-1]) < 8, otherwise=False)
