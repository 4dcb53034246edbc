"""The cells of jaxtext that have kernels, and which backends each of them has."""

import jaxtext as jt
from jaxtext.errors import InputError

CELLS = {"rnn": jt.rnn, "lstm": jt.lstm, "gru": jt.gru}


def check_backend(cell: jt.Cell, backend: str) -> None:
    """Raises an error if a cell has no such backend.

    `jaxtext.unroll` would go step by step, and what was measured would be the scan.

    Raises:
      InputError: If it has none of that name.

    Example:
      >>> check_backend(jt.lstm(4), "cudnn")
      >>> check_backend(jt.gru(4), "cudnn")
      Traceback (most recent call last):
        ...
      jaxtext.errors.InputError: the cell has no backend 'cudnn'
    """
    if backend not in {"scan", "auto"} | {other.name for other in cell.backends}:
        raise InputError(f"the cell has no backend {backend!r}")
