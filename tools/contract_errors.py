"""The clauses of the cells' contract as errors of one device, not as pass or fail.

    python tools/contract_errors.py --backends cudnn --cells lstm
    python tools/contract_errors.py --dtype bfloat16 --backends fused

tests/contracts.py says what each backend keeps to: lengths, resets, NaN in padding,
symbols, ``vmap`` and so on. Here each comparison of a clause is measured: the norm of
the difference over that of what it should be, the worst array counting. A clause that
asks for what a backend lacks is left out. The last line on standard output is one JSON
object; all else goes to standard error.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import checkout  # noqa: F401 (first)

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import contracts
import jax
import numpy as np
import tyro
from measuring import record
from measuring.ours import CELLS, check_backend

from jaxtext.errors import InputError
from jaxtext.streams import script

# All but the ones that a kernel has no part in, or that differ in the last digit alone.
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
    """Type to compute in; parameters are float32."""
    precision: Literal["default", "highest"] = "default"
    """Of products in float32: as the device does them by default, which on NVIDIA's
    GPUs is TF32; or in float32 throughout."""
    hidden: int = 64
    """Width of the cell."""
    clauses: tuple[str, ...] = tuple(clause.__name__ for clause in CLAUSES)
    """Which clauses."""
    out: Path | None = None
    """Also write the JSON to this file, which grows on the way."""


class Measured(contracts.Case):
    """A case whose comparisons note how far off they are, and do not fail."""

    errors: list[float]

    def assert_close(self, a, b, times=1):
        """Notes the distance; what differs in kind is an error all the same."""
        del times
        assert jax.tree.structure(a) == jax.tree.structure(b), "structures differ"
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
            assert x.dtype == y.dtype, f"{x.dtype} is not {y.dtype}"
            x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
            scale = max(float(np.linalg.norm(y)), 0.1 * y.size**0.5)
            self.errors.append(float(np.linalg.norm(x - y)) / scale if y.size else 0.0)


def allowed(dtype: str, precision: str) -> float:
    """The error up to which a clause is taken as kept: that of the rounding of sums."""
    if dtype == "bfloat16":
        return 3e-2
    return 2e-5 if precision == "highest" else 1e-2


def kept(config: Config, backend: str, name: str, clause: Any) -> dict[str, Any]:
    """What came of one clause: an error, or what a backend lacks, or what broke."""
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
    error = float(np.max(case.errors, initial=0.0))  # NaN beats all numbers
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
                print(
                    f"{cell:5}{backend:11}{name:44}{row['outcome']:9}{error:8} "
                    f"{row['why']}",
                    file=sys.stderr,
                    flush=True,
                )
                if config.out is not None:
                    record.write(result, config.out)
    return result


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Measures, and prints the result as the last line."""
    config = tyro.cli(Config, args=argv)
    record.print_last_line(measure(config), config.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
