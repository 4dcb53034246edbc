"""Which layers another library can represent."""

from collections.abc import Mapping
from typing import Any

from jaxtext.errors import InputError
from jaxtext.interop.layers import Layer


def class_of(
    classes: Mapping[str, Any], one: Layer, function: str, library: str
) -> Any:
    """The class of another library for a layer.

    Args:
      classes: The library's classes by kind.
      one: The layer.
      function: The conversion, for the error.
      library: Its name, for the error.

    Raises:
      InputError: If the library has no class that computes the same function.
    """
    if one.kind in classes:
        return classes[one.kind]
    if one.kind == "rnn":
        raise InputError(f"{function}: {library} has no plain tanh cell, got jt.rnn")
    when, option = ("after", False) if "gru" in classes else ("before", True)
    raise InputError(
        f"{function}: {library}'s GRU resets {when} the recurrent product, got one "
        f"with reset_after={option}, which is another function"
    )


def one_way(
    layers: list[tuple[Layer, ...]], function: str, library: str
) -> list[Layer]:
    """The layers for a library that has no bidirectional one.

    Raises:
      InputError: If one of them is bidirectional.
    """
    if any(len(directions) > 1 for directions in layers):
        raise InputError(
            f"{function}: {library} has no bidirectional layer, got jt.bidirectional; "
            "convert its two cells separately"
        )
    return [direction for (direction,) in layers]
