"""Times the cells of a notebook in a process that has imported nothing before.

    python -m notebooks.worker notebooks.ours

It prints one JSON object, the seconds of each cell.
"""

import importlib
import json
import sys
import time


def timed(module: str) -> dict[str, float]:
    """Runs a notebook: the seconds of each cell, in order."""
    found: dict[str, float] = {}
    cells = importlib.import_module(module).notebook()
    name = next(cells)
    while name is not None:
        begin = time.perf_counter()
        following = next(cells)
        found[name] = time.perf_counter() - begin
        name = following
    return found


if __name__ == "__main__":
    print(json.dumps(timed(sys.argv[1])))
