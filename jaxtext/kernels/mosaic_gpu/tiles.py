"""How a recurrence is laid out on a Hopper GPU, and whether it fits there."""

from typing import Literal, NamedTuple, TypeAlias

import jax.numpy as jnp

from jaxtext.types import DType, Target

Form: TypeAlias = Literal["block", "cluster", "grid"]

# The rows of one tensor-core product (wgmma). A worker's weights are a multiple.
PRODUCT = 64
# Multiprocessors by device kind; the first prefix that matches counts.
_PROCESSORS = {
    "NVIDIA H100 PCIe": 114,
    "NVIDIA H100": 132,
    "NVIDIA H200": 132,
    "NVIDIA H800 PCIe": 114,
    "NVIDIA H800": 132,
    "NVIDIA GH200": 132,
    "NVIDIA H20": 78,
}
# Shared memory that one block can have is 227 KiB. Mosaic takes some for its own.
_ROOM = 225 * 2**10
_MOST_WARPGROUPS = 4  # of a block: with more, each has too few registers
_MOST_BLOCKS = 8  # of a cluster that every Hopper GPU takes
_ROWS = 8, 16, 32, 64  # what a product takes as its columns, four gates side by side
_FORMS: tuple[Form, ...] = "block", "cluster", "grid"


class Sizes(NamedTuple):
    """What a recurrence is, as far as its layout goes.

    Attributes:
      length: ``T``.
      batch: ``B``.
      hidden: ``H``.
      gates: ``G``, how many pre-activations an element has.
      dtype: The type of the products.
    """

    length: int
    batch: int
    hidden: int
    gates: int
    dtype: DType

    @property
    def slices(self) -> int:
        """How many gates the kernels compute: one or four, the last may be unused.

        Four gates of 16 units make one product of 64 rows. A GRU has three gates in the
        forward pass and four different gradients in the backward pass.
        """
        return 1 if self.gates == 1 else 4


class Tiles(NamedTuple):
    """The sizes that the kernels work in.

    A team of workers walks a tile of the batch through time. Each worker keeps the
    recurrent weights of its own units in shared memory.

    Attributes:
      form: What a team is. ``"block"``: the warpgroups of one block. ``"cluster"``: the
        blocks of one cluster, each one warpgroup. ``"grid"``: blocks anywhere on the
        GPU, likewise.
      batch: ``B`` padded, a multiple of `rows`.
      rows: Sequences of a tile.
      hidden: ``H`` padded, a multiple of 64.
      units: Units of one worker.
      teams: How many teams there are. In the grid form all of them run at once, and
        each takes one tile after the other. In the others there is one for each tile.
      bytes: Shared memory of a block, at most.
    """

    form: Form
    batch: int
    rows: int
    hidden: int
    units: int
    teams: int
    bytes: int

    @property
    def workers(self) -> int:
        """How many workers a team has."""
        return self.hidden // self.units

    @property
    def parts(self) -> int:
        """How many tiles the batch has."""
        return self.batch // self.rows


def processors(device: Target) -> int | None:
    """How many multiprocessors a GPU has, ``None`` for a kind that is not known.

    Of the kinds that lack ``wgmma``, or that share their multiprocessors (MIG), none
    is known.

    Example:
      >>> processors(Target("gpu", "NVIDIA H100 80GB HBM3"))
      132
      >>> processors(Target("gpu", "NVIDIA A100-SXM4-80GB")) is None
      True
    """
    if "MIG" in device.kind:
        return None
    known = (n for kind, n in _PROCESSORS.items() if device.kind.startswith(kind))
    return next(known, None)


def tiles(sizes: Sizes, processors: int) -> Tiles | None:
    """The tiles of the first form that fits, or ``None`` where none does.

    The tile is the smallest one with which the batch takes the fewest turns: with fewer
    sequences a step is shorter, and more multiprocessors work.

    Args:
      sizes: The recurrence.
      processors: How many multiprocessors there are.

    Example:
      >>> tiles(Sizes(256, 16, 100, 4, jnp.bfloat16), 132)[:6]
      ('block', 16, 8, 128, 32, 2)
      >>> tiles(Sizes(1024, 16, 768, 4, jnp.bfloat16), 132)[:6]
      ('grid', 16, 8, 768, 16, 2)
      >>> tiles(Sizes(1024, 16, 2048, 4, jnp.bfloat16), 132) is None
      True
    """
    hidden = up(max(1, sizes.hidden), PRODUCT)
    for form in _FORMS:
        units = _units(form, hidden, sizes.slices)
        side_by_side = processors // (1 if form == "block" else hidden // units)
        fitting = [
            (-(-_count(sizes, rows) // side_by_side), rows, total)
            for rows in _ROWS
            if side_by_side > 0
            if (total := _bytes(sizes, form, hidden, units, rows)) <= _ROOM
        ]
        if fitting:
            _, rows, total = min(fitting)
            count = _count(sizes, rows)
            teams = min(count, side_by_side) if form == "grid" else count
            return Tiles(form, count * rows, rows, hidden, units, teams, total)
    return None


def up(size: int, unit: int) -> int:
    """The next multiple of `unit`."""
    return -(-size // unit) * unit


def _count(sizes, rows):
    return -(-max(1, sizes.batch) // rows)


def _units(form, hidden, slices):
    """How many units a worker has."""
    least = PRODUCT // slices
    if form == "grid":
        return least
    most = _MOST_WARPGROUPS if form == "block" else _MOST_BLOCKS
    # A larger share of the weights in each block makes teams of few blocks.
    units = up(-(-hidden // most), least)
    while hidden % units:
        units += least
    return units


def _bytes(sizes, form, hidden, units, rows):
    """Shared memory of a block, in the pass that takes more: backwards."""
    size, slices = jnp.dtype(sizes.dtype).itemsize, sizes.slices
    own = slices * units
    here = hidden // units if form == "block" else 1  # workers of a block
    weights = here * own * hidden * size
    products = here * own * slices * rows * 4
    operand = slices * rows * hidden * size
    # One step's state while the next one is written, or what one worker hands on.
    handed_on = operand if form == "block" else own * rows * size
    return weights + products + operand + handed_on
