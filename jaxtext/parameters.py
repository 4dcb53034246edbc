"""Parameters of cells made of parts: nested dicts with string keys.

Flax's and Optax's tools go by paths of strings (``flatten_dict``, ``path_aware_map``,
partition rules). A tuple is a leaf to them, and a dict without entries is lost on the
way. So parts in a row are numbered, and one without parameters has no entry.
"""

from collections.abc import Iterable, Mapping

import jax

from jaxtext.types import Params


def joined(parts: Mapping[str, Params]) -> dict[str, Params]:
    """The parameters of a whole: those of its parts, by name, where a part has any.

    Example:
      >>> joined({"first": {"bias": 1.0}, "second": {}})
      {'first': {'bias': 1.0}}
    """
    return {name: part for name, part in parts.items() if jax.tree.leaves(part)}


def in_a_row(parts: Iterable[Params]) -> dict[str, Params]:
    """The same of parts that have no names: the first one is ``"0"``.

    A dict is a pytree in the order of its keys as strings, where ``"10"`` comes before
    ``"2"``. So take parts by their names, never by their places in it.

    Example:
      >>> in_a_row([{"bias": 1.0}, {}, {"bias": 2.0}])
      {'0': {'bias': 1.0}, '2': {'bias': 2.0}}
    """
    return joined({str(n): part for n, part in enumerate(parts)})


def parts_of(params: Params, names: Iterable[str]) -> list[Params]:
    """The parameters of each part of a whole again; ``{}`` where it has none.

    Example:
      >>> parts_of({"0": {"bias": 1.0}}, ("0", "1"))
      [{'bias': 1.0}, {}]
    """
    return [params.get(name, {}) for name in names]


def numbered(count: int) -> list[str]:
    """The names of so many parts in a row.

    Example:
      >>> numbered(3)
      ['0', '1', '2']
    """
    return [str(n) for n in range(count)]
