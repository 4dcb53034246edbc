"""Checks of numbers, and how errors show a value. Without JAX."""

import contextlib
import operator
from collections.abc import Iterable, Mapping
from typing import Any

from jaxtext.errors import InputError


def count(name: str, value: Any, least: int = 1, *, or_else: str = "") -> int:
    """A whole number, also one of NumPy's.

    Args:
      name: What to call it in an error.
      value: The number.
      least: The least that it may be.
      or_else: Other values that are allowed, as the error names them.

    Raises:
      InputError: If it is none, or less than `least`.

    Example:
      >>> import numpy as np
      >>> count("hidden", np.int64(8))
      8
    """
    number = least - 1
    if not isinstance(value, bool):
        with contextlib.suppress(TypeError):
            number = operator.index(value)
    if number < least:
        among = f"{or_else} or " if or_else else ""
        raise InputError(
            f"{name}: expected {among}a whole number of at least {least}, got "
            f"{shown(value)}"
        )
    return number


def fraction(name: str, value: Any) -> float:
    """A number of at least 0 and below 1, such as a rate.

    Raises:
      InputError: If it is none.

    Example:
      >>> import numpy as np
      >>> fraction("rate", np.array(0.5))
      0.5
    """
    number = -1.0
    if not isinstance(value, str | bytes | bool):
        with contextlib.suppress(TypeError, ValueError):
            number = float(value)
    if not 0 <= number < 1:
        raise InputError(
            f"{name}: expected a number of at least 0 and below 1, got {shown(value)}"
        )
    return number


def listed(names: Iterable[Any]) -> str:
    """Names in a row, for an error."""
    return ", ".join(map(str, names)) or "nothing"


def shown(value: Any) -> str:
    """A value in a few words, for an error: arrays by type and shape.

    Example:
      >>> import numpy as np
      >>> shown((np.zeros((2, 3)), None))
      '(float64[2,3], None)'
    """
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    if isinstance(value, Mapping):
        return f"a dict of {listed(value)}"
    if isinstance(value, tuple | list):
        kind = type(value).__name__
        fields = getattr(value, "_fields", None)
        if getattr(value, "source", None):  # a cell
            return repr(value)
        if fields is not None:
            return f"{kind}({', '.join(fields)})"
        if len(value) > 4:
            return f"a {kind} of {len(value)}"
        inside = ", ".join(map(shown, value))
        if isinstance(value, list):
            return f"[{inside}]"
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    said = getattr(value, "__name__", repr(value))
    return said if len(said) <= 60 else f"{said[:57]}…"
