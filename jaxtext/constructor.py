"""What every function that makes a cell has in common."""

import functools
import inspect
from collections.abc import Callable
from typing import TypeVar, cast

from jaxtext.checks import count, floating, inputs, shape
from jaxtext.expected import fitted_state
from jaxtext.kernels.products import is_symbols
from jaxtext.keys import typed_key
from jaxtext.types import Cell

Make = TypeVar("Make", bound=Callable[..., Cell])

_NORMAL = {"hidden": count, "dtype": floating, "param_dtype": floating}


def constructor(make: Make) -> Make:
    """Marks a function that makes cells.

    Equal arguments give the very same cell, so that what JAX has compiled for a cell
    serves for an equal one that is made later. Sizes and types are checked, and each
    function of the cell checks its own arguments: its step takes the same states as
    `jaxtext.unroll` does.

    Example:
      >>> import jaxtext as jt
      >>> jt.stack(jt.lstm(8), jt.gru(8)) == jt.stack(jt.lstm(8), jt.gru(hidden=8))
      True
    """
    signature = inspect.signature(make)

    def checked(*args, **kwargs):
        return _checked(make(*args, **kwargs))

    known = functools.lru_cache(maxsize=512, typed=True)(checked)

    @functools.wraps(make)
    def normalised(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            if name in _NORMAL:
                bound.arguments[name] = _NORMAL[name](name, value)
        args, kwargs = bound.args, bound.kwargs
        try:
            hash((args, *kwargs.values()))
        except TypeError:  # such as an array
            return checked(*args, **kwargs)
        return known(*args, **kwargs)

    return cast(Make, normalised)


def _checked(cell: Cell) -> Cell:
    """The cell, whose functions look at their arguments first."""
    init, initial_state = cell.init, cell.initial_state

    @functools.wraps(init)
    def checked_init(key, input_size):
        return init(typed_key(key), count("input_size", input_size))

    @functools.wraps(initial_state)
    def checked_initial_state(batch_shape):
        return initial_state(shape("batch_shape", batch_shape))

    step = None if cell.step is None else _checked_step(cell, cell.step)
    return cell._replace(
        init=checked_init, initial_state=checked_initial_state, step=step
    )


def _checked_step(cell, step):
    @functools.wraps(step)
    def checked_step(params, state, x, noise=None):
        x = inputs("x", x)
        batch_shape = x.shape if is_symbols(x) else x.shape[:-1]
        return step(params, fitted_state(cell, state, batch_shape), x, noise)

    return checked_step
