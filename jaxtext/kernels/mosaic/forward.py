"""The forward kernel."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from jaxtext.kernels import deferred
from jaxtext.kernels.gates import (
    Arrays,
    Operands,
    Recurrence,
    as_rows,
    gate_by_gate,
)
from jaxtext.kernels.masks import cleared, stepped
from jaxtext.kernels.mosaic.grid import precision
from jaxtext.kernels.mosaic.operands import masks, padded
from jaxtext.kernels.padding import Padded
from jaxtext.types import Array


class Written(NamedTuple):
    """What the kernel writes; memories are the state's arrays other than ``h``.

    Attributes:
      hs: ``[T, B, H]``, ``h`` after each step.
      last: ``[B, H]``, each memory after the last step.
      before: ``[T, B, H]``, each memory before each step; empty unless recorded.
      gates: ``[T, B, H]``, what each step saves; empty unless recorded.
      row_values: ``[T, B, 1]``, likewise.
    """

    hs: Any
    last: list[Any]
    before: list[Any]
    gates: list[Any]
    row_values: list[Any]


def forward(
    what: Recurrence,
    operands: Operands,
) -> tuple[Arrays, Array]:
    """Runs a recurrence; arguments and results as those of `recurrence`."""
    inputs = padded(what, operands)
    return _results(inputs, _run(what, inputs, recorded=False))


def record(
    what: Recurrence,
    operands: Operands,
) -> tuple[tuple[Arrays, Array], Written]:
    """The same, and all that was written on the way."""
    inputs = padded(what, operands)
    written = _run(what, inputs, recorded=True)
    return _results(inputs, written), written


def _results(operands: Padded, written: Written):
    """The state after the last step and the outputs, without padding."""
    sizes, valid = operands.plan.sizes, operands.valid
    last = [*written.last, written.hs[-1]]
    ys = written.hs if valid is None else jnp.where(valid != 0, written.hs, 0)
    rows, columns = slice(sizes.batch), slice(sizes.hidden)
    return tuple(x[rows, columns] for x in last), ys[:, rows, columns]


def _run(what: Recurrence, operands: Padded, recorded: bool) -> Written:
    grid, weights = operands.plan, operands.weights
    hidden, dtype, wide = grid.tiles.hidden, grid.sizes.dtype, grid.sizes.wide
    z = deferred.pre_activations(what, weights, operands.xs)
    inner = as_rows(weights.inner)
    memories, gates = operands.start[:-1], what.gates
    saves = recorded and what.keep
    tile = grid.tiles.rows, hidden
    return grid.run(
        partial(_kernel, gates, grid),
        "recurrence_forward",
        [
            (z, grid.stream(z.shape[-1])),
            (weights.recurrent_kernel, grid.whole(weights.recurrent_kernel)),
            (inner, jax.tree.map(grid.whole, inner)),
            (list(operands.start), [grid.rows(hidden)] * len(operands.start)),
            *masks(operands, grid),
        ],
        Written(
            hs=grid.stream(hidden, dtype),
            last=[grid.rows(hidden, m.dtype) for m in memories],
            before=[grid.stream(hidden, m.dtype) for m in memories if recorded],
            gates=[grid.stream(hidden, dtype)] * saves * gates.saved,
            row_values=[grid.stream(1, wide)] * saves * gates.row_values,
        ),
        scratch=[((2, *tile), dtype), *[(tile, wide)] * len(memories)],
    )


def _kernel(
    gates, grid, z, kernel, inner, start, resets, valid, written, hs, *memories
):
    """One block of time. ``hs`` holds ``h`` before and after a step, in turn."""
    wide = grid.sizes.wide
    place = pl.program_id(1)

    @pl.when(place == 0)
    def _():
        for reference, first in zip((*memories, hs.at[0]), start, strict=True):
            reference[...] = first[...].astype(reference.dtype)

    def step(i, _):
        t = place * grid.tiles.steps + i
        h_tm1, h_t = hs.at[t % 2], hs.at[(t + 1) % 2]
        for columns in grid.columns():
            own, along = columns(), [columns(gate) for gate in range(grid.sizes.gates)]
            x = [z[i, :, c].astype(wide) for c in along]
            u = [
                jnp.dot(
                    h_tm1[...],
                    kernel[:, c],
                    precision=precision(hs.dtype),
                    preferred_element_type=wide,
                )
                for c in along
            ]
            state = *(m[:, own] for m in memories), h_tm1[:, own].astype(wide)
            reset, is_valid = (None if m is None else m[i] for m in (resets, valid))
            state, u = cleared(reset, (state, u))
            small = grid.inner(inner, columns)
            x, u = jnp.concatenate(x, -1), jnp.concatenate(u, -1)
            after, saved = gates.forward(x, u, small, state, gate_by_gate)
            after = stepped(is_valid, after, state)
            for out, m in zip(written.before, state, strict=False):
                out[i, :, own] = m
            for out, gate in zip(written.gates, saved, strict=False):
                out[i, :, own] = gate.astype(out.dtype)
            of_rows = saved[gates.saved :]
            for out, value in zip(written.row_values, of_rows, strict=False):
                out[i] = value
            for reference, m in zip(memories, after, strict=False):
                reference[:, own] = m
            h = after[-1].astype(hs.dtype)
            h_t[:, own] = h
            written.hs[i, :, own] = h

    jax.lax.fori_loop(0, grid.steps(place), step, None)
    for out, m in zip(written.last, memories, strict=True):
        out[...] = m[...]
