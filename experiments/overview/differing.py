"""What differs between runs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from charlm.config import BUDGETS, Config
from common.flags import flag
from common.rules import fields_without
from overview.seen import Seen


def differing(runs: Sequence[Seen]) -> dict[str, list[str]]:
    """The fields whose values differ between runs, each with the value of every run.

    They are what makes a run the run that it is, and how long it is to train. A run
    from before there was a field has the field's default.
    """
    known = [run.settings for run in runs if run.settings]
    outside = fields_without(Config, "identity") - {*BUDGETS}
    found = {}
    for field in dataclasses.fields(Config):
        name, usual = field.name, field.default
        values = [settings.get(name, usual) for settings in known]
        if name not in outside and any(x != values[0] for x in values):
            found[name] = [
                _told(run.settings.get(name, usual)) if run.settings else "?"
                for run in runs
            ]
    return found


def labels(runs: Sequence[Seen], names: Sequence[str] | None = None) -> list[str]:
    """A short name of each run: what differs, or its directory if nothing does.

    Args:
      runs: The runs.
      names: Only these fields. Default: all that differ.
    """
    found = differing(runs)
    if names is not None:
        found = {name: found[name] for name in names if name in found}
    if not found:
        return [run.place.name for run in runs]
    return [
        ", ".join(_part(name, values[k]) for name, values in found.items())
        for k in range(len(runs))
    ]


def _part(name, value):
    """A field and its value; words tell by themselves what they are about."""
    if value in ("yes", "no", "-", "?") or _is_number(value):
        return f"{flag(name).removeprefix('--')} {value}"
    return value


def _is_number(value):
    try:
        float(value)
    except ValueError:
        return False
    return True


def _told(value: Any) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(Path(x).name if isinstance(x, str) else str(x) for x in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
