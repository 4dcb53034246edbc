"""What a step of a cell returns, checked as it is traced: a cell may be anyone's."""

import inspect
from typing import Any

import jax

from jaxtext.checks import fitted
from jaxtext.errors import InputError
from jaxtext.kernels.products import is_symbols
from jaxtext.quantities import shown
from jaxtext.types import Array, Cell, Noise, Params, State


def taken(
    cell: Cell, params: Params, state: State, x: Array, noise: Noise | None
) -> tuple[State, Array]:
    """Takes a step of a cell.

    Only shapes and types are looked at, so a compiled program is the same without it.

    Raises:
      InputError: If the step is not ``(params, state, x, noise=None) -> (state, y)``,
        with a state as it came and an output with the batch axes of `x`.
    """
    step: Any = cell.step
    try:
        result = step(params, state, x, noise)
    except TypeError:
        if _takes_noise(step):
            raise
        raise InputError(
            f"cell.step: expected (params, state, x, noise=None), got "
            f"{inspect.signature(step)}; add noise=None"
        ) from None
    if not isinstance(result, tuple | list) or len(result) != 2:
        hint = "; is a return missing?" if result is None else ""
        raise InputError(f"cell.step: expected (state, y), got {shown(result)}{hint}")
    after, y = result
    batch_shape = x.shape if is_symbols(x) else x.shape[:-1]
    if not hasattr(y, "shape"):
        raise InputError(
            f"cell.step, y: expected one array [B, H], got {shown(y)}; return (state, "
            "y), and get more of a step by jt.unroll(…, emit=…)"
        )
    if y.shape[: len(batch_shape)] != batch_shape:
        raise InputError(
            f"cell.step, y: expected the batch axes of x, {batch_shape}, in front, got "
            f"{shown(y)}; return (state, y)"
        )
    return _as_it_came(state, after), y


def _as_it_came(state, after):
    name = "cell.step, state"
    after = fitted(name, state, after, cast=False)
    pairs = zip(jax.tree.leaves_with_path(state), jax.tree.leaves(after), strict=True)
    for (path, before), new in pairs:
        if before.dtype != new.dtype:
            raise InputError(
                f"{name}{jax.tree_util.keystr(path)}: expected {before.dtype}, as it "
                f"came, got {new.dtype}; write .astype({before.dtype.name!r})"
            )
    return after


def _takes_noise(step):
    try:
        inspect.signature(step).bind(*"psxn")
    except TypeError:
        return False
    return True
