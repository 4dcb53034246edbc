"""A recurrence's arrays as the kernels want them, in whole tiles."""

import os
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtext.kernels import padding
from jaxtext.kernels.gates import Operands, Recurrence
from jaxtext.kernels.mosaic_gpu.launch import serves
from jaxtext.kernels.mosaic_gpu.tiles import Sizes, Tiles, processors, tiles
from jaxtext.kernels.padding import Padded
from jaxtext.kernels.precision import tf32_will_do
from jaxtext.target import target
from jaxtext.types import Array, Target

# Off the GPU the kernels are interpreted as they would run on an H100.
_INTERPRETED = 132
# The interpreter's workers wait for one another on XLA's own threads. With two of them
# the gradient of two layers never ended; with four it did.
_FEWEST_THREADS = 8
# NVIDIA's MPS leaves a process so many percent of a GPU's multiprocessors.
_SHARE = "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"


class Plan(NamedTuple):
    """How the kernels take a recurrence.

    Attributes:
      sizes: What the recurrence is.
      tiles: The sizes of its parts.
    """

    sizes: Sizes
    tiles: Tiles


def lacks(
    device: Target,
    what: Recurrence,
    operands: Operands,
) -> str | None:
    """What the kernels lack to run a recurrence on a device, if anything."""
    if device.platform == "tpu":
        return "it is for GPU"
    if not serves():
        return "it needs JAX 0.11 or newer, which needs Python 3.12"
    dtype = jnp.dtype(what.dtype)
    if dtype.name not in ("float32", "bfloat16", "float16"):
        return f"it computes in float32, bfloat16 and float16, not in {dtype}"
    interpreted = device.platform == target().platform == "cpu"
    if interpreted and jax.config.read("jax_enable_x64"):
        return "JAX's interpreter of such kernels does not run with jax_enable_x64"
    if interpreted and _threads() < _FEWEST_THREADS:
        return (
            "it is interpreted, and may wait for ever where XLA has fewer than "
            f"{_FEWEST_THREADS} threads; set the environment variable NPROC=32 before "
            "JAX is imported"
        )
    sizes = sizes_of(what, operands)
    most = sizes.length * sizes.batch * sizes.slices * sizes.hidden
    if most >= 2**31:
        return f"it counts elements in 31 bits, which {most} do not fit into"
    count = _INTERPRETED
    if device.platform == "gpu":
        count = processors(device)
        if count is None:
            return "it is for Hopper GPUs (H100, H200), whole ones"
        if _SHARE in os.environ:
            return f"it needs all multiprocessors of a GPU, and {_SHARE} is set"
        if dtype.itemsize == 4 and not tf32_will_do():
            return "its float32 products are TF32, less exact than was asked for"
    if tiles(sizes, count) is None:
        weighs = sizes.hidden**2 * sizes.gates * dtype.itemsize
        return (
            f"recurrent weights of {weighs / 2**20:.1f} MiB and a step do not fit into "
            f"the shared memory of {count} multiprocessors"
        )
    return None


def padded(
    what: Recurrence,
    operands: Operands,
) -> Padded:
    """Pads the operands of `recurrence`."""
    device = target()
    count = processors(device) if device.platform == "gpu" else _INTERPRETED
    sizes = sizes_of(what, operands)
    of_parts = None if count is None else tiles(sizes, count)
    if of_parts is None:
        raise ValueError(f"mosaic_gpu: {sizes} does not fit into {device.kind}")
    batch, hidden = of_parts.batch, of_parts.hidden
    return padding.padded(Plan(sizes, of_parts), what, operands, batch, hidden)


def sizes_of(what: Recurrence, operands: Operands) -> Sizes:
    """The sizes of a recurrence, from its arrays or their shapes."""
    batch, hidden = operands.state[-1].shape
    gates = operands.weights.kernel.shape[1] // hidden
    return Sizes(operands.xs.shape[0], batch, hidden, gates, what.dtype)


def by_worker(parts: list[Array], padded: Padded) -> Array:
    """Weights as the workers keep them, those of one worker in consecutive rows.

    Args:
      parts: For each gate ``[H, K]``: a row for each unit.
      padded: What they are of.

    Returns:
      ``[W R, K]``, with ``R`` rows for each of ``W`` workers: its units of the first
      gate, of the second, and so on.
    """
    units, slices = padded.plan.tiles.units, padded.plan.sizes.slices
    parts = parts + [jnp.zeros_like(parts[0])] * (slices - len(parts))
    stacked = jnp.stack([part.reshape(-1, units, part.shape[-1]) for part in parts], 1)
    return stacked.reshape(-1, stacked.shape[-1])


def _threads():
    """How many threads XLA has on a CPU."""
    return int(os.environ.get("NPROC") or os.cpu_count() or 1)
