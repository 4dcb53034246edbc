"""The backward kernel."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from jaxtext.kernels import deferred
from jaxtext.kernels.deferred import Gradients
from jaxtext.kernels.gates import Arrays, Operands, Recurrence, Weights, as_rows
from jaxtext.kernels.masks import cleared, into_step, out_of_step
from jaxtext.kernels.mosaic.forward import Written
from jaxtext.kernels.mosaic.grid import precision
from jaxtext.kernels.mosaic.operands import masks, padded
from jaxtext.kernels.mosaic.tiles import SUBLANES
from jaxtext.types import Array


def backward(
    what: Recurrence,
    operands: Operands,
    tape: Written,
    cotangents: tuple[Arrays, Array],
) -> tuple[Weights, Arrays, Array | None]:
    """Gradients of a recurrence; arguments and results as of `Passes.backward`."""
    inputs = padded(what, operands)
    return deferred.backward(_run, what, operands, inputs, tape, cotangents)


def _run(what, operands, tape, h_tm1, cotangents):
    grid = operands.plan._replace(backwards=True)
    hidden = grid.tiles.hidden
    width, dtype, wide = grid.sizes.gates * hidden, grid.sizes.dtype, grid.sizes.wide
    transposed, gates = operands.weights.recurrent_kernel.T, what.gates
    inner = as_rows(operands.weights.inner) if gates.row_values else None
    dlast, dys = cotangents
    h_tm1 = h_tm1 if gates.reads_h else None
    differ = grid.sizes.gates if gates.row_values else 1  # gates whose `du` is not `dz`
    row = grid.rows(hidden, wide)
    tile = grid.tiles.rows, hidden
    return grid.run(
        partial(_kernel, gates, grid),
        "recurrence_backward",
        [
            (dys, grid.stream(hidden)),
            (dlast, [row] * len(dlast)),
            (tape.before, [grid.stream(hidden)] * len(tape.before)),
            (h_tm1, None if h_tm1 is None else grid.stream(hidden)),
            (tape.gates, [grid.stream(hidden)] * len(tape.gates)),
            (tape.row_values, [grid.stream(1)] * len(tape.row_values)),
            (transposed, grid.whole(transposed)),
            (inner, jax.tree.map(grid.whole, inner)),
            *masks(operands, grid),
        ],
        Gradients(
            dz=grid.stream(width, dtype),
            du=grid.stream(differ * hidden, dtype) if gates.differ else None,
            start=[row] * len(dlast),
            inner=jax.tree.map(lambda row: grid.sums(row.shape[1]), inner),
        ),
        scratch=[
            ((2, grid.tiles.rows, width), dtype),
            *[(tile, wide)] * len(dlast),
        ],
    )


def _kernel(
    gates,
    grid,
    dys,
    dlast,
    before,
    h_tm1,
    saved,
    row_values,
    kernel,
    inner,
    resets,
    valid,
    out,
    du,
    *dstate,
):
    """One block of time.

    ``du`` holds the gradients of the recurrent parts at the step after and at this one,
    in turn; `dstate` what comes back to the state, except through ``du``.
    """
    wide = grid.sizes.wide
    place = pl.program_id(1)
    block = grid.block(place)
    count = grid.steps(block)

    @pl.when(place == 0)
    def _():
        du[grid.sizes.length % 2] = jnp.zeros(du.shape[1:], du.dtype)
        for reference, last in zip(dstate, dlast, strict=True):
            reference[...] = last[...].astype(wide)
        for reference in jax.tree.leaves(out.inner):
            reference[...] = jnp.zeros_like(reference)

    def through(slot, own):
        """What comes back to some columns of ``h`` through the recurrent product."""
        return jnp.dot(
            du[slot],
            kernel[:, own],
            precision=precision(du.dtype),
            preferred_element_type=wide,
        )

    def step(back, _):
        i = count - 1 - back
        t = block * grid.tiles.steps + i
        for columns in grid.columns():
            own = columns()
            reset, is_valid = (None if m is None else m[i] for m in (resets, valid))
            after = [d[:, own] for d in dstate]
            after[-1] += through((t + 1) % 2, own)
            dafter = into_step(is_valid, after, dys[i, :, own].astype(wide))
            state = [m[i, :, own] for m in before]
            like = dafter[-1]
            h = jnp.zeros_like(like) if h_tm1 is None else h_tm1[i, :, own].astype(wide)
            kept = [gate[i, :, own].astype(wide) for gate in saved]
            kept += [value[i] for value in row_values]
            small = grid.inner(inner, columns)
            dpre, dbefore, dinner = gates.backward(dafter, kept, (*state, h), small)
            dz, drecurrent = list(dpre[0]), list(dpre[-1])
            for gate, value in enumerate(dz):
                out.dz[i, :, columns(gate)] = value.astype(out.dz.dtype)
            if out.du is not None:
                first = len(drecurrent) - out.du.shape[-1] // grid.tiles.hidden
                for gate, value in enumerate(drecurrent[first:]):
                    out.du[i, :, columns(gate)] = value.astype(out.du.dtype)
            add = partial(_add, columns)
            jax.tree.map(add, out.inner, dinner if gates.row_values else None)
            dbefore = out_of_step(is_valid, reset, dbefore, after)
            drecurrent = cleared(reset, drecurrent)
            for reference, value in zip(dstate, dbefore, strict=True):
                reference[:, own] = value
            for gate, value in enumerate(drecurrent):
                du[t % 2, :, columns(gate)] = value.astype(du.dtype)

    jax.lax.fori_loop(0, count, step, None)

    @pl.when(block == 0)
    def _():
        for columns in grid.columns():
            own = columns()
            dstart = [d[:, own] for d in dstate]
            dstart[-1] += through(0, own)
            for reference, value in zip(out.start, dstart, strict=True):
                reference[:, own] = value


def _add(columns, sums, by_gate):
    """Adds up rows whose place within a register is the same."""
    for gate, value in enumerate(jax.tree.leaves(by_gate)):
        registers = value.reshape(-1, SUBLANES, value.shape[-1])
        sums[:, columns(gate)] += registers.sum(0)
