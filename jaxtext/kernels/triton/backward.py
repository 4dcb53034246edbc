"""The backward kernel."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtext.kernels import deferred
from jaxtext.kernels.deferred import Gradients
from jaxtext.kernels.gates import Arrays, Operands, Recurrence, Weights
from jaxtext.kernels.masks import cleared, where
from jaxtext.kernels.triton.forward import Written
from jaxtext.kernels.triton.operands import Tiles, padded, run
from jaxtext.types import Array


class Read(NamedTuple):
    """What the kernel reads of a batch."""

    dys: Any
    dlast: Any
    before: Any
    h_tm1: Any
    gates: Any
    resets: Any
    valid: Any


class Found(NamedTuple):
    """What the kernel writes.

    Attributes:
      dz: ``[T, B, G H]``, of the pre-activations.
      du_last: ``[T, B, H]``, of the last gate's recurrent part, where that is not
        ``dz``.
      state: ``[2, B, H]`` each, what comes back to the state except through ``u``, of
        the step after and of this one, in turn.
      du: ``[2, B, G H]``, likewise the gradients of the recurrent parts.
    """

    dz: Any
    du_last: Any
    state: list[Any]
    du: Any


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
    kernel, tiles = operands.weights.recurrent_kernel, operands.tiles
    length, batch, hidden = h_tm1.shape
    width = kernel.shape[1]
    dlast, dys = cotangents
    found = run(
        partial(_kernel, what.gates.backward, tiles, operands.wide),
        "recurrence_backward",
        (kernel.T,),
        Read(
            dys,
            dlast,
            tape.before,
            h_tm1 if what.gates.reads_h else None,
            tape.gates,
            operands.resets,
            operands.valid,
        ),
        Found(
            dz=((length, batch, width), kernel.dtype),
            du_last=((length, batch, hidden), kernel.dtype)
            if what.gates.differ
            else None,
            state=[((2, batch, hidden), operands.wide)] * len(dlast),
            du=((2, batch, width), kernel.dtype),
        ),
    )
    start = [slots[0] for slots in found.state]
    start[-1] += jnp.matmul(found.du[0], kernel.T, preferred_element_type=operands.wide)
    return Gradients(found.dz, found.du_last, start)


def _kernel(gates, tiles: Tiles, wide, kernel, read, out, barrier):
    """All steps, from the last one. A step reads the one slot and writes the other."""
    count = tiles.hidden // tiles.columns
    end = tiles.length % 2

    def begin(tile):
        own = tiles.own(tile)
        for slots, last in zip(out.state, read.dlast, strict=True):
            slots[end, :, own] = last[:, own].astype(wide)
        for gate in range(tiles.gates):
            like = read.dys[0, :, own]
            out.du[end, :, tiles.own(tile, gate)] = jnp.zeros_like(like, out.du.dtype)

    tiles.each(begin)
    barrier()

    def step(back, _):
        t = tiles.length - 1 - back
        now, after = jax.lax.rem(t, 2), jax.lax.rem(t + 1, 2)

        def through(tile):
            """What comes back to the columns of a tile by the recurrent product."""

            def add(inner, total):
                along = tiles.own(inner)
                du, rows = out.du[after, :, along], kernel[along, tiles.own(tile)]
                return total + jnp.dot(du, rows, preferred_element_type=wide)

            zero = jnp.zeros((out.du.shape[1], tiles.columns), wide)
            return jax.lax.fori_loop(0, tiles.gates * count, add, zero)

        def columns(tile):
            own = tiles.own(tile)
            passed_on = [slots[after, :, own] for slots in out.state]
            passed_on[-1] += through(tile)
            dafter = list(passed_on)
            dafter[-1] += read.dys[t, :, own].astype(wide)
            if read.valid is not None:
                none = jax.tree.map(jnp.zeros_like, dafter)
                dafter = where(read.valid[t], dafter, none)
            state = [x[t, :, own] for x in read.before]
            like = dafter[-1]
            h = (
                jnp.zeros_like(like)
                if read.h_tm1 is None
                else read.h_tm1[t, :, own].astype(wide)
            )
            kept = tuple(gate[t, :, own].astype(wide) for gate in read.gates)
            dpre, dbefore = gates(tuple(dafter), kept, (*state, h))
            dz, drecurrent, dbefore = list(dpre[0]), list(dpre[-1]), list(dbefore)
            for gate, value in enumerate(dz):
                out.dz[t, :, tiles.own(tile, gate)] = value.astype(out.dz.dtype)
            if out.du_last is not None:
                out.du_last[t, :, own] = drecurrent[-1].astype(out.du_last.dtype)
            if read.valid is not None:
                none = jax.tree.map(jnp.zeros_like, passed_on)
                passed_on = where(read.valid[t], none, passed_on)
                dbefore = jax.tree.map(jnp.add, dbefore, passed_on)
            if read.resets is not None:
                dbefore, drecurrent = cleared(read.resets[t], (dbefore, drecurrent))
            for slots, value in zip(out.state, dbefore, strict=True):
                slots[now, :, own] = value
            for gate, value in enumerate(drecurrent):
                out.du[now, :, tiles.own(tile, gate)] = value.astype(out.du.dtype)

        tiles.each(columns)
        barrier()

    jax.lax.fori_loop(0, tiles.length, step, None)
