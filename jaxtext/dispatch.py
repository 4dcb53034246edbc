"""Chooses the backend that runs a cell over a sequence, and says why."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtext import evidence
from jaxtext.errors import InputError
from jaxtext.target import target as current_target
from jaxtext.types import (
    Array,
    Backend,
    BackendName,
    Cell,
    Masks,
    Params,
    State,
    Target,
)

STEP_BY_STEP = "scan"


class Choice(NamedTuple):
    """The backend that runs a cell over a sequence.

    Attributes:
      backend: The backend, or ``None`` for step by step.
      reason: Its name and why it was chosen.
    """

    backend: Backend | None
    reason: str


def choose(
    cell: Cell,
    params: Params,
    state: State,
    xs: Array,
    masks: Masks,
    backend: BackendName = "auto",
    target: Target | None = None,
) -> Choice:
    """Chooses one of a cell's backends by shapes and types.

    ``"auto"`` reads the table in ``jaxtext.evidence`` and takes the first backend
    listed there for this kind of cell and device that the cell has and that can do what
    is asked. If there is none, the cell goes step by step. Kernels are skipped where
    the compiler may divide the program between devices, since it cannot divide a kernel
    and would only say so when it compiles.

    Args:
      cell: A cell that is not made of others.
      params: Its parameters.
      state: Its state.
      xs: Its inputs, time-major.
      masks: What happens around each step.
      backend: A backend's name, ``"scan"`` or ``"auto"``.
      target: The device. Default: the one that the program will run on.

    Raises:
      InputError: If the cell does not have the backend asked for by name, or if that
        backend cannot do it, saying what is missing.
    """
    target = current_target() if target is None else target
    known = {other.name: other for other in cell.backends}

    def lacking(name: str) -> str | None:
        lacks = known[name].lacks
        return None if lacks is None else lacks(target, params, state, xs, masks)

    if xs.shape[0] == 0:
        return Choice(None, "scan: there are no steps")
    if backend == STEP_BY_STEP:
        return Choice(None, "scan: asked for")
    if backend != "auto":
        lack = lacking(backend) if backend in known else f"{cell} has no such backend"
        if lack is not None:
            raise InputError(
                f"backend {backend!r} cannot do this on {target.kind}: {lack}; use "
                "backend='auto', which falls back"
            )
        return Choice(known[backend], f"{backend}: asked for")

    passed_over = ""
    for name, reason in _ranked(cell, state, masks, target):
        if name == STEP_BY_STEP:
            return Choice(None, f"scan: {reason}{passed_over}")
        if name not in known:
            continue
        if target.devices > 1 and not known[name].divisible:
            lack = (
                f"XLA cannot divide a kernel between {target.devices} devices; it "
                "need not within jax.shard_map, jax.pmap or a mesh of one device"
            )
        else:
            lack = lacking(name)
        if lack is None:
            return Choice(known[name], f"{name}: {reason}{passed_over}")
        passed_over += f" ({name}: {lack})"
    return Choice(
        None, f"scan: nothing else has been shown faster on {target.kind}{passed_over}"
    )


def _ranked(cell, state, masks, target):
    """The backends that the table has for a cell, each with its evidence."""
    if not cell.backends:
        return
    h = jax.tree.leaves(state)[-1]
    sizes = h.shape[-1], math.prod(h.shape[:-1])
    # A size that is free (`jax.export`) is taken for a small one.
    hidden, batch = (n if isinstance(n, int) else 1 for n in sizes)
    yield from evidence.ranked(
        evidence.Question(
            target.platform,
            next((way.cell for way in cell.backends if way.cell), ""),
            jnp.dtype(h.dtype).name,
            masks.resets is not None,
            hidden,
            batch,
        )
    )
