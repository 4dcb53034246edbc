"""What the compiler makes of our kernels for Hopper GPUs, without a GPU.

    python tools/gpu_compiled.py
    python tools/gpu_compiled.py --cells lstm --shapes 16x1024x768 --masks
    python tools/gpu_compiled.py --out benchmarks/results/gpu-compiled.json

It needs ``pip install 'jaxtext[cuda]'`` and no GPU. The result also has the least time
that each layer could take on an H100 (`hopper/limits.py`). The last line on standard
output is one JSON object; everything else goes to standard error.

Exit status: 0 finished; 1 something did not compile; 2 bad input.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import checkout  # noqa: F401 (first)

import sys
from dataclasses import dataclass
from pathlib import Path

from hopper import compiler  # before JAX
from hopper.limits import limits
from measuring import record
from measuring.command import command
from measuring.ours import CELLS
from measuring.workload import FORWARD_BACKWARD, Workload, listed, parse_shape

from jaxtext.errors import InputError
from jaxtext.streams import say


@dataclass(frozen=True)
class Config:
    """Compile the kernels for Hopper GPUs. Lists may be given with commas."""

    cells: tuple[str, ...] = ("lstm", "gru")
    """Cells: rnn, lstm, gru."""
    shapes: tuple[str, ...] = ("16x1024x768", "64x512x512", "128x256x256", "16x256x128")
    """Shapes, BxTxH or BxTxDxH."""
    dtypes: tuple[str, ...] = ("bfloat16", "float32")
    """Types of the products: bfloat16, float16, float32 (TF32)."""
    masks: bool = False
    """With lengths and resets."""
    out: Path | None = None
    """Also write the JSON to this file."""


def asked(config: Config) -> list[Workload]:
    """The layers that a configuration asks for."""
    layers = []
    for cell in listed(config.cells):
        if cell not in CELLS:
            raise InputError(f"--cells: expected rnn, lstm, gru, got {cell!r}")
        for shape in listed(config.shapes):
            for dtype in listed(config.dtypes):
                layers.append(Workload(cell, *parse_shape(shape), dtype))
    return layers


def measure(config: Config) -> dict:
    """Compiles all layers, and returns the result.

    Raises:
      InputError: If something that it needs is not installed.
    """
    if (lacking := compiler.lacking()) is not None:
        raise InputError(lacking)
    rows = []
    for work in asked(config):
        name = f"{work.name()} {work.dtype}"
        row = {"name": name, **work._asdict(), "masks": config.masks}
        row["limits"] = limits(work)
        rows.append(row)
        try:
            kernels = compiler.kernels(work, FORWARD_BACKWARD, masks=config.masks)
        except InputError as error:
            row["left_out"] = str(error)
            say(f"{name}: {error}")
            continue
        except Exception as error:  # a compiler may raise anything
            row["failed"] = f"{type(error).__name__}: {error}"
            say(f"{name}: {row['failed']}")
            continue
        row["kernels"] = kernels
        for kernel, of in kernels.items():
            say(
                f"{name:32} {kernel:20} "
                f"{of['registers']:4} registers  {of['spilled_bytes']:4} spilled  "
                f"{of['shared_bytes'] / 1024:6.1f} KiB shared  "
                f"{of['tensor_core_products']:4} products"
                f"{'  serialized' * of['serialized']}"
            )
    return {"rows": rows, "target": "sm_90a", **record.environment()}


def failed(result: dict) -> bool:
    """Whether a layer did not compile."""
    return any("failed" in row for row in result["rows"])


main = command(Config, measure, failed=failed)

if __name__ == "__main__":
    sys.exit(main())
