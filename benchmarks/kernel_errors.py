"""How far each backend is from the scan in float64, over drawn sizes.

    python benchmarks/kernel_errors.py
    python benchmarks/kernel_errors.py --backends mosaic --draws 50

Kernels for devices that are not there are interpreted. An error is the norm of a
difference over the norm of what is right, of outputs and states together, and of all
gradients together. The last line on standard output is one JSON object; all else goes
to standard error.
"""

import jaxtext.needs_experiments

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import record
import tyro

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.streams import script

CELLS = {"rnn": jt.rnn, "lstm": jt.lstm, "gru": jt.gru}


@dataclass(frozen=True)
class Config:
    """Compare backends with the scan in float64, over drawn sizes."""

    backends: tuple[str, ...] = ("scan", "fused", "mosaic")
    """Backends of jaxtext. mosaic_gpu takes about a minute a draw, where there is no
    GPU."""
    cells: tuple[str, ...] = tuple(CELLS)
    """Cells."""
    dtypes: tuple[str, ...] = ("float64", "float32", "bfloat16")
    """Types to compute in, parameters and inputs included."""
    draws: int = 10
    """Sizes to draw: up to 40 sequences of up to 60 steps, up to 300 wide."""
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


def draw(make_cell, dtype, random):
    """Arrays of a drawn size that `dtype` can say, and masks."""
    batch, length, hidden, width = (
        int(random.integers(1, n)) for n in (41, 61, 301, 65)
    )
    cell = make_cell(hidden, dtype=dtype, param_dtype=dtype)
    params = cell.init(jax.random.key(0), width)
    state = cell.initial_state((batch,))

    def noisy(x):
        return (x + 0.2 * random.standard_normal(x.shape)).astype(x.dtype)

    xs = random.standard_normal((batch, length, width))
    arrays = *jax.tree.map(noisy, (params, state)), jnp.asarray(xs, dtype)
    lengths = random.integers(0, length + 1, batch)
    resets = random.random((batch, length)) < 0.1
    return hidden, arrays, {"lengths": lengths, "resets": resets}


def measure(config: Config) -> dict[str, Any]:
    """Draws and compares, and returns the result."""
    rows = []
    for name in config.cells:
        make_cell = CELLS[name]
        for dtype in config.dtypes:
            random = np.random.default_rng(config.seed)
            worst = {backend: [0.0, 0.0] for backend in config.backends}
            for _ in range(config.draws):
                hidden, arrays, masks = draw(make_cell, dtype, random)
                wide = jax.tree.map(lambda x: x.astype("float64"), arrays)
                exact = make_cell(hidden, dtype="float64", param_dtype="float64")
                right = outcome(exact, wide, "scan", **masks)
                cell = make_cell(hidden, dtype=dtype, param_dtype=dtype)
                for backend, errors in list(worst.items()):
                    try:
                        with jax.enable_x64(dtype == "float64"):
                            found = outcome(cell, arrays, backend, **masks)
                    except InputError as error:  # it lacks the type, or does not fit
                        print(f"left out: {error}", file=sys.stderr)
                        del worst[backend]
                        continue
                    for i, (a, b) in enumerate(zip(found, right, strict=True)):
                        error = np.linalg.norm(a - b) / np.linalg.norm(b)
                        errors[i] = max(errors[i], float(error))
            for backend, (values, gradients) in worst.items():
                row = {"cell": name, "dtype": dtype, "backend": backend}
                rows.append(row | {"values": values, "gradients": gradients})
                print(
                    f"{name:5}{dtype:9} {backend:7} values {values:.1e}  "
                    f"gradients {gradients:.1e}",
                    file=sys.stderr,
                    flush=True,
                )
    return {"rows": rows, "draws": config.draws, **record.environment()}


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
