"""The cells of jaxtext that have kernels, and a check of their backends."""

import jaxtext as jt
from jaxtext.errors import InputError

CELLS = {"rnn": jt.rnn, "lstm": jt.lstm, "gru": jt.gru}


def check_backend(cell: jt.Cell, backend: str) -> None:
    """Refuses a backend that the cell does not have.

    `jaxtext.unroll` might go step by step instead, and the scan would be measured.

    Raises:
      InputError: If the cell has no backend of that name.

    Example:
      >>> check_backend(jt.lstm(4), "cudnn")
      >>> check_backend(jt.gru(4), "cudnn")
      Traceback (most recent call last):
        ...
      jaxtext.errors.InputError: the cell has no backend 'cudnn'
    """
    if backend not in {"scan", "auto"} | {other.name for other in cell.backends}:
        raise InputError(f"the cell has no backend {backend!r}")
