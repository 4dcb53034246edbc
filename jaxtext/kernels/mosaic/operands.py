"""A recurrence's arrays as the kernels want them: whole registers, one product done."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxtext.kernels import padding
from jaxtext.kernels.gates import Operands, Recurrence
from jaxtext.kernels.mosaic.grid import Grid, Part
from jaxtext.kernels.mosaic.tiles import LANES, Sizes, room, tiles
from jaxtext.kernels.padding import Padded
from jaxtext.target import target
from jaxtext.types import Target


def masks(operands: Padded, grid: Grid) -> list[tuple[Any, Part | None]]:
    """Resets and validity with their parts, for `Grid.run`."""
    part = grid.stream(1)
    both = operands.resets, operands.valid
    return [(mask, None if mask is None else part) for mask in both]


def lacks(
    device: Target,
    what: Recurrence,
    operands: Operands,
) -> str | None:
    """What the kernels lack to run a recurrence on a device, if anything."""
    if device.platform == "gpu":
        return "it is for TPU"
    dtype = jnp.dtype(what.dtype).name
    if device.platform == "tpu" and dtype not in ("float32", "bfloat16"):
        return f"it computes in float32 and bfloat16, not in {dtype}"
    if device.platform == "tpu" and jax.config.read("jax_enable_x64"):
        return "Mosaic does not compile it with jax_enable_x64"
    sizes = sizes_of(what, operands)
    if device.platform == "tpu" and sizes.row_values and sizes.hidden % LANES:
        return f"its means are over whole registers: H has to be a multiple of {LANES}"
    if tiles(sizes, room(device)) is None:
        weighs = sizes.hidden**2 * sizes.gates * jnp.dtype(what.dtype).itemsize
        return (
            f"recurrent weights of {weighs / 2**20:.0f} MiB and a step do not fit into "
            f"the {room(device) // 2**20} MiB of vector memory of a {device.kind}"
        )
    return None


def padded(
    what: Recurrence,
    operands: Operands,
) -> Padded:
    """Pads the operands of `recurrence`."""
    sizes = sizes_of(what, operands)
    of_parts = tiles(sizes, room(target()))
    if of_parts is None:
        raise ValueError(f"mosaic: {sizes} does not fit into vector memory")
    batch, hidden = of_parts.batch, of_parts.hidden
    return padding.padded(Grid(sizes, of_parts), what, operands, batch, hidden)


def sizes_of(what: Recurrence, operands: Operands) -> Sizes:
    """The sizes of a recurrence, from its arrays or their shapes."""
    batch, hidden = operands.state[-1].shape
    return Sizes(
        length=operands.xs.shape[0],
        batch=batch,
        hidden=hidden,
        gates=operands.weights.recurrent_kernel.shape[1] // hidden,
        states=len(operands.state),
        saved=what.gates.saved,
        dtype=what.dtype,
        row_values=what.gates.row_values,
    )
