"""Which way a cell is taken over a sequence, and why."""

from typing import NamedTuple

import jax

from jaxtext.types import Backend, Cell

STEP_BY_STEP = "scan"
BACKENDS = ("fused", "parallel")


class Choice(NamedTuple):
    """A backend, ``None`` for step by step, and the reason in words."""

    backend: Backend | None
    reason: str


def choose(cell: Cell, backend: str = "auto", platform: str | None = None) -> Choice:
    """Chooses among the backends of a cell.

    ``"auto"`` goes by what has been measured (``benchmarks/results``, told in
    ``docs/design.md``): on CPU the hand-derived backward of ``"fused"`` was faster at
    every shape tried; elsewhere nothing has been measured yet, and cells go step by
    step.

    Args:
      cell: A cell that is not made of others.
      backend: A backend's name, ``"scan"`` or ``"auto"``. A cell that does not know
        the name goes step by step.
      platform: As ``jax.default_backend()`` names it. Default: what is compiled for.

    Example:
      >>> import jaxtext as jt
      >>> choose(jt.lstm(8), platform="cpu").reason
      'fused: measured faster than scan on cpu'
      >>> choose(jt.lstm(8), platform="tpu").reason
      'scan: nothing else has been measured faster on tpu'
    """
    known = {other.name: other for other in cell.backends}
    if backend != "auto":
        if backend in known:
            return Choice(known[backend], f"{backend}: asked for")
        if backend == STEP_BY_STEP:
            return Choice(None, "scan: asked for")
        return Choice(None, f"scan: the cell has no backend {backend!r}")
    platform = platform or _platform()
    if platform == "cpu" and "fused" in known:
        return Choice(known["fused"], "fused: measured faster than scan on cpu")
    return Choice(None, f"scan: nothing else has been measured faster on {platform}")


def _platform():
    """What is compiled for, be it a TPU that is not there."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    if device is not None and device.device_kind.startswith("TPU"):
        return "tpu"
    return jax.default_backend()
