"""The least time of a recurrence on an H100, by a count of bytes and operations.

The time of a step is that of its slowest part, because the parts overlap, plus the
exchange of the state, which overlaps with nothing. The count is of the work of our
kernels (`jaxtext/kernels/mosaic_gpu`). Measured times can be compared with it.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from measuring.workload import GATES, Workload

from jaxtext.kernels.mosaic_gpu.tiles import Sizes, Tiles, tiles


class Chip(NamedTuple):
    """An H100 SXM5.

    The first four numbers are NVIDIA's ("NVIDIA H100 Tensor Core GPU Architecture",
    2022, and the data sheet; the clock is that of the peak). Shared memory has 32 banks
    of 4 bytes a cycle. The bandwidth and latency of the L2 cache are from Luo et al.,
    "Benchmarking and dissecting the Nvidia Hopper GPU architecture via
    microbenchmarking", 2024.
    """

    processors: int = 132
    flops_per_second: float = 989e12  # of 16-bit products; half of that as TF32
    bytes_per_second: float = 3.35e12
    clock: float = 1.83e9
    shared_bytes_per_cycle: int = 128
    l2_bytes_per_second: float = 5.5e12
    l2_cycles: int = 262


H100 = Chip()
# The latencies in an exchange of a team: the state goes to the L2 cache, the signal
# follows, the signal is seen, the state is fetched.
_TRIPS = 4


def limits(work: Workload, chip: Chip = H100) -> dict[str, Any] | None:
    """The least time of a layer forward and backward, or ``None`` if it does not fit.

    Returns:
      The layout; for each direction the microseconds of each part of a step and of the
      whole step; and milliseconds for the sequence: ``kernels_ms``, ``products_ms`` for
      the products outside of the kernels, and ``least_ms``, their sum.

    Example:
      >>> found = limits(Workload("lstm", 16, 1024, 768, 768, "bfloat16"))
      >>> found["layout"]["form"], round(found["least_ms"], 1)
      ('grid', 3.7)
    """
    gates, dtype = GATES[work.cell], jnp.dtype(work.dtype)
    sizes = Sizes(work.time, work.batch, work.hidden, gates, dtype)
    of = tiles(sizes, chip.processors)
    if of is None:
        return None
    turns = -(-of.parts // of.teams) if of.form == "grid" else _turns(of, chip)
    found: dict[str, Any] = {
        "layout": of._asdict() | {"workers": of.workers, "turns": turns}
    }
    for direction, slices in (("forward", 1), ("backward", sizes.slices)):
        found[direction] = _step(sizes, of, slices, chip)
    steps = work.time * turns
    whole = sum(found[direction]["step_us"] for direction in ("forward", "backward"))
    peak = chip.flops_per_second * 2 / dtype.itemsize
    # The input product, its two gradients, and the recurrent weights' gradient.
    wide, hidden = work.batch * work.time * gates * work.hidden, work.hidden
    products = 2 * wide * (3 * work.input + hidden) / peak
    found["kernels_ms"] = steps * whole / 1e3
    found["products_ms"] = products * 1e3
    found["least_ms"] = found["kernels_ms"] + found["products_ms"]
    return found


def _step(sizes: Sizes, of: Tiles, slices: int, chip: Chip) -> dict[str, float]:
    size = jnp.dtype(sizes.dtype).itemsize
    here = of.workers if of.form == "block" else 1
    own, rows = sizes.slices * of.units, slices * of.rows
    operand = rows * of.hidden * size
    at_once = min(of.teams, max(1, chip.processors // (of.workers // here)))
    # Both operands of each product come from shared memory. The state is read once for
    # every 64 rows of weights.
    shared = here * (own * of.hidden * size + own // 64 * operand)
    flops = 2 * at_once * of.workers * own * rows * of.hidden
    # Pre-activations, states and gates in; states and gates, or gradients, out.
    streamed = at_once * of.rows * of.hidden * (2 * sizes.gates * size + 2 * 4 + 2 * 4)
    peak = chip.flops_per_second * 2 / size
    parts = {
        "shared_memory_us": shared / chip.shared_bytes_per_cycle / chip.clock,
        "tensor_cores_us": flops / peak,
        "memory_us": streamed / chip.bytes_per_second,
    }
    exchange = 0.0
    if of.form != "block":
        gathered = at_once * of.workers * operand / chip.l2_bytes_per_second
        exchange = _TRIPS * chip.l2_cycles / chip.clock + gathered
    found = {name: seconds * 1e6 for name, seconds in parts.items()}
    found["exchange_us"] = exchange * 1e6
    found["step_us"] = max(found[name] for name in parts) + exchange * 1e6
    return found


def _turns(of: Tiles, chip: Chip):
    blocks = 1 if of.form == "block" else of.workers
    return -(-of.teams // (chip.processors // blocks))
