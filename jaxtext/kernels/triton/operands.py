"""A recurrence's arrays as the kernels want them, in whole tiles, and how those run."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu

from jaxtext.kernels.gates import Arrays, Operands, Recurrence, Weights, cast
from jaxtext.kernels.masks import numbers
from jaxtext.kernels.padding import pad, pad_weights
from jaxtext.target import target
from jaxtext.types import Array, DType, Shape, Target

ROWS = 16  # sequences of a program: the fewest that a matrix unit takes
_MOST_COLUMNS = 64
# Of recurrent weights, so that they stay in the first cache (256 KiB of an H100's
# multiprocessor, 192 KiB of an A100's) beside the state.
_MOST_BYTES = 160 * 2**10


class Padded(NamedTuple):
    """Operands whose batch and hidden axes are padded with zeros.

    Padding of the hidden axis stays zero: with pre-activations of zero, an empty memory
    stays empty. Rows that pad the batch compute something, which nobody reads.

    Attributes:
      weights: The weights, in the type of the products.
      start: The state before the first step, each ``[B, H]``.
      xs: The inputs.
      resets: ``[T, B, 1]`` integers, or ``None``.
      valid: Likewise.
    """

    weights: Weights
    start: Arrays
    xs: Array
    resets: Array | None
    valid: Array | None

    @property
    def wide(self) -> DType:
        """The type of sums, of memories and of all that is done element by element."""
        return jnp.promote_types(self.weights.kernel.dtype, jnp.float32)

    @property
    def tiles(self) -> "Tiles":
        """How the kernels are to take these."""
        hidden, width = self.weights.recurrent_kernel.shape
        return Tiles(self.xs.shape[0], hidden, width // hidden, _columns(hidden))


class Tiles(NamedTuple):
    """The sizes that the kernels work in.

    Attributes:
      length: ``T``.
      hidden: ``H`` padded, a multiple of `columns`.
      gates: ``G``, how many pre-activations an element has.
      columns: How much of ``H`` is computed, or summed over, at a time.
    """

    length: int
    hidden: int
    gates: int
    columns: int

    def own(self, tile: Any, gate: int = 0) -> Any:
        """The columns of a tile of ``H``, among those of a gate."""
        return pl.ds(gate * self.hidden + tile * self.columns, self.columns)

    def each(self, body: Callable[[Any], None]) -> None:
        """Runs `body` for each tile of ``H``."""
        count = self.hidden // self.columns
        jax.lax.fori_loop(0, count, lambda tile, _: body(tile), None)


def lacks(
    device: Target,
    what: Recurrence,
    operands: Operands,
) -> str | None:
    """What the kernels lack to run a recurrence on a device, if anything."""
    if device.platform == "tpu":
        return "it is for GPU"
    if device.platform != "gpu":
        return None
    dtype = jnp.dtype(what.dtype)
    if dtype.name not in ("float32", "bfloat16"):
        return f"it computes in float32 and bfloat16, not in {dtype}"
    hidden = operands.state[-1].shape[-1]
    gates, padded = operands.weights.kernel.shape[1] // hidden, _padded(hidden)
    size = padded * padded * gates * dtype.itemsize
    if size > _MOST_BYTES:
        return (
            f"recurrent weights of {size // 2**10} KiB do not stay in the cache of a "
            f"multiprocessor, {_MOST_BYTES // 2**10} KiB do"
        )
    return None


def padded(
    what: Recurrence,
    operands: Operands,
) -> Padded:
    """Pads the operands of `recurrence`."""
    batch, hidden = operands.state[-1].shape
    batch, hidden = max(1, -(-batch // ROWS)) * ROWS, _padded(hidden)

    return Padded(
        pad_weights(cast(operands.weights, what.dtype), hidden),
        tuple(pad(pad(x, 0, batch), 1, hidden) for x in operands.state),
        pad(operands.xs, 1, batch),
        numbers(operands.resets, batch),
        numbers(operands.valid, batch),
    )


def _padded(hidden):
    """``H`` in whole tiles.

    Example:
      >>> [_padded(hidden) for hidden in (1, 17, 64, 65, 150)]
      [16, 32, 64, 96, 160]
    """
    columns = 16 if hidden <= 16 else 32
    return -(-hidden // columns) * columns


def _columns(hidden):
    return _MOST_COLUMNS if hidden % _MOST_COLUMNS == 0 else min(32, hidden)


def run(
    kernel: Callable[..., None],
    name: str,
    shared: Sequence[Array | None],
    operands: Any,
    outputs: Any,
) -> Any:
    """Runs a kernel for each tile of the batch.

    Args:
      kernel: Called with references to `shared`, to `operands` and to the outputs, in
        their structure. It gets of each what belongs to its sequences.
      name: Its name in a profile.
      shared: Arrays without a batch axis.
      operands: A pytree of arrays ``[B, …]`` or ``[T, B, …]`` whose last axis is one of
        features.
      outputs: A pytree of pairs of a shape and a type, likewise.
    """
    like = jax.tree.leaves(operands)[0]
    interpreted = target().platform != "gpu"

    def type_of(output):
        # As that of an operand made over, so that within `jax.shard_map` it is known
        # to vary over the devices as they do.
        shape, dtype = output
        return jax.eval_shape(partial(jnp.zeros_like, shape=shape, dtype=dtype), like)

    def is_output(x):
        return isinstance(x, tuple) and isinstance(x[-1], jnp.dtype)

    def whole(array):
        return pl.BlockSpec(array.shape, lambda _: (0,) * array.ndim)

    def rows(array):
        shape: Shape = (*array.shape[:-2], ROWS, array.shape[-1])
        before = (0,) * (len(shape) - 2)
        return pl.BlockSpec(shape, lambda tile: (*before, tile, 0))

    types = jax.tree.map(type_of, outputs, is_leaf=is_output)
    return pl.pallas_call(
        partial(kernel, barrier=(lambda: None) if interpreted else plgpu.debug_barrier),
        [types],  # in a list, or it would be taken apart
        grid=(like.shape[-2] // ROWS,),
        in_specs=[*jax.tree.map(whole, shared), jax.tree.map(rows, operands)],
        out_specs=[jax.tree.map(rows, types)],
        # One stage: loads ahead of time would go past the first cache.
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=1),
        interpret=interpreted,
        name=name,
    )(*shared, operands)[0]
