"""Configuration of a character-level language model, and what tells runs apart."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlm.options import (
    Common,
    Hosts,
    Model,
    Regularisation,
    Saving,
    Text,
    Training,
    Writing,
)
from jaxtext.text.folder import RUNS

# How a text is evaluated: read in windows of so many characters, or as it is.
WINDOWS = {"carried": None, "cold-256": 256}


@dataclass(frozen=True)
class Config(  # dataclasses have the fields of the last one first
    Hosts, Writing, Saving, Regularisation, Training, Model, Text, Common
):
    """A recurrent network, the text that it is trained on, and how."""

    @property
    def seq_lens(self) -> tuple[int, ...]:
        """The lengths that a batch may have."""
        return (self.seq_len,) if isinstance(self.seq_len, int) else self.seq_len


# These say how long, by which way and how to watch, not what is trained.
_OUTSIDE_IDENTITY = {
    "backend",
    "remat",
    "data_parallel",
    "distributed",
    "coordinator",
    "num_processes",
    "process_id",
    "heartbeat_seconds",
    "steps",
    "epochs",
    "minutes",
    "sample_every",
    "save_minutes",
    "save_steps",
    "keep",
    "max_skips",
    "max_rollbacks",
    "workdir",
    "tensorboard",
    "wandb",
}


def identity(
    config: Config, corpus_sha256: str, val_sha256: str | None = None
) -> dict[str, Any]:
    """What makes a run the run that it is: a text itself stands for its name."""
    fields = dataclasses.asdict(config)
    kept = {k: v for k, v in fields.items() if k not in _OUTSIDE_IDENTITY}
    kept |= {"corpus": corpus_sha256, "val_corpus": val_sha256}
    return json.loads(json.dumps(kept))  # as it will be read


def default_workdir(corpus_name: str, identity: dict[str, Any]) -> Path:
    """``runs/{corpus}-{cell}-{hash of the configuration}``.

    If the text had another name when its run began, that run's directory is returned:
    the hash is the same.
    """
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    what = f"-{identity['cell']}-{digest[:8]}"
    path = RUNS / f"{corpus_name}{what}"
    found = sorted(RUNS.glob(f"*{what}/config.json"))
    return path if path.exists() or not found else found[0].parent
