"""What a configuration says beyond its preset."""

import dataclasses
from typing import Any

from charlm.config import Config
from common.rules import fields_without
from presets import PRESETS


def usual(preset: str) -> dict[str, Any]:
    """The values of a preset, and the defaults of all fields that it does not set."""
    defaults = {field.name: field.default for field in dataclasses.fields(Config)}
    return defaults | PRESETS[preset]


def settings(config: Config) -> dict[str, Any]:
    """What tells a run from others, as its result has it.

    Returns:
      ``preset``, ``seed``, ``learning_rate``, and ``config``: all fields whose values
      are not those of the preset. Which process and which host it was is not among
      them. Any JSON.
    """
    preset = usual(config.preset)
    here = fields_without(Config, "kept") - {"init_from"}
    differing = {
        name: value
        for name, value in dataclasses.asdict(config).items()
        if name not in here and value != preset[name]
    }
    if config.init_from is not None:
        differing["init_from"] = str(config.init_from)
    names = "preset", "seed", "learning_rate"
    return {**{name: getattr(config, name) for name in names}, "config": differing}
