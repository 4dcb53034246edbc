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
    leaves, places = by_path(tree), by_path(like)
    if differing := leaves.keys() ^ places.keys():
        raise ValueError(f"expected the same leaves, got {sorted(differing)} in one")
    return jax.tree.structure(like).unflatten(leaves[name] for name in places)


def by_path(tree: Any, separator: str = "/") -> dict[str, Any]:
    """The leaves of a tree in their order, each by its path.

    Example:
      >>> by_path({"layers": ({"bias": 1}, {"bias": 2})})
      {'layers/0/bias': 1, 'layers/1/bias': 2}
    """
    return {
        jax.tree_util.keystr(path, simple=True, separator=separator): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
