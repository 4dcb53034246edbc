"""How closely backends keep the clauses of the cells' contract on this device.

    python tools/contract_errors.py --backends cudnn --cells lstm
    python tools/contract_errors.py --dtype bfloat16 --backends fused

The clauses are in tests/contracts.py: lengths, resets, NaN in padding, symbols,
``vmap`` and so on. This script runs them and measures each comparison: the norm of the
difference divided by the norm of the expected value. The worst array of a clause
counts. A clause that needs something the backend does not have is left out. The last
line on standard output is one JSON object; everything else goes to standard error.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import checkout  # noqa: F401 (first)

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import contracts
import jax
import numpy as np
from measuring import record
from measuring.command import command
from measuring.ours import CELLS, check_backend

from jaxtext.errors import InputError
from jaxtext.streams import say

# Without the clauses that no kernel takes part in.
CLAUSES = (
    contracts.neither_backend_nor_remat_changes_anything,
    contracts.resets_are_separate_sequences,
    contracts.nan_in_padding_never_leaks,
    contracts.symbols_are_one_hot_rows,
    contracts.types_are_kept,
    contracts.vmap_is_batch,
    contracts.reverse_is_the_sequence_reversed,
    contracts.lengths_may_be_traced,
    contracts.time_major_is_transposed,
    contracts.any_number_of_batch_axes,
    contracts.two_chunks_are_one,
    contracts.unroll_is_repeated_step,
    contracts.lengths_are_slices,
)


@dataclass(frozen=True)
class Config:
    """Measure how closely backends keep the contract on this device."""

    backends: tuple[str, ...] = ("fused",)
    """Backends of jaxtext."""
    cells: tuple[str, ...] = tuple(CELLS)
    """Cells."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the computation. Parameters are float32."""
    precision: Literal["default", "highest"] = "default"
    """Precision of products in float32: the default of the device, which is TF32 on
    NVIDIA's GPUs, or float32 throughout."""
    hidden: int = 64
    """Width of the cell."""
    clauses: tuple[str, ...] = tuple(clause.__name__ for clause in CLAUSES)
    """Clauses, by their names in tests/contracts.py."""
    out: Path | None = None
    """Also write the JSON to this file, after each clause."""


class Measured(contracts.Case):
    """A case that records how far off each comparison is, and does not fail."""

    errors: list[float]

    def assert_close(self, a, b, times=1):
        """Records the distance. A different structure or type is still an error."""
        del times
        assert jax.tree.structure(a) == jax.tree.structure(b), "structures differ"
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
            assert x.dtype == y.dtype, f"{x.dtype} is not {y.dtype}"
            x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
            scale = max(float(np.linalg.norm(y)), 0.1 * y.size**0.5)
            self.errors.append(float(np.linalg.norm(x - y)) / scale if y.size else 0.0)


def allowed(dtype: str, precision: str) -> float:
    """The largest error that rounding explains: up to it a clause is kept."""
    if dtype == "bfloat16":
        return 3e-2
    return 2e-5 if precision == "highest" else 1e-2


def kept(config: Config, backend: str, name: str, clause: Any) -> dict[str, Any]:
    """The row of one clause: its error, what the backend lacks, or what broke."""
    cell = CELLS[name](config.hidden, dtype=config.dtype)
    case = Measured(dtype=config.dtype, backend=backend)
    case.errors = []
    row = {"cell": name, "backend": backend, "clause": clause.__name__, "error": None}
    row |= {"dtype": config.dtype, "precision": config.precision}
    try:
        check_backend(cell, backend)
        with jax.default_matmul_precision(config.precision):
            clause(cell, case)
    except InputError as error:
        return row | {"outcome": "left out", "why": str(error)}
    except Exception as error:  # whatever a compiler or a device may raise
        lines = str(error).strip().splitlines() or [""]
        return row | {"outcome": "broken", "why": f"{type(error).__name__}: {lines[0]}"}
    error = float(np.max(case.errors, initial=0.0))  # NaN if one is NaN
    if not np.isfinite(error):
        return row | {"outcome": "broken", "why": "no numbers"}
    limit = allowed(config.dtype, config.precision)
    outcome = "kept" if error <= limit else "broken"
    return row | {"error": error, "outcome": outcome, "why": f"allowed: {limit:g}"}


def measure(config: Config) -> dict[str, Any]:
    """Measures clause by clause, and returns the result."""
    rows = []
    result = {"rows": rows, **record.environment()}
    clauses = {clause.__name__: clause for clause in CLAUSES}
    for name in config.clauses:
        if name not in clauses:
            expected = ", ".join(clauses)
            raise InputError(f"--clauses: expected of {expected}; got {name!r}")
        for cell in config.cells:
            for backend in config.backends:
                row = kept(config, backend, cell, clauses[name])
                rows.append(row)
                error = "" if row["error"] is None else f"{row['error']:.1e}"
                say(
                    f"{cell:5}{backend:11}{name:44}{row['outcome']:9}{error:8} "
                    f"{row['why']}"
                )
                if config.out is not None:
                    record.write(result, config.out)
    return result


main = command(Config, measure)

if __name__ == "__main__":
    sys.exit(main())
