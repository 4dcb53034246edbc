"""Layer normalisation (Ba, Kiros and Hinton, 2016), as recurrent cells use it."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxtext.cells.affine import embed
from jaxtext.cells.backends import backend
from jaxtext.checks import decided
from jaxtext.floats import accumulation_dtype
from jaxtext.kernels import autodiff
from jaxtext.kernels.fused import FUSED
from jaxtext.kernels.gates import Gates, Weights
from jaxtext.kernels.mosaic import MOSAIC
from jaxtext.kernels.products import (
    Multiply,
    along,
    is_symbols,
    multiply,
    product,
    rows,
)
from jaxtext.types import Array, Cell, DType, Params, State


def layer_norm(x: Array, scale: Array) -> Array:
    """Centres and rescales each vector, then gives each entry a scale of its own.

    ::

        LN(x; α) = α ⊙ (x - mean(x)) / sqrt(var(x) + 1e-5)

    The paper's bias after it is left to the caller: where two normalised products are
    added up, theirs and the gate's are one bias.

    Args:
      x: ``[B, F]``.
      scale: ``[F]``.

    Returns:
      ``[B, F]`` of ``promote_types(x.dtype, float32)``, in which mean and variance are
      taken.

    Example:
      >>> layer_norm(jnp.array([[1.0, 3.0]]), jnp.array([1.0, 2.0])).round(3)
      Array([[-1.,  2.]], dtype=float32)

    References:
      Ba, Kiros and Hinton, "Layer normalization", 2016.
    """
    dtype = accumulation_dtype(x.dtype)
    x = x.astype(dtype)
    x -= x.mean(-1, keepdims=True)
    variance = jnp.square(x).mean(-1, keepdims=True)
    return along(scale, x).astype(dtype) * x * jax.lax.rsqrt(variance + 1e-5)


def of_product(x: Array, kernel: Array, function: Callable[[Array], Array]) -> Array:
    """``f(x W)`` row by row, for symbols no more often than there are symbols.

    Args:
      x: ``[…, D]``, or integers ``[…]`` in ``[0, D)``.
      kernel: ``[D, F]``, of the type to multiply in.
      function: ``[…, F] -> […, F]``, which treats each row by itself.

    Returns:
      ``[…, F]``.
    """
    if _is_table_worthwhile(x, kernel):
        return rows(function(kernel), x)
    return function(product(x, kernel))


def weights(
    params: Params,
    x: Array,
    dtype: DType,
    *,
    function: Callable[[Array], Array],
    centre: Callable[[Array], Array],
    inner: Any,
) -> Weights:
    """The weights of a recurrence whose two products are normalised, each on its own.

    Args:
      params: With ``kernel``, ``recurrent_kernel``, ``input_scale`` and ``bias``.
      x: The inputs; for symbols, the kernel may be a table of what is normalised.
      dtype: The type of the products.
      function: As for `of_product`.
      centre: Subtracts from a kernel the means that its products are to lack.
      inner: As in `Weights`.
    """
    kernel, normal = params["kernel"], None
    if _is_table_worthwhile(x, kernel):
        kernel = function(kernel.astype(dtype))
    else:
        kernel, normal = centre(kernel), (params["input_scale"], params["bias"])
    return Weights(kernel, centre(params["recurrent_kernel"]), None, inner, normal)


def _is_table_worthwhile(x: Array, kernel: Array) -> bool:
    """Whether `x` are symbols, and more of them than there are in all."""
    return is_symbols(x) and decided(lambda: x.size > len(kernel), otherwise=True)


def normalised(
    plain: Cell,
    extra: Mapping[str, tuple[int, float]],
    inputs: Callable[[Params, Array], Array],
    core: Callable[[Params, Array, Array, State], State],
    dtype: DType,
    param_dtype: DType,
    *,
    by_hand: Gates,
    made_of: Callable[[Params, Array], tuple[Weights, Array]],
    gates: Callable[[Params, Array, Array, State], dict[str, Array]] | None = None,
) -> Cell:
    """A cell around one recurrent product, made of a plain one and its normalisation.

    ::

        state_t = core(params, inputs(params, x_t), h_tm1 U, state_tm1)

    Args:
      plain: The cell whose parameters and state it has.
      extra: The size and the first value of each parameter that it has besides.
      inputs: ``(params, x) -> z``: the part that depends only on the input.
      core: ``(params, z, u, state) -> state``: the step without its products.
      dtype: The type of the products.
      param_dtype: The type of the parameters.
      by_hand: `core` as kernels know it, with its derivative.
      made_of: ``(params, xs) -> (weights, xs)``, what a recurrence of `by_hand` is
        taken over.
      gates: ``(params, z, u, state) -> dict``: the gates in `core`, if there are any.

    Returns:
      A cell with the backends ``"fused"`` and ``"mosaic"``.
    """

    def init(key, input_size):
        params = plain.init(key, input_size)
        for name, (size, start) in extra.items():
            params[name] = jnp.full(size, start, param_dtype)
        return params

    def apply(
        function: Callable[..., Any], params, state, x, multiply: Multiply = multiply
    ):
        u = multiply((_hidden(state), params["recurrent_kernel"]), dtype=dtype)
        return function(params, inputs(params, x), u, state)

    def step(params, state, x, noise=None, multiply: Multiply = multiply):
        del noise
        state = apply(core, params, state, x, multiply)
        return state, _hidden(state)

    def named(params, state, x, noise=None):
        del noise
        assert gates is not None  # or the cell does not name its gates
        return apply(gates, params, state, x)

    def derived(name, passes):
        return backend(name, passes, by_hand, dtype, jnp.tanh, made_of)

    # In 16 bits, rounding a centred kernel is not rounding the product, and dividing by
    # a small deviation makes the difference large. JAX's derivative rounds as the step.
    narrow = jnp.finfo(dtype).bits < 32
    fused = autodiff.backends(step, plain.initial_state)
    return plain._replace(
        init=init,
        step=step,
        backends=(
            *(fused if narrow else (derived("fused", FUSED),)),
            derived("mosaic", MOSAIC),
        ),
        embed=embed,
        gates=gates and named,
    )


def _hidden(state):
    return jax.tree.leaves(state)[-1]
