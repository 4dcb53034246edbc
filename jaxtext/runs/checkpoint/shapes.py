"""Checks the shapes in a checkpoint before it is read.

Orbax finds a wrong shape only while it reads other arrays, and then ends in tracebacks
of its own.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxtext.errors import InputError
from jaxtext.runs.checkpoint import ocp
from jaxtext.runs.checkpoint.by_path import by_path


def saved_in(directory: Path) -> Any:
    """Returns shapes and dtypes of a saved pytree, in the containers Orbax saved."""
    # Orbax's annotation is narrower than what it accepts.
    handler: Any = ocp.StandardCheckpointHandler()
    return handler.metadata(directory).tree


def check_shapes(saved: Any, like: Any) -> None:
    """Checks that arrays were saved with the shapes that are expected.

    Args:
      saved: What `saved_in` returned.
      like: A pytree of arrays, or of their shapes. An array that only one of the two
        has is ignored.

    Raises:
      InputError: If a shape differs. The message has the first such array and both
        shapes.
    """
    stored = _shapes(saved)
    for name, expected in _shapes(like).items():
        found = stored.get(name, expected)
        if found != expected:
            raise InputError(
                f"{name} was saved with the shape {found}, but {expected} was "
                "expected; use the sizes and the batch size of the run that saved it"
            )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """The shape of each array by its path. A named tuple counts as a dict."""
    return {
        name: leaf.shape
        for name, leaf in by_path(tree, ".").items()
        if not _is_key(leaf)  # keys are saved as numbers, with another shape
    }


def _is_key(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is None or jnp.issubdtype(dtype, jax.dtypes.prng_key)
