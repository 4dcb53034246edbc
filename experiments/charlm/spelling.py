"""A configuration as the command that gives it."""

import dataclasses
from pathlib import Path

from charlm.config import Config
from common.flags import off, spelled
from common.names import as_typed, command, this_python

SCRIPT = Path(__file__).parents[1] / "char_gen.py"


def whole_command(config: Config) -> str:
    """The command with every flag that a configuration means, one in a line.

    The same configuration comes of it again. Flags that have no effect beside the
    others are left out, because they would be refused.
    """
    instead = {"print_config", "dry_run"}
    lines = [command(this_python(), as_typed(SCRIPT))]
    for field in dataclasses.fields(Config):
        name, value = field.name, getattr(config, field.name)
        needs = field.metadata.get("needs")
        without_effect = needs is not None and not needs.holds(config)
        if name in instead or without_effect:
            continue
        if value is not None or off(Config, name):
            lines.append(command(*spelled(name, value)))
    return " \\\n  ".join(lines)
