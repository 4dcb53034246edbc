"""How a recurrence is laid out on a TPU core, and whether it fits there."""

from typing import NamedTuple

import jax.numpy as jnp

from jaxtext.floats import accumulation_dtype
from jaxtext.types import DType, Target

# Of a vector register of 32 bits: the units of the last two axes.
SUBLANES, LANES = 8, 128
# Of vector memory, on top of what is counted: what the compiler spills there.
_SPARE = 8 * 2**20
# Of a core, MiB (`pltpu.get_tpu_info`); for kinds not known here the least of any.
_ROOM = {
    **dict.fromkeys(("TPU v5 lite", "TPU v5e", "TPU v6 lite", "TPU v6e"), 128),
    **dict.fromkeys(("TPU v5", "TPU v5p", "TPU7x"), 64),
}
_LEAST_ROOM = 16
# Rows of a tile: with fewer, loading weights into the matrix unit takes longer than the
# products do; with more, what is done element by element does not stay in registers.
_FEWEST_ROWS, _MOST_ROWS = 64, 256
_MOST_STEPS = 16


class Sizes(NamedTuple):
    """What a recurrence is, as far as its layout goes.

    Attributes:
      length: ``T``.
      batch: ``B``.
      hidden: ``H``.
      gates: ``G``, how many pre-activations an element has.
      states: How many arrays the state has.
      saved: How many arrays a step saves for the backward pass.
      dtype: The type of the products.
      row_values: How many numbers for each row it saves besides. Where there are any,
        a step is taken for all of ``H`` at once.
    """

    length: int
    batch: int
    hidden: int
    gates: int
    states: int
    saved: int
    dtype: DType
    row_values: int = 0

    @property
    def wide(self) -> DType:
        """The type of sums, of memories and of all that is done element by element."""
        return accumulation_dtype(self.dtype)


class Tiles(NamedTuple):
    """The sizes that the kernels work in.

    Attributes:
      batch: ``B`` padded, a multiple of `rows`.
      rows: Sequences that walk through time together.
      hidden: ``H`` padded to whole registers, a multiple of `columns`.
      columns: How much of ``H`` is computed at a time.
      steps: Steps of time in the block that is on the chip while the next one comes.
      bytes: What all that is on the chip takes of its vector memory.
    """

    batch: int
    rows: int
    hidden: int
    columns: int
    steps: int
    bytes: int


def room(device: Target) -> int:
    """Bytes of vector memory; without limit where kernels are interpreted."""
    if device.platform != "tpu":
        return 2**60
    return _ROOM.get(device.kind, _LEAST_ROOM) * 2**20


def tiles(sizes: Sizes, room: int) -> Tiles | None:
    """The largest tiles that fit, or ``None`` where the smallest do not.

    The recurrent weights have to fit as a whole. Beyond them rows matter more than
    steps: a tile of weights goes into the matrix unit once for all rows.

    Args:
      sizes: The recurrence.
      room: Bytes of vector memory that the core has.

    Example:
      >>> tiles(Sizes(100, 128, 1000, 4, 2, 4, jnp.bfloat16), 128 * 2**20)[:5]
      (128, 128, 1024, 256, 10)
      >>> tiles(Sizes(100, 128, 8192, 4, 2, 4, jnp.bfloat16), 128 * 2**20) is None
      True
    """
    size, wide = jnp.dtype(sizes.dtype).itemsize, jnp.dtype(sizes.wide).itemsize
    if sizes.row_values:
        # Padding would be part of the means.
        columns = hidden = sizes.hidden
    else:
        hidden = _up(sizes.hidden, LANES)
        columns = 2 * LANES if hidden % (2 * LANES) == 0 else LANES
    width = sizes.gates * hidden
    packed = 32 // size if size < 8 else 8  # rows of a register
    whole = _up(max(1, sizes.batch), packed)
    rows, fewest = min(_MOST_ROWS, whole), min(_FEWEST_ROWS, whole)
    while rows >= fewest:
        of_row = (
            4 * sizes.states * hidden * wide  # at the start, at the end, two between
            + 2 * width * size  # gradients of two steps, in the backward pass
            + 4 * sizes.gates * columns * wide  # in the midst of being computed
        )
        fixed = hidden * width * size + rows * of_row + _SPARE
        of_step = (
            (width + sizes.saved * hidden) * size  # pre-activations and gates
            + (width * size if sizes.row_values else 0)  # gradients of recurrent parts
            + 2 * sizes.states * hidden * wide
            # The two masks and the values of rows: one number takes a row of lanes.
            + (2 + sizes.row_values) * LANES * wide
        )
        step = 2 * rows * of_step  # one block at work, and one on its way
        most = min(sizes.length, _MOST_STEPS, (room - fixed) // step)
        if most >= 1:
            steps = _even(sizes.length, most)
            total = fixed + steps * step
            count = -(-whole // rows)
            rows = _up(-(-whole // count), packed)  # alike, so as to pad little
            return Tiles(count * rows, rows, hidden, columns, steps, total)
        rows = max(fewest, _up(rows // 2, packed)) if rows > fewest else 0
    return None


def _even(length, most):
    """The largest divisor of `length` within reach of `most`, or else `most`."""
    divisor = max(n for n in range(1, most + 1) if length % n == 0)
    return divisor if 2 * divisor >= most else most


def _up(size, unit):
    return -(-size // unit) * unit
