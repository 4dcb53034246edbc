"""The grid of both kernels: blocks of time that stream past what stays on the chip."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from jaxtext.kernels.mosaic.tiles import SUBLANES, Sizes, Tiles
from jaxtext.target import target
from jaxtext.types import Array, DType, Shape

_PRECISION = "jax_default_matmul_precision"  # pyright knows no options of JAX


class Part(NamedTuple):
    """The part of an array that a kernel has at each place of the grid.

    Attributes:
      spec: The part.
      shape: The shape of the whole.
      dtype: Its type, if it is an output.
    """

    spec: pl.BlockSpec
    shape: Shape
    dtype: DType | None = None


class Grid(NamedTuple):
    """Tiles of the batch by blocks of time, time innermost.

    Attributes:
      sizes: The recurrence.
      tiles: The sizes of the parts.
      backwards: Whether blocks of time come from the last one to the first.
    """

    sizes: Sizes
    tiles: Tiles
    backwards: bool = False

    @property
    def blocks(self) -> int:
        """How many blocks of time there are."""
        return -(-self.sizes.length // self.tiles.steps)

    def block(self, place: Any) -> Any:
        """The block of time that has a place in the grid."""
        return self.blocks - 1 - place if self.backwards else place

    def steps(self, block: Any) -> Any:
        """How many steps a block of time has; the last one may not be full."""
        length, most = self.sizes.length, self.tiles.steps
        return most if length % most == 0 else jnp.minimum(most, length - block * most)

    def columns(self) -> Iterator[Callable[..., Any]]:
        """For each part of ``H``, a function from a gate's number to its columns.

        To be walked in Python: in straight-line code the products for one part overlap
        with what is done element by element with another.
        """
        hidden, width = self.tiles.hidden, self.tiles.columns
        for first in range(0, hidden, width):
            yield lambda gate=0, first=first: pl.ds(gate * hidden + first, width)

    def inner(self, inner: Any, columns: Callable[..., Any]) -> Any:
        """What a part of ``H`` needs of the small weights within a step.

        Args:
          inner: A pytree of references to rows ``[1, G H]``, of any number of gates.
          columns: The part, as `columns` has it.
        """

        def of_row(row):
            gates = range(row.shape[1] // self.tiles.hidden)
            apart = [row[:, columns(gate)] for gate in gates]
            return jnp.concatenate(apart, -1).astype(self.sizes.wide)

        return jax.tree.map(of_row, inner)

    def stream(self, width: int, dtype: DType | None = None) -> Part:
        """``[T, B, width]``, of which a block of time of a tile of the batch."""
        spec = pl.BlockSpec(
            (self.tiles.steps, self.tiles.rows, width),
            lambda tile, place: (self.block(place), tile, 0),
        )
        return Part(spec, (self.sizes.length, self.tiles.batch, width), dtype)

    def rows(self, width: int, dtype: DType | None = None) -> Part:
        """``[B, width]``, of which a tile of the batch."""
        spec = pl.BlockSpec((self.tiles.rows, width), lambda tile, place: (tile, 0))
        return Part(spec, (self.tiles.batch, width), dtype)

    def sums(self, width: int) -> Part:
        """Sums over time and batch, ``[N, width]``, still to be summed over ``N``.

        A tile of the batch has one register of rows, which stays while time passes.
        """
        count = self.tiles.batch // self.tiles.rows
        spec = pl.BlockSpec((SUBLANES, width), lambda tile, place: (tile, 0))
        return Part(spec, (count * SUBLANES, width), self.sizes.wide)

    def whole(self, array: Array) -> Part:
        """All of an array that has neither time nor batch."""
        mode = pl.Buffered(1)  # it never changes: one copy of it will do
        spec = pl.BlockSpec(array.shape, lambda *_: (0, 0), pipeline_mode=mode)
        return Part(spec, array.shape)

    def run(
        self,
        kernel: Callable[..., None],
        name: str,
        operands: Sequence[tuple[Any, Any]],
        outputs: Any,
        scratch: Sequence[tuple[tuple[int, ...], DType]],
    ) -> Any:
        """Runs a kernel at each place of the grid.

        Args:
          kernel: Called with references to the parts of operands and outputs, in their
            structure, and to the scratch memory.
          name: Its name in a profile.
          operands: Arrays, or pytrees of them, each with its `Part`.
          outputs: A pytree of `Part`, their types given.
          scratch: Shapes and types of memory that lasts from one place to the next.

        Returns:
          The outputs.
        """
        arrays, parts = zip(*operands, strict=True)

        def type_of(part):
            # As that of an operand made over, so that within `jax.shard_map` it is
            # known to vary over the devices as they do.
            like = partial(jnp.zeros_like, shape=part.shape, dtype=part.dtype)
            return jax.eval_shape(like, jax.tree.leaves(arrays)[0])

        def of_parts(function, tree):
            return jax.tree.map(function, tree, is_leaf=lambda x: isinstance(x, Part))

        run = pl.pallas_call(
            kernel,
            [of_parts(type_of, outputs)],  # in a list, or it would be taken apart
            grid=(self.tiles.batch // self.tiles.rows, self.blocks),
            in_specs=of_parts(lambda part: part.spec, parts),
            out_specs=[of_parts(lambda part: part.spec, outputs)],
            scratch_shapes=[
                pltpu.VMEM(shape, jnp.dtype(dtype)) for shape, dtype in scratch
            ],
            compiler_params=pltpu.CompilerParams(
                dimension_semantics=("parallel", "arbitrary"),
                vmem_limit_bytes=self.tiles.bytes,
            ),
            interpret=target().platform != "tpu",
            name=name,
        )
        return batched_in_front(run)(*arrays)[0]


def batched_in_front(run: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel whose operands `jax.vmap` may map over any axis.

    A mapped axis becomes one of a block. The last two of these have to be tiles, so it
    is moved to the front.
    """
    moved = jax.custom_batching.custom_vmap(run)

    @moved.def_vmap
    def mapped(axis_size, in_batched, *operands):  # which has moved them
        axes = jax.tree.map(lambda batched: 0 if batched else None, in_batched)
        whole = jax.vmap(run, in_axes=axes, axis_size=axis_size)
        found = batched_in_front(whole)(*operands)
        return found, jax.tree.map(lambda _: True, found)

    return moved


def precision(dtype: DType) -> jax.lax.Precision:
    """How exact a kernel's products are: what the caller has set, or the next to it.

    Mosaic knows products of bfloat16 as they are, and of float32 either with factors
    rounded to bfloat16, the default on TPU, or exactly.
    """
    asked = str(getattr(jax.config, _PRECISION)).lower()
    rounded = asked in ("none", "default", "fastest", "bfloat16")
    if rounded or jnp.dtype(dtype).itemsize < 4:
        return jax.lax.Precision.DEFAULT
    return jax.lax.Precision.HIGHEST
