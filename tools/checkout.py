"""Puts benchmarks/ and tests/ on the module search path.

Tools share the parts of the benchmarks that record and run, and one of them the clauses
of the cells' contract. A script imports this before those.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / name) for name in ("benchmarks", "tests")]
