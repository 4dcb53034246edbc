"""Pytrees that differ only in their containers: leaves are identified by their path."""

from typing import Any

import jax


def arranged(tree: Any, like: Any) -> Any:
    """Puts the leaves of one tree into the containers of another.

    Orbax returns a list for a tuple and a dict for a ``NamedTuple``. Also, what is a
    dict today may have been a tuple when it was saved.

    Args:
      tree: Any pytree.
      like: A pytree with leaves at the same paths. Entry 0 of a tuple, ``"0"`` of a
        dict and a field of that name are the same.

    Returns:
      A tree with the structure of `like`.

    Raises:
      ValueError: If only one of the trees has a certain leaf. The message names it.

    Example:
      >>> arranged(({"bias": 1}, (), {"bias": 2}), {"0": {"bias": 0}, "2": {"bias": 0}})
      {'0': {'bias': 1}, '2': {'bias': 2}}
    """
    leaves, places = by_path(tree), by_path(like)
    if differing := leaves.keys() ^ places.keys():
        raise ValueError(f"expected the same leaves, got {sorted(differing)} in one")
    return jax.tree.structure(like).unflatten(leaves[name] for name in places)


def by_path(tree: Any, separator: str = "/") -> dict[str, Any]:
    """Returns the leaves of a tree by their paths, in the tree's order.

    Example:
      >>> by_path({"layers": ({"bias": 1}, {"bias": 2})})
      {'layers/0/bias': 1, 'layers/1/bias': 2}
    """
    return {
        jax.tree_util.keystr(path, simple=True, separator=separator): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
