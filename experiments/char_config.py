"""Configuration of character-level language models: flags, presets, what they build."""

import argparse
import dataclasses
import hashlib
import importlib.util
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import optax
import tyro

import jaxtext as jt
from jaxtext.errors import InputError

CELLS = {"rnn": jt.rnn, "lstm": jt.lstm, "gru": jt.gru}


@dataclass(frozen=True)
class Config:
    """Train a recurrent network on text, character by character; then let it write.

    The same command again goes on where it stopped. The last line on standard output
    is one JSON object.
    """

    preset: Literal["modern", "tutorial"] = "modern"
    """Where the defaults come from. tutorial: the well-known Keras program, windows of
    200 every 3 characters, one cell of 128, RMSprop, the first 100,000 characters."""
    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    """The recurrent cell."""
    corpus: tuple[str, ...] = ("stdlib",)
    """Text to learn: files, directories, globs, '-' for standard input, or the names
    stdlib (the running Python's own standard library) and tinyshakespeare."""
    vocab: Literal["chars", "bytes"] = "chars"
    """Symbols: the text's distinct characters, or bytes, which any file has."""
    characters: int | None = None
    """Use only so many characters from the beginning of the corpus."""
    val_fraction: float = 0.1
    """Share of the corpus, at its end, that is kept for validation."""

    hidden: int = 256
    """Width of each recurrent layer."""
    layers: int = 1
    """Number of recurrent layers."""
    dropout: float = 0.2
    """Dropout rate on the output of each layer."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type to compute in; parameters are float32 either way."""
    backend: Literal["auto", "scan", "fused", "mosaic", "triton"] = "auto"
    """How the cells go over a sequence: scan, step by step; fused, with a hand-derived
    backward pass; mosaic, by kernels for TPU; triton, by kernels for GPU; auto, by the
    evidence for the device. The function is the same."""
    remat: Literal["gates"] | int | None = None
    """What the backward pass computes again rather than finds in memory. gates: what
    lies within a step; a number: all but the state at every so many steps."""

    batch_size: int = 16
    """Streams of text read side by side; a multiple of the number of devices."""
    seq_len: int = 32
    """Characters of each stream in a batch: how far back gradients reach."""
    stride: int | None = None
    """Read windows that start every so many characters, each in random order, from the
    zero state and predicting one character, instead of streams that carry on."""
    slices: int = 1
    """Read each batch in so many slices, one after the other: less memory."""

    data_parallel: Literal["pmap", "sharded"] = "pmap"
    """How the step is spread over devices: jax.pmap, or jax.shard_map over arrays that
    are sharded. The function is the same."""

    distributed: bool = False
    """This is one process of several, on one or more hosts, which train together; see
    docs/distributed.md. TPU slices, Slurm and Kubernetes tell who is who; elsewhere
    --coordinator, --num-processes and --process-id do."""
    coordinator: str | None = None
    """HOST:PORT of process 0, which all others reach."""
    num_processes: int | None = None
    """How many processes there are."""
    process_id: int | None = None
    """Which one this is, from 0."""
    heartbeat_seconds: int = 60
    """A process that is not heard of for so long is lost, and ends the others."""

    optimizer: Literal["adamw", "rmsprop"] = "adamw"
    """adamw: warm-up, cosine decay, gradients clipped to norm 1. rmsprop: as Keras."""
    learning_rate: float = 4e-3
    """Peak learning rate."""
    weight_decay: float = 0.1
    """AdamW's weight decay, on matrices alone."""

    steps: int | None = None
    """Train for so many batches. Default: 5000, if no other budget is given."""
    epochs: float | None = None
    """Train for so many passes over the corpus."""
    minutes: float | None = None
    """Train for so many minutes of wall-clock time, compilation and validation
    included. The speed is measured first, and the schedule planned for it."""
    seed: int = 0
    """Seed of parameters, batches, dropout and samples."""

    eval_every: int | None = None
    """Validate after each so many steps. Default: 8 times in the run."""
    eval_characters: int = 20_000
    """Characters that a validation within the run reads; the last one reads all."""
    sample_every: int | None = None
    """Print a sample after each so many steps; 0 is never. Default: when validating."""
    save_minutes: float = 1.0
    """Save a checkpoint each so many minutes (and at the end, and on Ctrl-C)."""
    save_steps: int | None = None
    """Save a checkpoint also each so many steps."""
    keep: int = 2
    """How many of the latest checkpoints to keep; the best one is kept beside them."""

    max_skips: int = 10
    """Steps whose loss or gradient is not finite are skipped. After so many in a row,
    go back to the last good checkpoint and on from there at half the learning rate."""
    max_rollbacks: int = 3
    """Go back at most so many times, then stop."""

    workdir: Path | None = None
    """Where the run lives. Default: runs/CORPUS-CELL-HASH of the configuration."""
    tensorboard: bool = False
    """Also write metrics for TensorBoard (needs the extra jaxtext[tensorboard])."""
    wandb: bool = False
    """Also send metrics to Weights & Biases (needs the extra jaxtext[wandb])."""


C = TypeVar("C", bound=Config)

PRESETS = {
    "modern": Config(),
    "tutorial": Config(
        preset="tutorial",
        characters=100_000,
        val_fraction=0.0,
        hidden=128,
        dropout=0.0,
        batch_size=256,
        seq_len=200,
        stride=3,
        slices=8,
        optimizer="rmsprop",
        learning_rate=1e-3,
        epochs=20,
    ),
}

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


