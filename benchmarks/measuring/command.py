"""The main function that most measurements share."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro

from jaxtext.streams import say, script
from measuring import record

Config = TypeVar("Config")
Result = dict[str, Any]


def command(
    config_type: type[Config],
    measure: Callable[[Config], Result],
    *,
    table: Callable[[Result], str] | None = None,
    failed: Callable[[Result], bool] | None = None,
) -> Callable[..., int]:
    """Makes the main function of a script that measures.

    The function parses the flags, measures, prints the table on standard error, writes
    the result to `out` if that flag is given, and prints it as one line of JSON on
    standard output.

    Args:
      config_type: A dataclass whose fields are the flags. One of them is `out`.
      measure: Takes the configuration and returns the result.
      table: Formats the result for a person to read.
      failed: Whether a result means failure. The exit status is then 1.

    Returns:
      A function that takes the command line and returns the exit status.
    """

    @script
    def main(argv: Sequence[str] | None = None) -> int:
        config: Any = tyro.cli(config_type, args=argv)
        result = measure(config)
        if table is not None:
            say(table(result))
        record.print_last_line(result, config.out)
        return int(failed is not None and failed(result))

    return main


def chosen(config: object, *names: str) -> dict[str, Any]:
    """These fields of a configuration, as entries of a result."""
    return {name: getattr(config, name) for name in names}
