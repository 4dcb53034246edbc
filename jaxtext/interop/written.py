"""Cells and models as text, from which they can be built again.

The text of a cell is its ``repr``, the call that makes it. It is parsed, and never
executed: it may name the constructors of this library, types and activations, and
nothing else.
"""

import ast
import contextlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtext import cells
from jaxtext.compose import bidirectional, residual, stack
from jaxtext.dropout import dropout, variational_dropout
from jaxtext.errors import InputError
from jaxtext.model import LanguageModel
from jaxtext.noise import recurrent_dropout, zoneout
from jaxtext.quantities import count, fraction, shown
from jaxtext.types import Cell

_CONSTRUCTORS: dict[str, Callable[..., Any]] = {
    **{name: getattr(cells, name) for name in cells.__all__},
    "stack": stack,
    "bidirectional": bidirectional,
    "residual": residual,
    "dropout": dropout,
    "variational_dropout": variational_dropout,
    "recurrent_dropout": recurrent_dropout,
    "zoneout": zoneout,
}
_TYPES = {"float16", "bfloat16", "float32", "float64"}
_ACTIVATIONS = {"relu", "silu", "gelu", "elu", "softplus", "soft_sign", "sigmoid"}


class Call(NamedTuple):
    """A call of one of the library's constructors.

    Attributes:
      name: The constructor, such as ``"lstm"``.
      arguments: Its arguments by name, without those that have their default. Of a
        `jaxtext.stack`, ``cells`` is a tuple. Cells are calls themselves.
    """

    name: str
    arguments: Mapping[str, Any]


def call_of(cell: Cell) -> Call:
    """The call that makes a cell.

    Raises:
      InputError: If the cell is not made of this library's constructors alone, or one
        has a function of your own as an argument.

    Example:
      >>> import jaxtext as jt
      >>> call_of(jt.stack(jt.gru(8), jt.dropout(0.5))).arguments["cells"][0]
      Call(name='gru', arguments={'hidden': 8})
    """
    source, call = repr(cell), None
    with contextlib.suppress(InputError):
        if cell_of(source) == cell:
            call = _parsed(source)
    if call is None:
        raise InputError(
            "cell: expected one made of jaxtext's constructors, without functions or "
            f"initializers of your own, got {shown(source)}"
        )
    return call


def cell_of(source: str) -> Cell:
    """The cell that a text stands for, its ``repr``.

    Raises:
      InputError: If the text is not such a call.

    Example:
      >>> cell_of("jt.stack(jt.gru(8), jt.dropout(0.5))")
      jt.stack(jt.gru(8), jt.dropout(0.5))
    """
    try:
        cell = built(_parsed(source))
    except InputError:
        raise
    except (TypeError, ValueError) as error:  # of the constructor
        raise InputError(f"cannot make the cell {shown(source)}: {error}") from error
    if not isinstance(cell, Cell):
        raise _not_a_cell(source)
    return cell


def written(model: LanguageModel) -> dict[str, Any]:
    """A model as a dict that can be saved as JSON.

    How it runs (`backend`, `remat`) is left out: that does not change the function.

    Raises:
      InputError: As `call_of`.

    Example:
      >>> import jaxtext as jt
      >>> written(jt.LanguageModel(jt.lstm(8), 65, tied=True))["cell"]
      'jt.lstm(8)'
    """
    call_of(model.cell)
    return {
        "cell": repr(model.cell),
        "vocab_size": int(model.vocab_size),
        "dtype": jnp.dtype(model.dtype).name,
        "embedding": model.embedding,
        "tied": model.tied,
        "weight_drop": model.weight_drop,
        "frequent": [int(x) for x in model.frequent],
        **({} if model.end is None else {"end": int(model.end)}),
    }


def model_of(about: Mapping[str, Any]) -> LanguageModel:
    """The model that `written` wrote.

    Raises:
      InputError: If it is not such a dict.

    Example:
      >>> import jaxtext as jt
      >>> model = jt.LanguageModel(jt.lstm(8), 65, embedding=4)
      >>> model_of(written(model)) == model
      True
    """
    try:
        embedding, dtype = about["embedding"], str(about["dtype"])
        if dtype not in _TYPES:
            raise InputError(
                f"dtype: expected one of {', '.join(sorted(_TYPES))}, got {dtype}"
            )
        return LanguageModel(
            cell_of(about["cell"]),
            count("vocab_size", about["vocab_size"]),
            jnp.dtype(dtype),
            embedding=None if embedding is None else count("embedding", embedding),
            tied=bool(about["tied"]),
            weight_drop=fraction("weight_drop", about["weight_drop"]),
            frequent=tuple(count("frequent", x, 0) for x in about["frequent"]),
            end=None if about.get("end") is None else count("end", about["end"], 0),
        )
    except (KeyError, TypeError) as error:
        raise InputError(
            f"expected a model as jaxtext writes it, got {shown(about)}"
        ) from error


def _parsed(source: str) -> Call:
    try:
        call = _value(ast.parse(source, mode="eval").body)
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError) as error:
        raise _not_a_cell(source) from error
    if not isinstance(call, Call):
        raise _not_a_cell(source)
    return call


def _value(node: ast.expr) -> Any:
    """What a part of the text stands for: a call, a number, a type, …"""
    match node:
        case ast.Constant(value):
            return value
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as value)):
            return -value
        case ast.Call(ast.Attribute(ast.Name("jt"), name)) if name in _CONSTRUCTORS:
            make = _CONSTRUCTORS[name]
            args = [_value(arg) for arg in node.args]
            kwargs = {str(word.arg): _value(word.value) for word in node.keywords}
            bound = inspect.signature(make).bind(*args, **kwargs)
            return Call(name, bound.arguments)
        case ast.Attribute(ast.Name("jnp"), name) if name in _TYPES:
            return jnp.dtype(name)
        case ast.Attribute(ast.Name("jnp"), "tanh"):
            return jnp.tanh
        case ast.Attribute(ast.Attribute(ast.Name("jax"), "nn"), name) if (
            name in _ACTIVATIONS
        ):
            return getattr(jax.nn, name)
    raise _not_a_cell(ast.unparse(node))


def built(value: Any) -> Any:
    """The cell that a call makes; a tuple of them; any other value as it is."""
    if isinstance(value, Call):
        bound = inspect.signature(_CONSTRUCTORS[value.name]).bind_partial()
        for name, argument in value.arguments.items():
            bound.arguments[name] = built(argument)
        return _CONSTRUCTORS[value.name](*bound.args, **bound.kwargs)
    return tuple(map(built, value)) if isinstance(value, tuple) else value


def _not_a_cell(source):
    return InputError(
        f"expected a cell as its repr has it, such as jt.lstm(8), got {shown(source)}"
    )