def parse(argv: Sequence[str] | None = None, kind: type[C] = Config) -> C:
    """Reads the command line; ``--preset`` decides what the defaults are.

    Args:
      argv: The words. Default: those of this process.
      kind: `Config`, or what adds flags with defaults to it.

    Raises:
      InputError: If a value is out of range.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--preset", default="modern")
    preset = finder.parse_known_args(argv)[0].preset
    default = kind(**vars(PRESETS.get(preset, Config())))
    config = tyro.cli(kind, args=argv, default=default)
    check(config)
    return config


def check(config: Config) -> None:
    """Raises `InputError` for a value that no run could have."""
    positive = (
        "hidden layers batch_size seq_len stride slices steps epochs minutes "
        "characters learning_rate save_minutes save_steps eval_every eval_characters "
        "max_skips heartbeat_seconds"
    )
    for name in positive.split():
        value = getattr(config, name)
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"--{name.replace('_', '-')}: expected > 0, got {value}")
    joining = ("coordinator", "num_processes", "process_id")
    if not config.distributed and any(getattr(config, x) is not None for x in joining):
        raise InputError(
            "--coordinator, --num-processes and --process-id: expected --distributed "
            "with them; add it, or leave them out"
        )
    for name in ("dropout", "val_fraction"):
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise InputError(
                f"--{name.replace('_', '-')}: expected at least 0 and below 1, "
                f"got {value}"
            )
    check_seed(config.seed)
    if not 0 <= config.weight_decay < math.inf:
        raise InputError(
            f"--weight-decay: expected 0 or more, got {config.weight_decay}"
        )
    if isinstance(config.remat, int) and config.remat < 1:
        raise InputError(f"--remat: expected gates or > 0, got {config.remat}")
    if config.max_rollbacks < 0:
        raise InputError(
            f"--max-rollbacks: expected 0 or more, got {config.max_rollbacks}"
        )
    if config.keep < 2:
        raise InputError(
            f"--keep: expected at least 2, since one may turn out damaged, got "
            f"{config.keep}"
        )
    if config.eval_characters < 2:
        raise InputError("--eval-characters: expected at least 2, got 1")
    for extra, module in (("tensorboard", "tensorboardX"), ("wandb", "wandb")):
        if getattr(config, extra) and importlib.util.find_spec(module) is None:
            raise InputError(
                f"--{extra} needs {module}, which is not installed; run: pip install "
                f"'jaxtext[{extra}]'"
            )
    if config.batch_size % config.slices:
        raise InputError(
            f"--slices: expected a divisor of the batch size {config.batch_size}, got "
            f"{config.slices}"
        )


def check_seed(seed: int) -> None:
    """Raises `InputError` for a seed that would not be a seed of its own."""
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed: expected 0 or more, below 2**32, got {seed}")


def identity(config: Config, corpus_sha256: str) -> dict[str, Any]:
    """What makes a run the run that it is: the text itself stands for its name."""
    fields = dataclasses.asdict(config)
    kept = {k: v for k, v in fields.items() if k not in _OUTSIDE_IDENTITY}
    return kept | {"corpus": corpus_sha256}


def default_workdir(corpus_name: str, identity: dict[str, Any]) -> Path:
    """``runs/{corpus}-{cell}-{hash of the configuration}``."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return Path("runs") / f"{corpus_name}-{identity['cell']}-{digest[:8]}"


def build_model(
    identity: dict[str, Any],
    vocab_size: int,
    *,
    backend: str = "auto",
    remat: int | Literal["gates"] | None = None,
) -> jt.LanguageModel:
    """The model of a configuration: layers of the cell, each followed by dropout."""
    dtype = jnp.dtype(identity["dtype"])
    layers = []
    for _ in range(identity["layers"]):
        layers.append(CELLS[identity["cell"]](identity["hidden"], dtype=dtype))
        if identity["dropout"]:
            layers.append(jt.dropout(identity["dropout"]))
    cell = jt.stack(*layers)
    return jt.LanguageModel(cell, vocab_size, dtype, backend, remat)


def build_optimizer(config: Config, steps: int = 1) -> optax.GradientTransformation:
    """The optimizer of a configuration.

    How many steps the schedule is planned for, and what the learning rate is multiplied
    by, are hyperparameters in the optimizer's state, not constants in the compiled
    step: they can change for a step that is compiled, and a checkpoint holds them.
    """

    def rmsprop(steps, slowdown):
        del steps  # there is no schedule
        return optax.rmsprop(config.learning_rate * slowdown, decay=0.9, eps=1e-7)

    def adamw(steps, slowdown):
        def schedule(count):
            warmup = jnp.minimum(100.0, steps / 10)
            progress = (count - warmup) / jnp.maximum(steps - warmup, 1)
            cosine = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(progress, 0, 1)))
            rise = (count + 1) / jnp.maximum(warmup, 1)
            return config.learning_rate * slowdown * jnp.minimum(rise, cosine)

        def matrices(params):
            return jax.tree.map(lambda x: x.ndim > 1, params)

        decay = config.weight_decay
        return optax.chain(
            optax.clip_by_global_norm(1.0),
            optax.adamw(schedule, b2=0.99, weight_decay=decay, mask=matrices),
        )

    build = {"rmsprop": rmsprop, "adamw": adamw}[config.optimizer]
    return optax.inject_hyperparams(build)(steps=float(steps), slowdown=1.0)


def planned_for(opt_state: Any, steps: int) -> Any:
    """The state of `build_optimizer`'s optimizer with its schedule planned anew."""
    return _with(opt_state, steps=steps)


def slowed(opt_state: Any) -> Any:
    """The state of `build_optimizer`'s optimizer with half the learning rate."""
    return _with(opt_state, slowdown=opt_state.hyperparams["slowdown"] / 2)


def _with(opt_state, **hyperparams):
    changed = {k: jnp.asarray(v, jnp.float32) for k, v in hyperparams.items()}
    return opt_state._replace(hyperparams=opt_state.hyperparams | changed)
