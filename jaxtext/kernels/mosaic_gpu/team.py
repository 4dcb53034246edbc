"""A team of workers that keep one state between them, and how their kernel is run."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jax.experimental import pallas as pl

from jaxtext.kernels.mosaic_gpu import plgpu
from jaxtext.kernels.mosaic_gpu.tiles import Sizes, Tiles
from jaxtext.target import target
from jaxtext.types import Array


def serves() -> bool:
    """Whether the installed JAX has what the kernels are written in (0.11 and newer).

    Older ones can neither interpret such kernels nor infer the layouts of arrays.
    """
    return hasattr(plgpu, "InterpretGPUParams")


def interpretation() -> Any:
    """How kernels are interpreted where there is no GPU."""
    return plgpu.InterpretGPUParams()


class Kept(NamedTuple):
    """What a worker has in shared memory, and what it waits at. References.

    Attributes:
      weights: ``[workers here, R, H]``.
      operand: ``[1 or 2, slices N, H]``, what the weights are multiplied with: in the
        block form once as it was before a step and once as it will be after.
      products: ``[workers here, R, slices N]``.
      own: ``[slices, N, units]``, what is on its way to the others; ``None`` in the
        block form, whose workers write into `operand` themselves.
      loaded: Barriers for copies into `weights`, one for each worker here.
      gathered: The barrier for copies into `operand`.
      met: The barrier that all workers pass, in the block and cluster forms.
    """

    weights: Any
    operand: Any
    products: Any
    own: Any
    loaded: Any
    gathered: Any
    met: Any


class Team(NamedTuple):
    """One worker's view of its team, within a kernel.

    Workers exchange slots: what all of them know after a step. A slot lies in global
    memory, ``[slots, B, slices H]``, where it is part of the result anyway. Slots are
    sent and received in the same order by all workers.

    Attributes:
      sizes: What the recurrence is.
      tiles: How it is laid out.
      slices: How many arrays ``[N, H]`` a slot has for a tile.
      kept: Shared memory.
      semaphores: One for each team, in the grid form.
    """

    sizes: Sizes
    tiles: Tiles
    slices: int
    kept: Kept
    semaphores: Any = None

    @property
    def worker(self) -> Any:
        """The number of this worker within its team."""
        return jax.lax.axis_index("worker")

    @property
    def here(self) -> Any:
        """The number of this worker within its block."""
        return self.worker if self.tiles.form == "block" else 0

    def units(self, slice: int = 0) -> Any:
        """The columns of its own units, in an array ``[…, slices H]``."""
        first = slice * self.tiles.hidden + self.worker * self.tiles.units
        return pl.ds(first, self.tiles.units)

    def load(self, reference: Any) -> Array:
        """Reads ``[N, units]`` into registers, as float32."""
        array = plgpu.load(reference, layout=_layout(), optimized=False)
        # Within `jax.shard_map` what is loaded varies over devices, and Mosaic has what
        # is computed not do so. A loop's state has to be of one kind: the computed one.
        return array.astype(jnp.float32) * 1

    def load_mask(self, reference: Any) -> Array:
        """Reads ``[N]`` numbers into registers, as ``[N, units]``."""
        column = plgpu.load(reference, layout=_layout().reduce(1), optimized=False)
        shape = self.tiles.rows, self.tiles.units
        return jax.lax.broadcast_in_dim(column, shape, (0,))

    def keep(self, weights: Any) -> None:
        """Copies the worker's share of ``[W R, H]`` weights into shared memory."""
        rows = self.kept.weights.shape[1]
        own = weights.at[pl.ds(self.worker * rows, rows)]
        loaded = self.kept.loaded.at[self.here]
        plgpu.copy_gmem_to_smem(own, self.kept.weights.at[self.here], loaded)
        plgpu.barrier_wait(loaded)

    def each_tile(self, walk: Callable[[Any, Any], None]) -> None:
        """Calls ``walk(rows, first_turn)`` for each tile of the batch that it takes.

        ``rows`` are those of the tile, ``first_turn`` the number of slots that the
        team has exchanged before.
        """
        rows, first = self.tiles.rows, jax.lax.axis_index("team")
        slots = self.sizes.length + 1

        def turn(number, _):
            tile = first + number * self.tiles.teams
            walk(pl.ds(tile * rows, rows), number * slots)

        if self.tiles.teams == self.tiles.count:
            turn(0, None)
        else:
            count = (self.tiles.count - first + self.tiles.teams - 1) // (
                self.tiles.teams
            )
            jax.lax.fori_loop(0, count, turn, None)

    def send(self, slots: Any, slot: Any, rows: Any, values: Sequence[Array]) -> None:
        """Writes the worker's own part of a slot, ``[N, units]`` for each slice."""
        for slice, value in enumerate(values):
            if self.kept.own is None:
                along = pl.ds(slice * self.tiles.rows, self.tiles.rows)
                put(self.kept.operand.at[slot % 2, along, self.units()], value)
                put(slots.at[slot, rows, self.units(slice)], value)
            else:
                put(self.kept.own.at[slice], value)
        plgpu.commit_smem()
        if self.kept.own is not None:
            for slice in range(len(values)):
                to = slots.at[slot, rows, self.units(slice)]
                plgpu.copy_smem_to_gmem(self.kept.own.at[slice], to)
            # Until it is there for all to see, and not only read from here.
            plgpu.wait_smem_to_gmem(0, wait_read_only=False)
        if self.semaphores is None:
            plgpu.barrier_arrive(self.kept.met)
        else:
            own = self.semaphores.at[jax.lax.axis_index("team")]
            plgpu.semaphore_signal(own, memory_scope="gpu")

    def meet(self, turn: Any) -> None:
        """Waits until all workers have sent the slot that is number `turn`."""
        if self.semaphores is None:
            plgpu.barrier_wait(self.kept.met)
        else:
            own = self.semaphores.at[jax.lax.axis_index("team")]
            sent = (turn + 1) * self.tiles.workers
            plgpu.semaphore_wait(own, sent, decrement=False, memory_scope="gpu")

    def products(self, slots: Any, slot: Any, rows: Any, turn: Any) -> None:
        """Multiplies the weights with a slot, once all workers have sent it.

        ::

            products[r, s N + n] = Σ_k weights[r, k] slot[n, s H + k]
        """
        self.meet(turn)
        if self.kept.own is None:
            operand = self.kept.operand.at[slot % 2]
        else:
            operand = self.kept.operand.at[0]
            for slice in range(self.slices):
                part = slots.at[
                    slot, rows, pl.ds(slice * self.tiles.hidden, self.tiles.hidden)
                ]
                along = pl.ds(slice * self.tiles.rows, self.tiles.rows)
                plgpu.copy_gmem_to_smem(part, operand.at[along], self.kept.gathered)
            plgpu.barrier_wait(self.kept.gathered)

        weights, hidden = self.kept.weights.at[self.here], self.tiles.hidden
        columns = _columns(hidden, self.kept.weights.dtype)

        def multiply(sums):
            def add(part, _):
                along = pl.ds(part * columns, columns)
                plgpu.wgmma(sums, weights.at[:, along], operand.at[:, along].T)

            if columns == hidden:
                plgpu.wgmma(sums, weights, operand.T)
            else:
                jax.lax.fori_loop(0, hidden // columns, add, None)
            return sums[...]

        shape = self.kept.products.shape[1:]
        sums = pl.run_scoped(multiply, plgpu.ACC(shape, jnp.float32))
        self.kept.products.at[self.here][...] = sums

    def product(self, gate: int, slice: int = 0) -> Array:
        """What came of a gate's weights and a slice, ``[N, units]``."""
        units, rows = self.tiles.units, self.tiles.rows
        part = self.kept.products.at[
            self.here, pl.ds(gate * units, units), pl.ds(slice * rows, rows)
        ]
        return plgpu.load(part.T, layout=_layout(), optimized=False)


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


def put(reference: Any, value: Array) -> None:
    """Writes ``[N, units]`` from registers, in the reference's type."""
    value = plgpu.layout_cast(value.astype(reference.dtype), _layout())
    if hasattr(plgpu, "store"):  # JAX 0.12; else plain stores do not ask for more
        # A warp writes whole sectors of global memory, but no whole lines.
        plgpu.store(reference, value, optimized=False)
    else:
        reference[...] = value


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


def _columns(hidden, dtype):
    """How much of ``H`` is multiplied by straight-line code: a divisor of it.

    The compiler keeps the addresses of all operands in such code in registers. With
    more than 512 bytes of each row, they do not suffice.
    """
    most = 512 // jnp.dtype(dtype).itemsize
    return max(n for n in range(64, most + 1, 64) if hidden % n == 0)


def _layout():
    """Of ``[N, units]`` in registers: 8 rows of 16 columns over the 128 threads.

    A warp takes two rows, so that it reads whole sectors of global memory.
    """
    return plgpu.Layout.TILED(
        plgpu.Tiling(((8, 16), (2, 16), (1,))),
        warp_dims=(-5,),
        lane_dims=(-3, -2),
        vector_dim=-1,
    )


def _is_type(output: Any) -> bool:
    return isinstance(output, tuple) and isinstance(output[-1], jnp.dtype)
