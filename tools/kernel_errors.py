"""How far each backend is from the scan in float64, over random sizes.

    python tools/kernel_errors.py
    python tools/kernel_errors.py --backends mosaic --draws 50
    python tools/kernel_errors.py --shapes 16x64x65x512 --precision highest

Kernels for a device that this machine does not have are interpreted. An error is the
norm of the difference divided by the norm of the expected value: one for outputs and
states together, and one for all gradients together. Sizes that a backend refuses are
left out, with the reason. The last line on standard output is one JSON object;
everything else goes to standard error.
"""

import jaxtext.needs_experiments

import checkout  # noqa: F401 (first)

import itertools
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from measuring import record
from measuring.command import chosen, command
from measuring.ours import CELLS, check_backend
from measuring.workload import parse_shape

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.streams import say


@dataclass(frozen=True)
class Config:
    """Compare backends with the scan in float64, over random sizes."""

    backends: tuple[str, ...] = ("scan", "fused", "mosaic", "mosaic_gpu")
    """Backends of jaxtext."""
    cells: tuple[str, ...] = tuple(CELLS)
    """Cells."""
    dtypes: tuple[str, ...] = ("float64", "float32", "bfloat16")
    """Types of the computation, parameters and inputs."""
    precision: Literal["default", "highest"] = "default"
    """Precision of products in float32: the default of the device, which is TF32 on
    NVIDIA's GPUs, or float32 throughout."""
    draws: int = 10
    """Number of random sizes: up to 40 sequences of 60 steps, up to 300 wide."""
    shapes: tuple[str, ...] = ()
    """More sizes: BxTxH or BxTxDxH."""
    masks: tuple[Literal["all", "none"], ...] = ("all",)
    """With lengths and resets (all) or without (none). If both are given, the sizes
    take turns."""
    seed: int = 0
    """Seed of the sizes, the numbers and the masks."""
    out: Path | None = None
    """Also write the JSON to this file."""


def outcome(cell, arrays, backend, **masks):
    """What `unroll` returns, and the gradients in all its arguments, as two vectors.

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
    """Random arrays in the type of the cell, and masks."""
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
    with jax.enable_x64(True):
        rows, left_out = compare_all(config)
    asked = chosen(config, "precision", "draws", "shapes")
    return {"rows": rows, "left_out": left_out, **asked, **record.environment()}


def compare_all(config: Config) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of all cells and types, and notes of what was left out."""
    rows, left_out = [], []
    for name in config.cells:
        for dtype in config.dtypes:
            for row in compare(config, name, dtype, left_out):
                rows.append(row)
                say(
                    f"{name:5}{dtype:9} {row['backend']:10} values "
                    f"{row['values']:.1e}  gradients {row['gradients']:.1e}"
                )
    for note in left_out:
        say(f"left out: {note}")
    return rows, left_out


def compare(config, name, dtype, left_out):
    """The largest errors over all sizes, a row for each backend.

    Raises:
      ArithmeticError: If a backend computes infinities or NaN.
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


main = command(Config, measure)

if __name__ == "__main__":
    sys.exit(main())
