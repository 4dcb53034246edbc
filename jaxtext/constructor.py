"""What every function that makes a cell has in common."""

import inspect
import threading
from collections.abc import Callable
from functools import lru_cache, partial, wraps
from typing import TypeVar, cast

import jax

from jaxtext.checks import array, floating, inputs, shape
from jaxtext.expected import a_cell, fitted_params, fitted_state
from jaxtext.kernels.products import is_symbols
from jaxtext.keys import typed_key
from jaxtext.quantities import count, fraction
from jaxtext.types import Cell

Make = TypeVar("Make", bound=Callable[..., Cell])


def _cells(name, cells):
    if len(cells) == 1 and isinstance(cells[0], list):
        (cells,) = cells
    return tuple(a_cell(f"{name}[{i}]", cell) for i, cell in enumerate(cells))


def _rates(name, value):
    """A rate, or several in a structure, as `zoneout` takes them."""
    return jax.tree.map(partial(fraction, name), value)


def _flag(name, value):
    del name
    return bool(value)


def _or_none(check):
    return lambda name, value: None if value is None else check(name, value)


# What arguments of these names are, whoever makes a cell of them.
_NORMAL = {
    "hidden": count,
    "projection": count,
    "rounds": partial(count, least=0),
    "chrono": _or_none(partial(count, least=3)),
    "dtype": floating,
    "param_dtype": floating,
    "rate": _rates,
    "reset_after": _flag,
    "cell": a_cell,
    "cells": _cells,
    "forward": a_cell,
    "backward": _or_none(a_cell),
}


def constructor(make: Make) -> Make:
    """Marks a function that makes cells.

    Equal arguments give the very same cell, of the last 512, so that what JAX has
    compiled for it serves for one that is made later. Sizes and types are checked, and
    each function of the cell checks its own arguments: its step takes the same states
    as `jaxtext.unroll` does.

    Example:
      >>> import jaxtext as jt
      >>> jt.stack(jt.lstm(8), jt.gru(8)) == jt.stack(jt.lstm(8), jt.gru(hidden=8))
      True
    """
    signature = inspect.signature(make)

    def checked(*args, **kwargs):
        return _checked(make(*args, **kwargs))

    lock = threading.RLock()
    known = lru_cache(maxsize=512, typed=True)(checked)

    @wraps(make)
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
        with lock:  # or two threads would make two cells
            return known(*args, **kwargs)

    return cast(Make, normalised)


def _checked(cell: Cell) -> Cell:
    """The cell, whose functions look at their arguments first."""
    init, initial_state = cell.init, cell.initial_state

    @wraps(init)
    def checked_init(key, input_size):
        return init(typed_key(key), count("input_size", input_size))

    @wraps(initial_state)
    def checked_initial_state(batch_shape):
        return initial_state(shape("batch_shape", batch_shape))

    return cell._replace(
        init=checked_init,
        initial_state=checked_initial_state,
        step=None if cell.step is None else _checked_step(cell, cell.step),
        embed=None if cell.embed is None else _checked_embed(cell, cell.embed),
    )


def _checked_step(cell, step):
    @wraps(step)
    def checked_step(params, state, x, noise=None):
        x = inputs("x", x)
        params = fitted_params(cell, params, "x", x)
        batch_shape = x.shape if is_symbols(x) else x.shape[:-1]
        return step(params, fitted_state(cell, state, batch_shape), x, noise)

    return checked_step


def _checked_embed(cell, embed):
    @wraps(embed)
    def checked_embed(params, vectors):
        vectors = array("vectors", vectors)
        return embed(fitted_params(cell, params, "vectors", vectors), vectors)

    return checked_embed
