"""Passes whose modules are imported when one of them is first asked for."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from jaxtext.kernels.gates import Passes


def late(package: str) -> Passes:
    """The passes of a package of kernels, which is not imported yet.

    Pallas takes a quarter of a second to import, and most programs run on a device that
    needs none of it.

    Args:
      package: The name of a package with the functions ``forward.forward``,
        ``forward.record``, ``backward.backward`` and ``operands.lacks``.
    """

    def of(module: str, name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            return getattr(import_module(f"{package}.{module}"), name)(*args)

        return call

    return Passes(
        forward=of("forward", "forward"),
        record=of("forward", "record"),
        backward=of("backward", "backward"),
        lacks=of("operands", "lacks"),
    )
