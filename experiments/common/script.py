"""The main function of a script."""

import functools
from collections.abc import Callable
from typing import ParamSpec

from common.flags import with_flags
from jaxtext import streams
from jaxtext.errors import InputError

P = ParamSpec("P")


def script(main: Callable[P, int]) -> Callable[P, int]:
    """As `jaxtext.streams.script`, and errors of the library name flags."""

    @functools.wraps(main)
    def translated(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except InputError as error:
            raise InputError(with_flags(str(error))) from error

    return streams.script(translated)
