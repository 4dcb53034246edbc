"""The forward kernel."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtext.kernels.gates import Arrays, Operands, Recurrence, gate_by_gate
from jaxtext.kernels.masks import cleared, where
from jaxtext.kernels.products import along, product
from jaxtext.kernels.triton.operands import (
    Padded,
    Tiles,
    padded,
    run,
)
from jaxtext.types import Array


class Read(NamedTuple):
    """What the kernel reads of a batch."""

    z: Any
    start: Any
    resets: Any
    valid: Any


class Written(NamedTuple):
    """What the kernel writes; memories are the state's arrays other than ``h``.

    Attributes:
      hs: ``[T, B, H]``, ``h`` after each step.
      state: ``[2, B, H]`` each, the state before and after a step, in turn.
      before: ``[T, B, H]``, each memory before each step; empty unless recorded.
      gates: ``[T, B, H]``, what each step saves; empty unless recorded.
    """

    hs: Any
    state: list[Any]
    before: list[Any]
    gates: list[Any]


def forward(
    what: Recurrence,
    operands: Operands,
) -> tuple[Arrays, Array]:
    """Runs a recurrence; arguments and results as those of `recurrence`."""
    inputs = padded(what, operands)
    written = _run(what, inputs, recorded=False)
    return _results(operands.state, inputs, written)


def record(
    what: Recurrence,
    operands: Operands,
) -> tuple[tuple[Arrays, Array], Written]:
    """The same, and all that was written on the way."""
    inputs = padded(what, operands)
    written = _run(what, inputs, recorded=True)
    return _results(operands.state, inputs, written), written


def _results(state: Arrays, operands: Padded, written: Written):
    """The state after the last step and the outputs, without padding."""
    length, valid = operands.xs.shape[0], operands.valid
    ys = written.hs if valid is None else jnp.where(valid != 0, written.hs, 0)
    rows, columns = (slice(size) for size in state[-1].shape)
    last = [x[length % 2, rows, columns] for x in written.state]
    return tuple(last), ys[:, rows, columns]


def _run(what: Recurrence, operands: Padded, recorded: bool) -> Written:
    weights, tiles = operands.weights, operands.tiles
    z = product(operands.xs, weights.kernel)
    z += along(weights.bias, z)
    length, batch, _ = z.shape
    every = length, batch, tiles.hidden
    saved = what.gates.saved if recorded and what.keep else 0
    start = list(operands.start)
    return run(
        partial(_kernel, what.gates.forward, tiles, operands.wide),
        "recurrence_forward",
        (weights.recurrent_kernel, weights.recurrent_bias),
        Read(z, start, operands.resets, operands.valid),
        Written(
            hs=(every, z.dtype),
            state=[((2, *x.shape), x.dtype) for x in start],
            before=[(every, x.dtype) for x in start[:-1] if recorded],
            gates=[(every, z.dtype)] * saved,
        ),
    )


def _kernel(gates, tiles: Tiles, wide, kernel, bias, read, written, barrier):
    """All steps. A step writes the one slot of the state and reads the other."""
    memories, hs = written.state[:-1], written.state[-1]

    def begin(tile):
        own = tiles.own(tile)
        for slots, first in zip(written.state, read.start, strict=True):
            slots[0, :, own] = first[:, own]

    tiles.each(begin)
    barrier()

    def step(t, _):
        now, then = jax.lax.rem(t, 2), jax.lax.rem(t + 1, 2)

        def products(tile):
            """``h U``, of each gate the columns of a tile."""

            def add(inner, sums):
                along = tiles.own(inner)
                h = hs[now, :, along]
                return tuple(
                    total
                    + jnp.dot(
                        h,
                        kernel[along, tiles.own(tile, gate)],
                        preferred_element_type=wide,
                    )
                    for gate, total in enumerate(sums)
                )

            zero = jnp.zeros((hs.shape[1], tiles.columns), wide)
            count = tiles.hidden // tiles.columns
            return jax.lax.fori_loop(0, count, add, (zero,) * tiles.gates)

        def columns(tile):
            own = tiles.own(tile)
            u = products(tile)
            z = tuple(
                read.z[t, :, tiles.own(tile, gate)].astype(wide)
                for gate in range(tiles.gates)
            )
            state = tuple(x[now, :, own].astype(wide) for x in written.state)
            if read.resets is not None:
                state, u = cleared(read.resets[t], (state, u))
            inner = None if bias is None else bias[own].astype(wide)[None, :]
            after, saved = gates(z, u, inner, state, gate_by_gate)
            if read.valid is not None:
                after = where(read.valid[t], tuple(after), state)
            for out, x in zip(written.before, state, strict=False):
                out[t, :, own] = x
            for out, gate in zip(written.gates, saved, strict=False):
                out[t, :, own] = gate.astype(out.dtype)
            for slots, x in zip((*memories, hs), after, strict=True):
                slots[then, :, own] = x.astype(slots.dtype)
            written.hs[t, :, own] = after[-1].astype(written.hs.dtype)

        tiles.each(columns)
        barrier()  # what was written is there for all that read it in the next step

    jax.lax.fori_loop(0, tiles.length, step, None)
