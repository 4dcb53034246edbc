"""What a checkpoint holds, held against what is asked of it, before it is read.

Orbax finds an array of another shape when it is reading others, which then end in
tracebacks of their own.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from jaxtext.errors import InputError
from jaxtext.runs.by_path import by_path


def saved_in(directory: Path) -> Any:
    """Shapes and types of a pytree of arrays, in the containers that Orbax saved."""
    handler: Any = ocp.StandardCheckpointHandler()  # any path, its types have but one
    return handler.metadata(directory).tree


def check_shapes(saved: Any, like: Any) -> None:
    """Raises `InputError` if an array was saved in another shape than is asked for.

    Args:
      saved: What `saved_in` returns.
      like: A pytree of arrays, or of their shapes. Arrays that only one of the two has
        are not looked at.

    Raises:
      InputError: Naming the first such array, and both shapes.
    """
    stored = _shapes(saved)
    for name, asked in _shapes(like).items():
        found = stored.get(name, asked)
        if found != asked:
            raise InputError(
                f"{name} was saved with the shape {found}, and {asked} was expected; "
                "give the sizes and the batch that were saved"
            )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """The shape of each array, by its path; a named tuple is as good as a dict."""
    return {
        name: leaf.shape
        for name, leaf in by_path(tree, ".").items()
        if not _is_key(leaf)  # which is saved as numbers
    }


def _is_key(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is None or jnp.issubdtype(dtype, jax.dtypes.prng_key)
