"""The cell of a workload."""

import jaxtext as jt
from jaxtext.types import Cell
from measuring.workload import Workload


def cell_of(work: Workload) -> Cell:
    """The cell of jaxtext that a workload names.

    Raises:
      LookupError: If it is asked for heads that it has not.
    """
    if work.heads == 1:
        return getattr(jt, work.cell)(work.hidden, dtype=work.dtype)
    if work.cell.startswith("layer_norm"):
        raise LookupError(f"jt.{work.cell} has no heads")
    return getattr(jt, work.cell)(work.hidden, dtype=work.dtype, heads=work.heads)
