"""What differs between runs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from charlm.config import BUDGETS, Config
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


def _told(value: Any) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(Path(x).name if isinstance(x, str) else str(x) for x in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
