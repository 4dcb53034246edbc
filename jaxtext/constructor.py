"""The decorator of every function that makes a cell."""

import importlib
import inspect
import threading
from collections.abc import Callable
from functools import lru_cache, partial, wraps
from typing import Any, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxtext.checks import array, floating, inputs, shape
from jaxtext.errors import InputError
from jaxtext.expected import a_cell, fitted_params, fitted_state
from jaxtext.kernels.products import is_symbols
from jaxtext.keys import typed_key
from jaxtext.quantities import count, fraction, shown
from jaxtext.types import Cell, Noise

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


def _function(name, value):
    if not callable(value):
        raise InputError(f"{name}: expected a function, got {shown(value)}")
    return jnp.tanh if value is jax.lax.tanh else value


def _or_none(check):
    return lambda name, value: None if value is None else check(name, value)


# How arguments of these names are checked, in every constructor.
_NORMAL = {
    "hidden": count,
    "heads": count,
    "projection": count,
    "rounds": partial(count, least=0),
    "chrono": _or_none(partial(count, least=3)),
    "dtype": floating,
    "param_dtype": floating,
    "rate": _rates,
    "reset_after": _flag,
    "use_bias": _flag,
    "activation": _function,
    "kernel_init": _function,
    "recurrent_kernel_init": _function,
    "bias_init": _or_none(_function),
    "step": _function,
    "initial_state": _function,
    "cell": a_cell,
    "cells": _cells,
    "forward": a_cell,
    "backward": _or_none(a_cell),
}


def constructor(make: Make) -> Make:
    """Marks a function that makes cells.

    Equal arguments give the very same cell, of the last 512 made. So cells of equal
    configuration are equal and have equal hashes, and a cell that is a static argument
    of ``jax.jit`` is not compiled for again. Sizes and types are checked. Each function
    of the cell checks its own arguments too: its step takes the same states as
    `jaxtext.unroll` does. The cell's ``repr`` is the call that makes it.

    Example:
      >>> import jaxtext as jt
      >>> jt.stack(jt.lstm(8), jt.gru(8)) == jt.stack(jt.lstm(8), jt.gru(hidden=8))
      True
      >>> jt.stack([jt.lstm(8, dtype="bfloat16"), jt.dropout(0.5)])
      jt.stack(jt.lstm(8, dtype=jnp.bfloat16), jt.dropout(0.5))
    """
    signature = inspect.signature(make)

    def made(structure, *leaves):
        args, kwargs = jax.tree.unflatten(structure, leaves)
        cell = _checked(make(*args, **kwargs))
        given, named = _given(signature.bind(*args, **kwargs))
        # To pickle it by: functions within a cell have no name to find them by.
        by_name = jax.tree.map(_by_name, (given, named), is_leaf=_is_cell)
        vars(cell.init)["call"] = partial(_remade, normalised, *by_name)
        return cell._replace(source=_source(make, given, named))

    lock = threading.RLock()
    known = lru_cache(maxsize=512, typed=True)(made)

    @wraps(make)
    def normalised(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            bound.arguments[name] = _normal(name, value)
        # Rates may be in a structure that has no hash, such as a dict.
        leaves, structure = jax.tree.flatten((bound.args, bound.kwargs))
        try:
            hash((structure, *leaves))
        except TypeError:  # such as a function that holds an array
            return made(structure, *leaves)
        with lock:  # or two threads would make two cells
            return known(structure, *leaves)

    return cast(Make, normalised)


def _given(bound) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call, without those that have their default."""
    args, kwargs = [], {}
    for name, value in bound.arguments.items():
        parameter = bound.signature.parameters[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            args += value
        elif parameter.default is parameter.empty:
            args.append(value)
        elif _normal(name, parameter.default) != value:
            kwargs[name] = value
    return args, kwargs


def _source(make, args, kwargs) -> str:
    """A call as one would write it."""
    words = [*map(_written, args)]
    words += [f"{name}={_written(value)}" for name, value in kwargs.items()]
    return f"jt.{make.__name__}({', '.join(words)})"


class _Public(NamedTuple):
    """A function of JAX, which JAX's own functions cannot be pickled as."""

    module: str
    name: str


def _is_cell(value):
    return isinstance(value, Cell | _Public)


def _by_name(value):
    for module in (jnp, jax.nn):
        name = getattr(value, "__name__", None)
        if name and getattr(module, name, None) is value:
            return _Public(module.__name__, name)
    return value


def _remade(make, args, kwargs):
    """The inverse of `_by_name`, and the cell."""

    def found(value):
        if not isinstance(value, _Public):
            return value
        return getattr(importlib.import_module(value.module), value.name)

    args, kwargs = jax.tree.map(found, (args, kwargs), is_leaf=_is_cell)
    return make(*args, **kwargs)


def _written(value: Any) -> str:
    """A value as one would write it in a call."""
    fields = getattr(value, "_fields", None)
    if fields is not None and not isinstance(value, Cell):
        parts = zip(fields, value, strict=True)
        inside = ", ".join(f"{name}={_written(part)}" for name, part in parts)
        return f"jt.{type(value).__name__}({inside})"
    if isinstance(value, np.dtype):
        return f"jnp.{value.name}"
    name = getattr(value, "__name__", None)
    for where, module in (("jnp", jnp), ("jax.nn", jax.nn)):
        if name and getattr(module, name, None) is value:
            return f"{where}.{name}"
    return name or repr(value)


def _normal(name: str, value: Any) -> Any:
    """An argument, checked and converted, so that equal values compare equal."""
    return _NORMAL[name](name, value) if name in _NORMAL else value


def _checked(cell: Cell) -> Cell:
    """The cell, its functions checking their arguments first."""
    init, initial_state = cell.init, cell.initial_state

    @wraps(init)
    def checked_init(key, input_size):
        if isinstance(input_size, Tracer):
            raise InputError(
                "input_size: expected a number, which decides shapes, got a traced "
                f"{shown(input_size)}; write jax.eval_shape(lambda: cell.init(key, 65))"
                " or jax.jit(cell.init, static_argnums=1)"
            )
        return init(typed_key(key), count("input_size", input_size))

    @wraps(initial_state)
    def checked_initial_state(batch_shape):
        return initial_state(shape("batch_shape", batch_shape))

    checked = {
        "init": checked_init,
        "initial_state": checked_initial_state,
        "step": None if cell.step is None else _checked_step(cell, cell.step),
        "gates": None if cell.gates is None else _checked_step(cell, cell.gates),
        "embed": None if cell.embed is None else _checked_embed(cell, cell.embed),
    }
    return Cell(**{**cell._asdict(), **checked})


def _checked_step(cell, step):
    @wraps(step)
    def checked_step(params, state, x, noise=None, **how):
        if noise is not None and not isinstance(noise, Noise):
            raise InputError(
                f"noise: expected what the cell's noise function draws, got "
                f"{shown(noise)}; a key is for jt.unroll(…, key=key)"
            )
        x = inputs("x", x)
        params = fitted_params(cell, params, "x", x)
        batch_shape = x.shape if is_symbols(x) else x.shape[:-1]
        return step(params, fitted_state(cell, state, batch_shape), x, noise, **how)

    return checked_step


def _checked_embed(cell, embed):
    @wraps(embed)
    def checked_embed(params, vectors):
        vectors = array("vectors", vectors)
        return embed(fitted_params(cell, params, "vectors", vectors), vectors)

    return checked_embed
