"""Checks of arguments: converted where their meaning is clear, otherwise refused.

An error names the argument and says what was expected, what it got and what to do.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxtext.errors import InputError
from jaxtext.quantities import count, shown
from jaxtext.types import Array, DType, Shape


def floating(name: str, dtype: DType) -> DType:
    """A floating-point type, also by its name.

    Raises:
      InputError: If it is none.

    Example:
      >>> floating("dtype", "bfloat16")
      dtype(bfloat16)
    """
    found = None
    with contextlib.suppress(TypeError):
        found = None if dtype is None else jnp.dtype(dtype)
    if found is None or not jnp.issubdtype(found, jnp.floating):
        raise InputError(
            f"{name}: expected a floating-point type such as jnp.float32 or "
            f"'bfloat16', got {shown(dtype)}"
        )
    return found


def array(name: str, value: Any) -> Array:
    """An array of numbers, also of a list of them.

    Raises:
      InputError: If it cannot be converted.

    Example:
      >>> array("ids", [[1, 2], [3, 4]]).shape
      (2, 2)
    """
    if isinstance(value, jax.Array):
        return value
    try:
        if hasattr(value, "_fields"):  # a state, whose parts are not rows
            raise TypeError
        return jnp.asarray(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"{name}: expected an array of numbers, or lists of equal lengths, got "
            f"{shown(value)}"
        ) from None


def integers(name: str, value: Any) -> Array:
    """An array of integers, also of a list of them.

    Raises:
      InputError: If it is of another type.

    Example:
      >>> integers("lengths", [3, 1]).shape
      (2,)
    """
    found = array(name, value)
    if not jnp.issubdtype(found.dtype, jnp.integer):
        raise InputError(f"{name}: expected integers, got {found.dtype}")
    return found


def inputs(name: str, value: Any) -> Array:
    """The inputs of a cell: floating-point vectors, or integers that stand for symbols.

    Booleans are vectors of zeros and ones.

    Raises:
      InputError: If it is of another type.

    Example:
      >>> inputs("xs", [[0.5, 1.0]]).dtype, inputs("xs", [3, 1]).dtype
      (dtype('float32'), dtype('int32'))
    """
    found = array(name, value)
    if found.dtype == bool:
        return found.astype(float)
    if not _is_real(found.dtype):
        raise InputError(
            f"{name}: expected floating-point vectors, or integers that stand for "
            f"symbols, got {found.dtype}"
        )
    return found


def shape(name: str, value: Any) -> Shape:
    """A shape; a number is that of one axis.

    Raises:
      InputError: If it is none.

    Example:
      >>> shape("batch_shape", 3), shape("batch_shape", [2, 3])
      ((3,), (2, 3))
    """
    axes = value if isinstance(value, tuple | list) else (value,)
    symbolic: Callable[[Any], Any] = jax.export.is_symbolic_dim
    sizes: Any = (n if symbolic(n) else count(name, n, 0) for n in axes)
    return tuple(sizes)


def flag(name: str, value: Any) -> bool:
    """A flag that decides what is compiled.

    Raises:
      InputError: If it is no boolean, or is known only when the program runs.

    Example:
      >>> flag("reverse", 1)
      True
    """
    if isinstance(value, bool | int | np.bool_):
        return bool(value)
    traced = isinstance(value, Tracer)
    if not traced and getattr(value, "shape", None) == () and value.dtype == bool:
        return bool(value)
    hint = "; within jax.jit, make it a static argument" if traced else ""
    raise InputError(f"{name}: expected True or False, got {shown(value)}{hint}")


def flags(name: str, value: Any) -> Array:
    """Booleans of numbers: whatever is not zero is true, as in Python.

    Raises:
      InputError: If they are no numbers.

    Example:
      >>> flags("resets", [0, 2, 255]).tolist()
      [False, True, True]
    """
    found = array(name, value)
    if found.dtype == bool:
        return found
    if not _is_real(found.dtype):
        raise InputError(
            f"{name}: expected booleans, or numbers that are zero for false, got "
            f"{found.dtype}"
        )
    return found != 0


def fitted(name: str, expected: Any, given: Any, *, cast: bool = True) -> Any:
    """A pytree in the structure, the shapes and the types of another.

    Lists stand for arrays and for tuples, any mapping for a dict. Real numbers of
    another type are cast, unless integers are expected and others come.

    Args:
      name: What to call it in an error.
      expected: A pytree of arrays or ``jax.ShapeDtypeStruct``.
      given: What to fit.
      cast: Whether one floating-point type is cast to another.

    Returns:
      `given`, as arrays in the structure of `expected`.

    Raises:
      InputError: If structures or shapes differ, or a type cannot be cast.

    Example:
      >>> fitted("state", jnp.zeros(2), [1, 2])
      Array([1., 2.], dtype=float32)
    """

    def part(path, expected, given):
        return fitted(f"{name}{path}", expected, given, cast=cast)

    if isinstance(expected, tuple | Mapping) and not jax.tree.leaves((expected, given)):
        return expected
    if hasattr(expected, "dtype"):
        return _fitted_leaf(name, expected, given, cast)
    if isinstance(expected, Mapping):
        _check_keys(name, expected, given)
        parts = {k: part(f"[{k!r}]", v, given[k]) for k, v in expected.items()}
        kind: Any = type(expected)
        return kind(parts)
    fields = getattr(expected, "_fields", None)
    if fields is not None:
        if type(given) is not type(expected):
            raise InputError(_other_fields(name, expected, given))
        parts = zip(fields, expected, given, strict=True)
        return type(expected)(*(part(f".{f}", e, g) for f, e, g in parts))
    if isinstance(expected, tuple):
        plain = isinstance(given, tuple | list) and not hasattr(given, "_fields")
        if not plain or len(given) != len(expected):
            hint = _saved_by_flax(name) if isinstance(given, Mapping) else ""
            raise InputError(
                f"{name}: expected {shown(expected)}, got {shown(given)}{hint}"
            )
        parts = enumerate(zip(expected, given, strict=True))
        return tuple(part(f"[{i}]", e, g) for i, (e, g) in parts)
    # A node of some other type, which knows itself how it is flattened.
    leaves, structure = jax.tree.flatten(expected)
    if jax.tree.structure(given) != structure:
        raise InputError(f"{name}: expected {shown(expected)}, got {shown(given)}")
    parts = enumerate(zip(leaves, jax.tree.leaves(given), strict=True))
    return structure.unflatten(part(f", leaf {i}", e, g) for i, (e, g) in parts)


def _fitted_leaf(name, expected, given, cast):
    shape, dtype = expected.shape, expected.dtype
    if given is None or isinstance(given, tuple | Mapping):
        raise InputError(
            f"{name}: expected one array of shape {shape}, got {shown(given)}"
        )
    found = array(name, given)
    if found.shape != shape:
        raise InputError(f"{name}: expected shape {shape}, got {found.shape}")
    if found.dtype == dtype:
        return found
    inexact = jnp.issubdtype(dtype, jnp.floating)
    if not (_is_real(found.dtype) and _is_real(dtype)) or not (
        inexact or jnp.issubdtype(found.dtype, jnp.integer)
    ):
        raise InputError(f"{name}: expected {dtype}, got {found.dtype}")
    if inexact and not cast and jnp.issubdtype(found.dtype, jnp.floating):
        return found
    return found.astype(dtype)


def _check_keys(name, expected, given):
    if not isinstance(given, Mapping):
        raise InputError(
            f"{name}: expected a dict of {_quoted(expected)}, got {shown(given)}; "
            + _naming(given, expected)
        )
    missing = [key for key in expected if key not in given]
    # A part without arrays has no entry, and may have one.
    more = [k for k, x in given.items() if k not in expected and jax.tree.leaves(x)]
    if missing or more:
        raise InputError(
            f"{name}: expected {_quoted(expected)}, got {_quoted(given)}"
            + (f"; {_quoted(missing)} is missing" if missing else "")
            + (f"; there is no place for {_quoted(more)}" if more else "")
            + (f"; write {name}['params']" if more == ["params"] else "")
        )


def _saved_by_flax(name):
    return (
        "; if Flax saved it, write flax.serialization.from_state_dict("
        f"cell.initial_state(batch_shape), {name})"
    )


def _quoted(names):
    return ", ".join(map(repr, names)) or "nothing"


def _naming(given, expected):
    """A hint how to make a dict of the given value."""
    if isinstance(given, tuple | list) and all(map(str.isdigit, expected)):
        return "write {str(i): part for i, part in enumerate(…)}"
    return "name its parts as init does"


def _other_fields(name, expected, given):
    kind, fields = type(expected).__name__, expected._fields
    hint = f"write {kind}({', '.join(f'{f}=…' for f in fields)})"
    if isinstance(given, Mapping) and {*given} == {*fields}:
        return f"{name}: expected {kind}, got a dict; write jt.{kind}(**{name})"
    if fields == ("c", "h"):
        hint = (
            "whose order cannot be told: it is c, h here, and h, c in torch; "
            f"write jt.{kind}(c=…, h=…)"
        )
    return f"{name}: expected {kind}, got {shown(given)}, {hint}"


def decided(question: Callable[[], Any], *, otherwise: bool) -> bool:
    """The answer to a question about shapes, which may be symbolic (``jax.export``).

    Args:
      question: Compares sizes.
      otherwise: The answer if the sizes are not known.
    """
    try:
        return bool(question())
    except jax.errors.InconclusiveDimensionOperation:
        return otherwise


def _is_real(dtype):
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return False
    return jnp.isdtype(dtype, ("bool", "real floating", "integral"))
