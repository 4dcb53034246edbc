"""The state and the parameters that a cell expects."""

import functools
from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np

from jaxtext.checks import fitted
from jaxtext.errors import InputError
from jaxtext.kernels.products import is_symbols
from jaxtext.quantities import shown
from jaxtext.types import Array, Cell, Params, Shape, State


def a_cell(name: str, cell: Any) -> Cell:
    """Checks that the argument is a `Cell`.

    Raises:
      InputError: If it is something else.
    """
    if not isinstance(cell, Cell):
        hint = "; call it with a width" if callable(cell) else ""
        raise InputError(
            f"{name}: expected a Cell such as jt.lstm(128), got {shown(cell)}{hint}"
        )
    return cell


def fitted_state(cell: Cell, state: State, batch_shape: Shape) -> State:
    """A state as ``cell.initial_state(batch_shape)`` makes it.

    Structure and shapes have to be its own; numbers of another type are cast to its
    types, as `jaxtext.checks.fitted` says. ``None`` stands for that state itself.

    Raises:
      InputError: If the state does not fit.
    """
    if state is None:
        return cell.initial_state(batch_shape)
    return fitted("state", _state(cell.initial_state, batch_shape), state)


def fitted_params(cell: Cell, params: Params, name: str, xs: Array) -> Params:
    """Parameters as ``cell.init(key, D)`` makes them, of any floating-point types.

    Args:
      cell: The cell.
      params: What to check.
      name: What to call `xs` in an error.
      xs: Vectors of width ``D``, or symbols.

    Raises:
      InputError: If they have another structure or other shapes, or if the inputs are
        not as wide as they are made for.
    """
    if is_symbols(xs):
        return _fitted(cell, params, _width(cell.init, params, otherwise=1))
    width = xs.shape[-1]
    try:
        return _fitted(cell, params, width)
    except InputError:
        made_for = _width(cell.init, params, otherwise=width)
        if made_for in (None, width) or not _fits(cell, params, made_for):
            raise
        raise InputError(
            f"{name}: expected vectors of width {made_for}, which params are for, got "
            f"{shown(xs)}; cell.init(key, {width}) makes params for these"
        ) from None


def _fits(cell, params, width):
    try:
        _fitted(cell, params, width)
    except InputError:
        return False
    return True


def _fitted(cell, params, width):
    """Parameters that fit a width; as they are where that cannot be told."""
    if width is None:
        return params
    expected = _params_for(cell.init, width, _default_float())
    if expected is None:
        return params
    return fitted("params", expected, params, cast=False)


def _default_float() -> Hashable:
    """The default types of a cell depend only on ``jax_enable_x64``."""
    return jax.dtypes.canonicalize_dtype(float)


def _state(initial_state, batch_shape):
    """Shapes and types of a state."""
    if any(map(jax.export.is_symbolic_dim, batch_shape)):  # which do not compare
        return jax.eval_shape(lambda: initial_state(batch_shape))
    return _known_state(initial_state, batch_shape, _default_float())


@functools.lru_cache(maxsize=512)
def _known_state(
    initial_state: Callable[..., State], shape: Shape, _: Hashable
) -> State:
    return jax.eval_shape(lambda: initial_state(shape))


@functools.lru_cache(maxsize=512)
def _params_for(init: Callable[..., Params], width: int, _: Hashable) -> Params:
    """Shapes and types of the parameters for inputs of a width.

    ``None`` if the cell does not take that width, or has its parameters from elsewhere.
    """
    try:
        return jax.eval_shape(lambda: init(jax.random.key(0), width))
    except Exception:
        return None


@functools.lru_cache(maxsize=512)
def _where_width_shows(init: Callable[..., Params], _: Hashable) -> Any:
    """A leaf's path and axis, that axis for a width of one, and its growth with it.

    ``None`` if no shape depends on the width, or the cell does not take every width.
    """
    one, two = (_params_for(init, width, _) for width in (1, 2))
    if one is None or two is None:
        return None
    pairs = zip(jax.tree.leaves_with_path(one), jax.tree.leaves(two), strict=True)
    for (path, a), b in pairs:
        for axis, (m, n) in enumerate(zip(a.shape, b.shape, strict=True)):
            if m != n:
                return path, axis, m, n - m
    return None


def _width(init, params, otherwise) -> int | None:
    """The width that parameters were made for; `otherwise` if they are of another kind.

    ``None``: it cannot be told.
    """
    shows = _where_width_shows(init, _default_float())
    if shows is None:
        return None
    path, axis, first, growth = shows
    shape = np.shape(_at(path, params))
    if axis >= len(shape):
        return otherwise
    width = max(1, 1 + (shape[axis] - first) // growth)
    expected = _at(path, _params_for(init, width, _default_float()))
    return width if expected.shape[axis] == shape[axis] else None


def _at(path: Any, tree: Any) -> Any:
    """The value at a path, ``None`` if there is no such path."""
    for key in path:
        name = getattr(key, "key", getattr(key, "idx", getattr(key, "name", None)))
        try:
            tree = tree[name]
        except (KeyError, IndexError, TypeError):
            return None
    return tree
