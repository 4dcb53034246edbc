"""How a kernel is run by all workers of all teams."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jax.experimental import pallas as pl

from jaxtext.kernels.mosaic_gpu import plgpu
from jaxtext.kernels.mosaic_gpu.team import Kept, Team
from jaxtext.kernels.mosaic_gpu.tiles import Sizes, Tiles
from jaxtext.target import target


def serves() -> bool:
    """Whether the installed JAX has what the kernels are written in (0.11 and newer).

    Older ones can neither interpret such kernels nor infer the layouts of arrays.
    """
    return hasattr(plgpu, "InterpretGPUParams")


def interpretation() -> Any:
    """How kernels are interpreted where there is no GPU."""
    return plgpu.InterpretGPUParams()


def run(
    kernel: Callable[..., None],
    name: str,
    sizes: Sizes,
    tiles: Tiles,
    slices: int,
    operands: Any,
    outputs: Any,
) -> Any:
    """Runs a kernel by all workers of all teams.

    Args:
      kernel: Called with the worker's `Team`, and references to `operands` and to the
        outputs, in their structure.
      name: Its name in a profile.
      sizes: What the recurrence is.
      tiles: How it is laid out.
      slices: How many arrays ``[N, H]`` a slot has for a tile.
      operands: A pytree of arrays.
      outputs: A pytree of pairs of a shape and a type.

    Returns:
      The outputs.
    """
    given, structure = jax.tree.flatten(operands)
    types, of_outputs = jax.tree.flatten(outputs, is_leaf=_is_type)
    interpreted = target().platform != "gpu"

    def body(*references, **kept):
        read, written = references[: len(given)], references[len(given) :]
        semaphores = None
        if tiles.form == "grid" and not interpreted:
            many = plgpu.SemaphoreType.REGULAR((tiles.teams,))
            semaphores = pl.get_global(many)
        kept = Kept(**({name: None for name in Kept._fields} | kept))
        kernel(
            Team(sizes, tiles, slices, kept, semaphores),
            jax.tree.unflatten(structure, read),
            jax.tree.unflatten(of_outputs, written),
        )

    # Mosaic's rule for `jax.vmap` adds programs, which may then outnumber the
    # multiprocessors that a grid's teams count on.
    @sequential_vmap
    def call(*arrays):
        return plgpu.kernel(
            body,
            out_type=[jax.ShapeDtypeStruct(*output) for output in types],
            scratch_types=_memory(sizes, tiles, slices, interpreted),
            compiler_params=plgpu.CompilerParams(
                approx_math=jnp.dtype(sizes.dtype).itemsize < 4
            ),
            interpret=interpretation() if interpreted else None,
            kernel_name=name,
            **_places(tiles, interpreted),
        )(*arrays)

    def varying(found):
        # Within `jax.shard_map`: over the devices that the operands vary over, which
        # Mosaic does not say. XLA leaves out what is added.
        return found + jnp.zeros_like(given[0], shape=(), dtype=found.dtype)

    return jax.tree.unflatten(of_outputs, map(varying, call(*given)))


def _places(tiles, interpreted):
    """Where the workers are: threads, as Pallas calls warpgroups, or blocks."""
    team = {"grid": (tiles.teams,), "grid_names": ("team",)}
    if tiles.form == "block":
        return team | {"num_threads": tiles.workers, "thread_name": "worker"}
    if tiles.form == "cluster" or interpreted:
        # The interpreter takes the blocks of a grid one after the other.
        return team | {"cluster": (tiles.workers,), "cluster_names": ("worker",)}
    return {"grid": (tiles.teams, tiles.workers), "grid_names": ("team", "worker")}


def _memory(sizes, tiles, slices, interpreted):
    """Shared memory and barriers of a block: the fields of `Kept`."""
    here = tiles.workers if tiles.form == "block" else 1
    rows, own = slices * tiles.rows, sizes.slices * tiles.units
    tiled = _transforms(tiles, sizes.dtype)
    memory = {
        "weights": plgpu.SMEM((here, own, tiles.hidden), sizes.dtype, transforms=tiled),
        "operand": plgpu.SMEM(
            (2 if tiles.form == "block" else 1, rows, tiles.hidden),
            sizes.dtype,
            transforms=tiled,
        ),
        "products": plgpu.SMEM((here, own, rows), jnp.float32),
        "loaded": plgpu.Barrier(num_barriers=here),
    }
    if tiles.form == "block":
        return memory | {"met": plgpu.Barrier(num_arrivals=here)}
    memory["own"] = plgpu.SMEM((slices, tiles.rows, tiles.units), sizes.dtype)
    memory["gathered"] = plgpu.Barrier(num_arrivals=slices)
    if tiles.form == "cluster" or interpreted:
        memory["met"] = plgpu.ClusterBarrier(collective_axes=("worker",))
    return memory


def _transforms(tiles, dtype):
    """How the operands of a product lie in shared memory: in swizzled tiles.

    In the block form workers write their own units there, which have to be whole tiles.
    """
    size = jnp.dtype(dtype).itemsize
    swizzle = 128
    while tiles.form == "block" and tiles.units % (swizzle // size):
        swizzle //= 2
    return plgpu.TilingTransform((8, swizzle // size)), plgpu.SwizzleTransform(swizzle)


def _is_type(output: Any) -> bool:
    return isinstance(output, tuple) and isinstance(output[-1], jnp.dtype)
