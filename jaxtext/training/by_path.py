"""Trees that differ in their containers alone: a leaf is known by its path."""

from typing import Any

import jax


def arranged(tree: Any, like: Any) -> Any:
    """The leaves of one tree in the containers of another.

    A checkpoint says list where a state has a tuple, and dict where it has a
    ``NamedTuple``; and what is a dict today may have been a tuple when it was saved.

    Args:
      tree: Any pytree.
      like: One with leaves at the same paths: entry 0 of a tuple, ``"0"`` of a dict and
        a field of that name are the same.

    Returns:
      A tree of the structure of `like`.

    Raises:
      ValueError: If a leaf has no counterpart, naming it.

    Example:
      >>> arranged(({"bias": 1}, (), {"bias": 2}), {"0": {"bias": 0}, "2": {"bias": 0}})
      {'0': {'bias': 1}, '2': {'bias': 2}}
    """
    leaves = _by_path(tree)
    if differing := leaves.keys() ^ _by_path(like).keys():
        raise ValueError(f"expected the same leaves, got {sorted(differing)} in one")
    return jax.tree_util.tree_map_with_path(lambda path, _: leaves[_name(path)], like)


def _by_path(tree):
    return {_name(path): x for path, x in jax.tree_util.tree_leaves_with_path(tree)}


def _name(path):
    return jax.tree_util.keystr(path, simple=True, separator="/")
