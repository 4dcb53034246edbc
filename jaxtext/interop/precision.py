"""Weights in fewer bits: halves, or bytes with a scale for each output."""

from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import jax
import numpy as np

from jaxtext.errors import InputError
from jaxtext.types import Params

Precision: TypeAlias = Literal["float32", "float16", "int8"]

_KERNELS = {"kernel", "recurrent_kernel", "projection"}


class Rounded(NamedTuple):
    """An array in fewer bits.

    Attributes:
      entries: ``[…]`` of the precision's type.
      scales: ``[…, rows]`` float32, by which rows of ``int8`` are multiplied; ``None``
        of the other types.
    """

    entries: np.ndarray
    scales: np.ndarray | None = None

    def restored(self) -> np.ndarray:
        """The numbers that they stand for, float32."""
        wide = self.entries.astype(np.float32)
        return wide if self.scales is None else wide * self.scales[..., None]


def round_weights(params: Params, precision: Precision) -> Params:
    """Parameters as `to_html` keeps them, to see what the rounding costs.

    ::

        int8: w' = s round(w / s)        s = max |w| / 127, for each output of a kernel

    An embedding has a scale for each symbol. In ``int8``, biases and other vectors stay
    float32.

    Args:
      params: The parameters of a model or of a cell.
      precision: ``"float32"``, ``"float16"`` or ``"int8"``.

    Returns:
      The same, each number rounded to the nearest that the precision has, float32.

    Raises:
      InputError: If a number is not finite, or above 65,504 in ``float16``.

    Example:
      >>> rounded = round_weights({"kernel": np.array([[127.0], [0.7]])}, "int8")
      >>> rounded["kernel"].tolist()
      [[127.0], [1.0]]
    """

    def of_one(path, array):
        name = jax.tree_util.keystr(path[-1:], simple=True)
        rows = rows_of(name, array)
        if name.endswith("bias"):  # of several heads, one below the other
            return rounded(rows.ravel(), precision).restored().reshape(rows.shape)
        return rows_of(name, rounded(rows, precision).restored())

    return jax.tree_util.tree_map_with_path(of_one, params)


def rows_of(name: str, array: Any) -> np.ndarray:
    """An array with a row for each output: a kernel is transposed, and back again."""
    array = np.asarray(array)
    return array.swapaxes(-1, -2) if name in _KERNELS else array


def rounded(rows: np.ndarray, precision: Precision) -> Rounded:
    """Rounds an array to the nearest numbers of a precision.

    Args:
      rows: ``[…, rows, columns]``, or a vector.
      precision: As for `round_weights`.

    Raises:
      InputError: As `round_weights`.

    Example:
      >>> rounded(np.array([[1.0, -0.5, 0.1]]), "int8").entries
      array([[127, -64,  13]], dtype=int8)
    """
    if precision not in get_args(Precision):
        raise InputError(
            f"precision: expected one of {', '.join(get_args(Precision))}, got "
            f"{precision!r}"
        )
    rows = np.asarray(rows, np.float32)
    largest = np.abs(rows).max(initial=0.0)
    limit = 65504.0 if precision == "float16" else np.finfo(np.float32).max
    if not largest <= limit:  # which NaN is not
        raise InputError(
            f"params: expected finite numbers of at most {limit:g} in {precision}, got "
            f"{largest:g}"
        )
    if precision == "float16":
        return Rounded(rows.astype("<f2"))
    if precision == "float32" or rows.ndim < 2:
        return Rounded(rows.astype("<f4"))
    most = np.abs(rows).max(axis=-1, initial=0.0)
    scales = np.where(most > 0, most / 127, 1).astype("<f4")
    return Rounded(np.rint(rows / scales[..., None]).astype(np.int8), scales)
