"""A worker and its team: what it keeps, and how state goes from one to the others."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from jaxtext.kernels.mosaic_gpu import plgpu
from jaxtext.kernels.mosaic_gpu.tiles import Sizes, Tiles
from jaxtext.types import Array


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

    def units(self, which: int = 0) -> Any:
        """The columns of its own units, in an array ``[…, slices H]``."""
        first = which * self.tiles.hidden + self.worker * self.tiles.units
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

        if self.tiles.teams == self.tiles.parts:
            turn(0, None)
        else:
            teams = self.tiles.teams
            turns = (self.tiles.parts - first + teams - 1) // teams
            jax.lax.fori_loop(0, turns, turn, None)

    def send(self, slots: Any, slot: Any, rows: Any, values: Sequence[Array]) -> None:
        """Writes the worker's own part of a slot, ``[N, units]`` for each slice."""
        for which, value in enumerate(values):
            if self.kept.own is None:
                along = pl.ds(which * self.tiles.rows, self.tiles.rows)
                put(self.kept.operand.at[slot % 2, along, self.units()], value)
                put(slots.at[slot, rows, self.units(which)], value)
            else:
                put(self.kept.own.at[which], value)
        plgpu.commit_smem()
        if self.kept.own is not None:
            for which in range(len(values)):
                to = slots.at[slot, rows, self.units(which)]
                plgpu.copy_smem_to_gmem(self.kept.own.at[which], to)
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
            for which in range(self.slices):
                part = slots.at[
                    slot, rows, pl.ds(which * self.tiles.hidden, self.tiles.hidden)
                ]
                along = pl.ds(which * self.tiles.rows, self.tiles.rows)
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

    def product(self, gate: int, which: int = 0) -> Array:
        """What came of a gate's weights and of a slice, ``[N, units]``."""
        units, rows = self.tiles.units, self.tiles.rows
        part = self.kept.products.at[
            self.here, pl.ds(gate * units, units), pl.ds(which * rows, rows)
        ]
        return plgpu.load(part.T, layout=_layout(), optimized=False)


def put(reference: Any, value: Array) -> None:
    """Writes ``[N, units]`` from registers, in the reference's type."""
    value = plgpu.layout_cast(value.astype(reference.dtype), _layout())
    if hasattr(plgpu, "store"):  # JAX 0.12; else plain stores do not ask for more
        # A warp writes whole sectors of global memory, but no whole lines.
        plgpu.store(reference, value, optimized=False)
    else:
        reference[...] = value


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
