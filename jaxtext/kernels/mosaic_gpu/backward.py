"""The backward kernel."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtext.kernels import deferred
from jaxtext.kernels.deferred import Gradients
from jaxtext.kernels.gates import Arrays, Operands, Recurrence, Weights
from jaxtext.kernels.masks import cleared, into_step, out_of_step
from jaxtext.kernels.mosaic_gpu.forward import Written
from jaxtext.kernels.mosaic_gpu.launch import run
from jaxtext.kernels.mosaic_gpu.operands import by_worker, padded
from jaxtext.kernels.mosaic_gpu.team import Team, put
from jaxtext.types import Array


class Read(NamedTuple):
    """What the kernel reads. Resets have one more step at the end, which never is."""

    weights: Any
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
      slots: ``[T + 1, B, slices H]``: for each step the gradients of the
        pre-activations, and of the last gate's recurrent part, where that is another;
        in the end zeros.
      start: ``[B, H]`` each, of the state before the first step, except what comes
        through the recurrent product.
    """

    slots: Any
    start: list[Any]


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
    (sizes, tiles), kernel = operands.plan, operands.weights.recurrent_kernel
    dlast, dys = cotangents
    by_gate = jnp.split(kernel, sizes.gates, axis=-1)
    if what.gates.differ:  # the last gate's recurrent part has a slice of its own
        by_gate = [*by_gate[:-1], jnp.zeros_like(by_gate[-1]), by_gate[-1]]
    resets = operands.resets
    if resets is not None:
        resets = jnp.pad(resets[..., 0], ((0, 1), (0, 0)))
    wide, width = jnp.dtype(jnp.float32), sizes.slices * tiles.hidden
    found = run(
        partial(_kernel, what.gates.backward),
        "recurrence_backward",
        sizes,
        tiles,
        sizes.slices,
        Read(
            by_worker(by_gate, operands),
            dys,
            dlast,
            tape.before,
            h_tm1 if what.gates.reads_h else None,
            tape.gates,
            resets,
            None if operands.valid is None else operands.valid[..., 0],
        ),
        Found(
            slots=((sizes.length + 1, tiles.batch, width), jnp.dtype(what.dtype)),
            start=[((tiles.batch, tiles.hidden), wide)] * len(dlast),
        ),
    )
    slots = found.slots[:-1]
    dz = slots[..., : sizes.gates * tiles.hidden]
    du = slots[..., -tiles.hidden :] if what.gates.differ else None
    first = jnp.concatenate(by_gate, axis=-1)
    through = jnp.matmul(slots[0], first.T, preferred_element_type=wide)
    if resets is not None:
        through = jnp.where(resets[0][:, None] != 0, 0, through)
    return Gradients(dz, du, [*found.start[:-1], found.start[-1] + through])


def _kernel(gates, team: Team, read: Read, found: Found) -> None:
    """All steps, from the last one, of all tiles that the team takes."""
    own, length = team.units(), team.sizes.length
    team.keep(read.weights)

    def walk(rows, first_turn):
        dlast = tuple(team.load(x.at[rows, own]) for x in read.dlast)
        nothing = [jnp.zeros_like(dlast[-1])] * team.slices
        team.send(found.slots, length, rows, nothing)

        def step(back, dstate):
            t = length - 1 - back
            dy = team.load(read.dys.at[t, rows, own])
            state = [team.load(x.at[t, rows, own]) for x in read.before]
            h = jnp.zeros_like(dy)
            if read.h_tm1 is not None:
                h = team.load(read.h_tm1.at[t, rows, own])
            kept = tuple(team.load(gate.at[t, rows, own]) for gate in read.gates)
            resets = after_resets = valid = None
            if read.resets is not None:
                resets = team.load_mask(read.resets.at[t, rows])
                after_resets = team.load_mask(read.resets.at[t + 1, rows])
            if read.valid is not None:
                valid = team.load_mask(read.valid.at[t, rows])
            team.products(found.slots, t + 1, rows, first_turn + back)
            through = sum(team.product(i, i) for i in range(team.slices))
            through = cleared(after_resets, through)
            dstate = (*dstate[:-1], dstate[-1] + through)
            dafter = into_step(valid, dstate, dy)
            dpre, dbefore, _ = gates(dafter, kept, (*state, h), None)
            dslices = list(dpre[0])
            if len(dpre) > 1:
                dslices.append(dpre[-1][-1])
            team.send(found.slots, t, rows, dslices)
            return out_of_step(valid, resets, dbefore, dstate)

        dstart = jax.lax.fori_loop(0, length, step, dlast)
        team.meet(first_turn + length)
        for out, x in zip(found.start, dstart, strict=True):
            put(out.at[rows, own], x)

    team.each_tile(walk)
