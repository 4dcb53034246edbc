"""How far each backend is from the scan in float64, over drawn sizes.

    python tools/kernel_errors.py
    python tools/kernel_errors.py --backends mosaic --draws 50
    python tools/kernel_errors.py --shapes 16x64x65x512 --precision highest

Kernels for devices that are not there are interpreted. An error is the norm of a
difference over the norm of what is right, of outputs and states together, and of all
gradients together. What a backend cannot do is left out, with its reason. The last line
on standard output is one JSON object; all else goes to standard error.
"""

import jaxtext.needs_experiments

import checkout  # noqa: F401 (first)

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from measuring import record
from measuring.ours import CELLS, check_backend
from measuring.workload import parse_shape

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.streams import script


@dataclass(frozen=True)
class Config:
    """Compare backends with the scan in float64, over drawn sizes."""

    backends: tuple[str, ...] = ("scan", "fused", "mosaic", "mosaic_gpu")
    """Backends of jaxtext."""
    cells: tuple[str, ...] = tuple(CELLS)
    """Cells."""
    dtypes: tuple[str, ...] = ("float64", "float32", "bfloat16")
    """Types to compute in, parameters and inputs included."""
    precision: Literal["default", "highest"] = "default"
    """Of products in float32: as the device does them by default, which on NVIDIA's
    GPUs is TF32; or in float32 throughout."""
    draws: int = 10
    """Sizes to draw: up to 40 sequences of up to 60 steps, up to 300 wide."""
    shapes: tuple[str, ...] = ()
    """Sizes beside those drawn: BxTxH or BxTxDxH."""
    masks: tuple[Literal["all", "none"], ...] = ("all",)
    """With lengths and resets (all), or without either (none). Of both, sizes have them
    in turn."""
    seed: int = 0
    """Seed of sizes, numbers and masks."""
    out: Path | None = None
    """Also write the JSON to this file."""


def outcome(cell, arrays, backend, **masks):
    """What `unroll` returns, and the gradients by all that it takes: two vectors.

    The loss is half the sum of squares of outputs and last state.
    """
    unroll = partial(jt.unroll, cell, backend=backend, **masks)

    def loss(*arrays):
        leaves = jax.tree.leaves(unroll(*arrays))
        return sum(jnp.sum(jnp.square(x.astype(float))) for x in leaves) / 2

    @jax.jit
    def run(*arrays):
        return unroll(*arrays), jax.grad(loss, (0, 1, 2))(*arrays)

    def flat(tree):
        leaves = jax.tree.leaves(tree)
        return np.concatenate([np.asarray(x, np.float64).ravel() for x in leaves])

    return tuple(map(flat, run(*arrays)))


def draw(random):
    """Sizes ``B, T, D, H``."""
    batch, length, hidden, width = (
        int(random.integers(1, n)) for n in (41, 61, 301, 65)
    )
    return batch, length, width, hidden


def numbers(cell, sizes, random):
    """Arrays that the cell's type can say, and masks."""
    batch, length, width, _ = sizes
    params = cell.init(jax.random.key(0), width)
    state = cell.initial_state((batch,))

    def noisy(x):
        return (x + 0.2 * random.standard_normal(x.shape)).astype(x.dtype)

    dtype = jax.tree.leaves(state)[0].dtype
    xs = jnp.asarray(random.standard_normal((batch, length, width)), dtype)
    lengths = random.integers(0, length + 1, batch)
    resets = random.random((batch, length)) < 0.1
    arrays = *jax.tree.map(noisy, (params, state)), xs
    return arrays, {"lengths": lengths, "resets": resets}


def found_by(backend, cell, arrays, masks, precision):
    """What a backend computes, as `outcome` returns it.

    Raises:
      InputError: If it cannot do it, or the cell has no such backend.
    """
    check_backend(cell, backend)
    wide = arrays[-1].dtype == "float64"  # kernels may do without jax_enable_x64 alone
    with jax.enable_x64(wide), jax.default_matmul_precision(precision):
        return outcome(cell, arrays, backend, **masks)


def measure(config: Config) -> dict[str, Any]:
    """Compares size by size, and returns the result."""
    rows, left_out = [], []
    for name in config.cells:
        for dtype in config.dtypes:
            for row in compare(config, name, dtype, left_out):
                rows.append(row)
                print(
                    f"{name:5}{dtype:9} {row['backend']:10} values "
                    f"{row['values']:.1e}  gradients {row['gradients']:.1e}",
                    file=sys.stderr,
                    flush=True,
                )
    for note in left_out:
        print(f"left out: {note}", file=sys.stderr)
    asked = {"precision": config.precision, "draws": config.draws}
    result = {"rows": rows, "left_out": left_out, **asked, "shapes": config.shapes}
    return result | record.environment()


def compare(config, name, dtype, left_out):
    """The worst errors of each backend over all sizes, a row each.

    Raises:
      ArithmeticError: If a backend computes what is no number.
    """
    random = np.random.default_rng(config.seed)
    sizes = [draw(random) for _ in range(config.draws)]
    sizes += [parse_shape(shape) for shape in config.shapes]
    errors: dict[str, list[tuple[float, float]]] = {b: [] for b in config.backends}
    for each, which in zip(sizes, itertools.cycle(config.masks), strict=False):
        hidden = each[-1]
        cell = CELLS[name](hidden, dtype=dtype, param_dtype=dtype)
        exact = CELLS[name](hidden, dtype="float64", param_dtype="float64")
        arrays, drawn = numbers(cell, each, random)
        wide = jax.tree.map(lambda x: x.astype("float64"), arrays)
        masks = drawn if which == "all" else {}
        right = outcome(exact, wide, "scan", **masks)
        for backend in config.backends:
            try:
                found = found_by(backend, cell, arrays, masks, config.precision)
            except InputError as error:
                shape = "x".join(map(str, each))
                with_masks = ", lengths and resets" if masks else ""
                note = f"{backend} ({name} {dtype} {shape}{with_masks}): {error}"
                left_out.append(note)
                continue
            distances = _distances(found, right)
            if not np.isfinite(distances).all():
                raise ArithmeticError(f"{backend} computes no numbers at {each}")
            errors[backend].append(distances)
    return [
        {"cell": name, "dtype": dtype, "backend": backend, "compared": len(each)}
        | dict(zip(("values", "gradients"), np.max(each, 0).tolist(), strict=True))
        for backend, each in errors.items()
        if each
    ]


def _distances(found, right):
    a, b = (
        float(np.linalg.norm(x - y) / np.linalg.norm(y))
        for x, y in zip(found, right, strict=True)
    )
    return a, b


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Compares, and prints the result as the last line."""
    config = tyro.cli(Config, args=argv)
    with jax.enable_x64(True):
        result = measure(config)
    record.print_last_line(result, config.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
