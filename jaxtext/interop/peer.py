"""Importing a library that may not be installed."""

import importlib
from typing import Any

from jaxtext.errors import InputError


def peer(module: str, package: str) -> Any:
    """Imports a module of another library.

    Args:
      module: The name to import, such as ``haiku``.
      package: The name to install, such as ``dm-haiku``.

    Returns:
      The module.

    Raises:
      InputError: If it is not installed.

    Example:
      >>> peer("json", "json").dumps([1])
      '[1]'
      >>> peer("no_such_module", "no-such-package")
      Traceback (most recent call last):
      jaxtext.errors.InputError: no_such_module is missing: pip install no-such-package
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise InputError(f"{module} is missing: pip install {package}") from None
