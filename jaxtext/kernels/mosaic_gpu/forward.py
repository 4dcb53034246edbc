"""The forward kernel."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtext.kernels.gates import Arrays, Operands, Recurrence, gate_by_gate
from jaxtext.kernels.masks import cleared, stepped
from jaxtext.kernels.mosaic_gpu.launch import run
from jaxtext.kernels.mosaic_gpu.operands import by_worker, padded
from jaxtext.kernels.mosaic_gpu.team import Team, put
from jaxtext.kernels.padding import Padded
from jaxtext.kernels.products import along, product
from jaxtext.types import Array


class Read(NamedTuple):
    """What the kernel reads."""

    weights: Any
    bias: Any
    z: Any
    start: Any
    resets: Any
    valid: Any


class Written(NamedTuple):
    """What the kernel writes; memories are the state's arrays other than ``h``.

    Attributes:
      slots: ``[T + 1, B, H]``, ``h`` at the start and after each step.
      last: ``[B, H]``, each memory after the last step.
      before: ``[T, B, H]``, each memory before each step; empty unless recorded.
      gates: ``[T, B, H]``, what each step saves; empty unless recorded.
    """

    slots: Any
    last: list[Any]
    before: list[Any]
    gates: list[Any]

    @property
    def hs(self) -> Array:
        """``[T, B, H]``, ``h`` after each step."""
        return self.slots[1:]


def forward(
    what: Recurrence,
    operands: Operands,
) -> tuple[Arrays, Array]:
    """Runs a recurrence; arguments and results as those of `recurrence`."""
    inputs = padded(what, operands)
    return _results(operands.state, inputs, _run(what, inputs, recorded=False))


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
    hs, valid = written.hs, operands.valid
    ys = hs if valid is None else jnp.where(valid != 0, hs, 0)
    rows, columns = (slice(size) for size in state[-1].shape)
    last = [*written.last, hs[-1]]
    return tuple(x[rows, columns] for x in last), ys[:, rows, columns]


def _run(what: Recurrence, operands: Padded, recorded: bool) -> Written:
    weights, (sizes, tiles) = operands.weights, operands.plan
    z = product(operands.xs, weights.kernel)
    z += along(weights.bias, z)
    inner = weights.inner
    if inner is not None:  # for each row, as the kernel adds it
        inner = inner.astype(what.dtype)[None]
        inner = jnp.broadcast_to(inner, (tiles.rows, tiles.hidden))
    gates = jnp.split(weights.recurrent_kernel, sizes.gates, axis=-1)
    memories, dtype = operands.start[:-1], jnp.dtype(what.dtype)
    start = (*memories, operands.start[-1].astype(dtype))
    row, every = (*z.shape[1:2], tiles.hidden), (*z.shape[:2], tiles.hidden)
    saved = what.gates.saved if recorded and what.keep else 0
    return run(
        partial(_kernel, what.gates.forward),
        "recurrence_forward",
        sizes,
        tiles,
        1,
        Read(
            by_worker([gate.T for gate in gates], operands),
            inner,
            z,
            start,
            _numbers(operands.resets),
            _numbers(operands.valid),
        ),
        Written(
            slots=((sizes.length + 1, *row), dtype),
            last=[(row, jnp.dtype(m.dtype)) for m in memories],
            before=[(every, jnp.dtype(m.dtype)) for m in memories if recorded],
            gates=[(every, dtype)] * saved,
        ),
    )


def _kernel(gates, team: Team, read: Read, written: Written) -> None:
    """All steps of all tiles that the team takes."""
    own, dtype = team.units(), written.slots.dtype
    team.keep(read.weights)
    bias = None if read.bias is None else team.load(read.bias.at[:, own])

    def walk(rows, first_turn):
        state = tuple(team.load(x.at[rows, own]) for x in read.start)
        team.send(written.slots, 0, rows, [state[-1]])

        def step(t, state):
            # What does not wait for the other workers is under way before they meet.
            z = tuple(
                team.load(read.z.at[t, rows, team.units(gate)])
                for gate in range(team.sizes.gates)
            )
            masks = [
                None if mask is None else team.load_mask(mask.at[t, rows])
                for mask in (read.resets, read.valid)
            ]
            resets, valid = masks
            team.products(written.slots, t, rows, first_turn + t)
            u = tuple(team.product(gate) for gate in range(team.sizes.gates))
            state, u = cleared(resets, (state, u))
            after, saved = gates(z, u, bias, state, gate_by_gate)
            *memories, h = stepped(valid, after, state)
            h = h.astype(dtype).astype(jnp.float32)
            team.send(written.slots, t + 1, rows, [h])
            for out, x in zip(written.before, state, strict=False):
                put(out.at[t, rows, own], x)
            for out, gate in zip(written.gates, saved, strict=False):
                put(out.at[t, rows, own], gate)
            return *memories, h

        state = jax.lax.fori_loop(0, team.sizes.length, step, state)
        team.meet(first_turn + team.sizes.length)
        for out, x in zip(written.last, state, strict=False):
            put(out.at[rows, own], x)

    team.each_tile(walk)


def _numbers(mask):
    """``[T, B, 1]`` as ``[T, B]``."""
    return None if mask is None else mask[..., 0]
