"""The backward kernel."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from jaxtext.kernels import deferred
from jaxtext.kernels.deferred import Gradients
from jaxtext.kernels.gates import Arrays, Operands, Recurrence, Weights
from jaxtext.kernels.masks import cleared, into_step, out_of_step
from jaxtext.kernels.mosaic.forward import Written
from jaxtext.kernels.mosaic.grid import precision
from jaxtext.kernels.mosaic.operands import masks, padded
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
    transposed = operands.weights.recurrent_kernel.T
    dlast, dys = cotangents
    h_tm1 = h_tm1 if what.gates.reads_h else None
    row = grid.rows(hidden, wide)
    tile = grid.tiles.rows, hidden
    return grid.run(
        partial(_kernel, what.gates, grid),
        "recurrence_backward",
        [
            (dys, grid.stream(hidden)),
            (dlast, [row] * len(dlast)),
            (tape.before, [grid.stream(hidden)] * len(tape.before)),
            (h_tm1, None if h_tm1 is None else grid.stream(hidden)),
            (tape.gates, [grid.stream(hidden)] * len(tape.gates)),
            (transposed, grid.whole(transposed)),
            *masks(operands, grid),
        ],
        Gradients(
            dz=grid.stream(width, dtype),
            du=grid.stream(hidden, dtype) if what.gates.differ else None,
            start=[row] * len(dlast),
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
    kernel,
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
            kept = tuple(gate[i, :, own].astype(wide) for gate in saved)
            dpre, dbefore, _ = gates.backward(dafter, kept, (*state, h), None)
            dz, drecurrent = list(dpre[0]), list(dpre[-1])
            for gate, value in enumerate(dz):
                out.dz[i, :, columns(gate)] = value.astype(out.dz.dtype)
            if out.du is not None:
                out.du[i, :, own] = drecurrent[-1].astype(out.du.dtype)
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
