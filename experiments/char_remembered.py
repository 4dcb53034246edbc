"""The configuration of a run, kept in its directory for those that come later.

So ``--workdir`` alone names a run: who trains on, or evaluates it, need not type again
what it is, nor where its text lies. What makes it the run that it is lies beside it, in
``config.json``, and in each checkpoint.
"""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from char_config import Config

from jaxtext.text.download import DATASETS
from jaxtext.training.workdir import write_json

FILE = "flags.json"
_NO_PATHS = ("stdlib", "-", *DATASETS)
# Where a process is, and how it finds the others, is its own affair.
_NOT_KEPT = {
    "workdir",
    "distributed",
    "coordinator",
    "num_processes",
    "process_id",
    "heartbeat_seconds",
}


def remembered(workdir: Path) -> dict[str, Any]:
    """Fields of the configuration that a run was last given; none without a run."""
    try:
        kept: Any = json.loads((workdir / FILE).read_text("utf-8"))
    except (OSError, ValueError):  # of what is damaged, one types all again
        return {}
    if not isinstance(kept, dict):
        return {}
    names = {field.name for field in dataclasses.fields(Config)} - _NOT_KEPT
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in kept.items()
        if name in names
    }


def remember(config: Config, workdir: Path) -> None:
    """Keeps a configuration. Its paths are kept whole: others begin elsewhere."""
    kept = dataclasses.asdict(config)
    for name in ("corpus", "val_corpus"):
        kept[name] = tuple(
            x if x in _NO_PATHS else os.path.abspath(x) for x in kept[name]
        )
    kept = {name: value for name, value in kept.items() if name not in _NOT_KEPT}
    if kept != remembered(workdir):
        write_json(workdir / FILE, kept)
