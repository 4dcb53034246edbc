"""One checkpoint, written and read with Orbax."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from jaxtext.errors import InputError
from jaxtext.runs.checkpoint import ocp
from jaxtext.runs.checkpoint.by_path import arranged
from jaxtext.runs.checkpoint.contents import Checkpoint
from jaxtext.runs.checkpoint.errors import os_error_code
from jaxtext.runs.checkpoint.shapes import check_shapes, saved_in


def save(path: Path, items: dict[str, Any], about: dict[str, Any]) -> None:
    """Writes items, each a pytree of arrays, and JSON to a new directory.

    If several processes train together, one of them calls this, and has all of every
    array.
    """
    if jax.process_count() > 1:
        items = jax.tree.map(_on_host, items)
    args = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
    args = ocp.args.Composite(**args, about=ocp.args.JsonSave(about))
    with _checkpointer() as checkpointer, plain(path) as there:
        checkpointer.save(there, args)


def restore(path: Path, items: dict[str, Any]) -> Checkpoint:
    """Reads a checkpoint.

    Args:
      path: Its directory, which has the step for its name.
      items: The items to read: pytrees of arrays, or of their shapes.

    Returns:
      The checkpoint. Its arrays are on one device, however many devices saved them.

    Raises:
      InputError: If it does not hold arrays of these names and shapes.
      OSError: If the disk fails.
    """
    device = SingleDeviceSharding(jax.local_devices()[0])

    def abstract(x):
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device)

    items = jax.tree.map(abstract, items)
    try:
        with _checkpointer() as checkpointer, plain(path) as there:
            saved = {name: saved_in(there / name) for name in items}
            for name, tree in items.items():
                check_shapes(saved[name], tree)
            # Orbax wants the containers that were saved. Parameters of layers were
            # tuples once.
            args = {
                name: ocp.args.StandardRestore(tree)
                for name, tree in arranged(items, saved).items()
            }
            args = ocp.args.Composite(**args, about=ocp.args.JsonRestore())
            found = checkpointer.restore(there, args)
        arrays = arranged({name: found[name] for name in items}, items)
        arrays = jax.tree.map(_with_keys, arrays, items)
    except InputError as error:
        raise InputError(f"the checkpoint {path} is of another run: {error}") from error
    except Exception as error:
        if (code := os_error_code(error)) is not None:
            raise OSError(code, os.strerror(code)) from error
        if "RESOURCE_EXHAUSTED" in str(error):  # no memory; the checkpoint is good
            raise
        raise InputError(
            f"the checkpoint {path} is undamaged, but cannot be restored "
            f"({type(error).__name__}: {error}); was it saved by another program?"
        ) from error
    return Checkpoint(int(path.name), found["about"], arrays)


@contextlib.contextmanager
def plain(path: Path) -> Iterator[Path]:
    r"""Provides an absolute path to the same place that Orbax takes literally.

    Orbax and TensorStore need UTF-8, and take ``[a]`` for a pattern and ``\`` for a
    separator. If the path has any such character, its directory is reached by a
    temporary link.

    Args:
      path: The path. Its last name is kept, and must be plain itself.

    Example:
      >>> with plain(Path("/runs/[a] b/5")) as path:
      ...     path.name, "[" in str(path), str(path.parent.readlink())
      ('5', False, '/runs/[a] b')
    """
    path = path.absolute()
    if re.fullmatch(r"[A-Za-z0-9/._ -]*", str(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="jaxtext-") as folder:
        link = Path(folder, "link")
        link.symlink_to(path.parent, target_is_directory=True)
        yield link / path.name


def _on_host(x):
    """An array in this host's memory; a key as numbers, since only JAX has keys."""
    x = x.addressable_data(0)
    return np.asarray(jax.random.key_data(x) if _is_key(x) else x)


def _with_keys(x, like):
    """What was restored, with a key where the run has one."""
    if _is_key(like) and not _is_key(x):
        return jax.random.wrap_key_data(x, impl=_kind(like))
    return x


def _is_key(x):
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _kind(like):
    """The name of a key's kind, of which only shape and dtype may be there."""
    for name in ("threefry2x32", "rbg", "unsafe_rbg"):
        if jax.random.key(0, impl=name).dtype == like.dtype:
            return name
    raise InputError(f"expected a kind of key that JAX has, got {like.dtype}")


def _checkpointer():
    if jax.process_count() == 1:
        return ocp.Checkpointer(ocp.CompositeCheckpointHandler())
    # Each process reads by itself, and one alone writes: none waits for another.
    own = jax.process_index()
    processes = ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"of-{own}"
    )
    options = ocp.CompositeOptions(multiprocessing_options=processes)
    handler = ocp.CompositeCheckpointHandler(composite_options=options)
    return ocp.Checkpointer(handler, multiprocessing_options=processes)
