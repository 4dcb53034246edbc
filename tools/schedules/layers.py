"""The layers that the command lines of the TPU tools ask for."""

import importlib.metadata
from collections.abc import Iterable
from itertools import product
from typing import Any, cast, get_args

from measuring.workload import DIRECTIONS, GATES, Workload, listed

from jaxtext.errors import InputError
from jaxtext.types import BackendName
from schedules.compiler import CHIPS, Layer

KNOWN = {
    "chips": CHIPS,
    "cells": GATES,
    "directions": DIRECTIONS,
    "backends": get_args(BackendName),
}


def asked(config: Any, backends: Iterable[str]) -> list[Layer]:
    """The layers that a configuration asks for.

    Args:
      config: Has a field for each other argument of `layers`, and `jobs`.
      backends: As for `layers`.

    Raises:
      InputError: If a value is unknown, or libtpu is not installed.
    """
    if config.jobs <= 0:
        raise InputError("--jobs: expected > 0")
    return layers(
        chips=config.chips,
        cells=config.cells,
        hidden=config.hidden,
        heads=config.heads,
        batch=config.batch,
        time=config.time,
        directions=config.directions,
        backends=backends,
        dtype=config.dtype,
    )


def layers(
    *,
    chips: Iterable[str],
    cells: Iterable[str],
    hidden: Iterable[str],
    heads: Iterable[str],
    batch: Iterable[str],
    time: int,
    directions: Iterable[str],
    backends: Iterable[str],
    dtype: str,
) -> list[Layer]:
    """All combinations, with inputs as wide as the layer. Lists may have commas.

    Raises:
      InputError: If a value is unknown, or libtpu is not installed.
    """
    given = {
        "chips": chips,
        "cells": cells,
        "directions": directions,
        "backends": backends,
    }
    given = {field: listed(names) for field, names in given.items()}
    for field, names in given.items():
        for name in names:
            if name not in KNOWN[field]:
                expected = ", ".join(KNOWN[field])
                raise InputError(f"--{field}: expected of {expected}; got {name!r}")
    widths, batches = _sizes("hidden", hidden), _sizes("batch", batch)
    blocks = _sizes("heads", heads)
    for width, block in product(widths, blocks):
        if width % block:
            said = f"--heads: expected divisors of --hidden, {width}; got {block}"
            raise InputError(said)
    if time <= 0:
        raise InputError(f"--time: expected > 0, got {time}")
    if libtpu() is None:
        raise InputError("the compiler is libtpu: pip install libtpu")
    return [
        Layer(
            Workload(cell, b, time, h, h, dtype, heads=n),
            direction,
            cast(BackendName, backend),
            chip,
        )
        for chip, cell, direction, h, n, b, backend in product(
            *(given["chips"], given["cells"], given["directions"]),
            *(widths, blocks, batches, given["backends"]),
        )
    ]


def libtpu() -> str | None:
    """The version of libtpu, if it is installed."""
    try:
        return importlib.metadata.version("libtpu")
    except importlib.metadata.PackageNotFoundError:
        return None


def _sizes(field, values):
    sizes = listed(values)
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise InputError(f"--{field}: expected sizes > 0, got {', '.join(sizes)}")
    return [int(size) for size in sizes]
