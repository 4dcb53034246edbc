"""Parameters of what is made of parts: nested dicts, with strings for keys.

Flax's and Optax's tools go by paths of strings (``flatten_dict``, ``path_aware_map``,
partition rules). A tuple is a leaf to them, and a dict without entries is lost on the
way. So parts in a row are numbered, and one without parameters has no entry.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

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


def _never(name: str) -> bool:
    del name
    return False


def parts_of(
    what: str,
    params: Params,
    names: Sequence[str],
    may_lack: Callable[[str], bool] = _never,
) -> list[Params]:
    """Takes the parameters of a whole apart again.

    Args:
      what: The whole, for the error message.
      params: Its parameters, as `joined` makes them.
      names: All its parts.
      may_lack: Whether a part has no parameters. It is asked of those without an entry.

    Returns:
      The parameters of each part, in the order of `names`; ``{}`` where it has none.

    Raises:
      ValueError: If they are not a dict, as before this layout, or those of another
        whole: an entry too many, or one too few.

    Example:
      >>> parts_of("pair", {"0": 1.0}, ("0", "1"), lambda name: name == "1")
      [1.0, {}]
      >>> parts_of("pair", (1.0, 2.0), ("0", "1"))
      Traceback (most recent call last):
      ValueError: pair: expected params as a dict of '0', '1', got a tuple; write \
dict(zip(('0', '1'), params))
    """
    listed = ", ".join(map(repr, names))
    if not isinstance(params, Mapping):
        in_order = isinstance(params, tuple | list) and len(params) == len(names)
        remedy = f"write dict(zip(({listed}), params))" if in_order else _ANEW
        raise ValueError(
            f"{what}: expected params as a dict of {listed}, got a "
            f"{type(params).__name__}; {remedy}"
        )
    if unknown := [name for name in params if name not in names]:
        raise ValueError(
            f"{what}: expected params of {listed} alone, got "
            f"{', '.join(map(repr, unknown))} too; {_ANEW}"
        )
    lacking = [name for name in names if name not in params and not may_lack(name)]
    if lacking:
        raise ValueError(
            f"{what}: expected params with {', '.join(map(repr, lacking))}, got "
            f"{', '.join(map(repr, params)) + ' alone' if params else '{}'}; {_ANEW}"
        )
    return [params.get(name, {}) for name in names]


_ANEW = "take those that its own init makes"
