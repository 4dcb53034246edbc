"""The command line: flags to a configuration, and what no run could have."""

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro
from char_config import Config
from flags import Typed, flag, typed
from presets import PRESETS

from jaxtext.errors import InputError
from jaxtext.versions import lacking

C = TypeVar("C", bound=Config)

_POSITIVE = (
    "hidden layers embedding batch_size seq_len stride slices steps epochs minutes "
    "characters learning_rate clip save_minutes save_steps eval_every eval_characters "
    "max_skips heartbeat_seconds"
)
BUDGETS = ("steps", "epochs", "minutes")
_NOT_NEGATIVE = "weight_decay warmup_steps max_rollbacks sample_every"
_OF_LAYERS = "residual dropout_between"
_OF_ADAMW = "schedule warmup_steps weight_decay clip"
_OF_PROCESSES = "coordinator num_processes process_id heartbeat_seconds"
_OF_VALIDATION = "eval_characters eval_protocol"
_RATES = (
    "val_fraction dropout dropout_between dropout_input dropout_hidden weight_drop "
    "zoneout zoneout_hidden label_smoothing reset_probability average_decay"
)


def parse(argv: Sequence[str] | None = None, kind: type[C] = Config) -> C:
    """Reads the command line; ``--preset`` decides what the defaults are.

    A budget (``--steps``, ``--epochs``, ``--minutes``) takes the place of the preset's.

    Args:
      argv: The words. Default: those of this process.
      kind: `Config`, or what adds flags with defaults to it.

    Raises:
      InputError: If a value is out of range, a flag is unknown, or one that was typed
        would do nothing.
    """
    words = typed(kind, argv)
    preset: Any = (words.get("preset") or ["modern"])[-1]
    values = dict(PRESETS[preset])
    if words.keys() & set(BUDGETS):
        # Who says how long to train means that, and not the preset's time as well.
        values = {k: v for k, v in values.items() if k not in BUDGETS}
    config = tyro.cli(kind, args=argv, default=kind(preset=preset, **values))
    check(config, words)
    return config


def check(config: Config, words: Typed) -> None:
    """Raises `InputError` for a value, or values together, that no run could have.

    Args:
      config: The configuration.
      words: Which flags were typed.
    """
    for name in _POSITIVE.split():
        for value in _each(getattr(config, name)):
            if not 0 < value < math.inf:
                raise InputError(f"{flag(name)}: expected > 0, got {value}")
    for name in _NOT_NEGATIVE.split():
        for value in _each(getattr(config, name)):
            if not 0 <= value < math.inf:
                raise InputError(f"{flag(name)}: expected 0 or more, got {value}")
    for name in _RATES.split():
        for value in _each(getattr(config, name)):
            if not 0 <= value < 1:
                raise InputError(
                    f"{flag(name)}: expected at least 0 and below 1, got {value}"
                )
    check_seed(config.seed)
    _check_model(config)
    _check_batches(config)
    _check_effect(config, words)
    if isinstance(config.remat, int) and config.remat < 1:
        raise InputError(f"--remat: expected gates or > 0, got {config.remat}")
    if config.keep < 2:
        raise InputError(
            f"--keep: expected at least 2, since one may turn out damaged, got "
            f"{config.keep}"
        )
    if config.eval_characters < 2:
        raise InputError("--eval-characters: expected at least 2, got 1")
    for extra in ("tensorboard", "wandb"):
        lack = lacking(extra) if getattr(config, extra) else None
        if lack is not None:
            raise InputError(f"--{extra}: {lack}")


def _check_model(config):
    """Raises for ingredients that do not go together, or not with the cell."""
    if config.dropout_input and not (config.embedding or config.tied):
        raise InputError(
            "--dropout-input: expected an embedding to drop from; add --tied or "
            "--embedding WIDTH"
        )
    if config.tied and config.embedding not in (None, config.hidden):
        raise InputError(
            f"--tied: expected an embedding as wide as a layer, {config.hidden}, got "
            f"{config.embedding}; leave --embedding out"
        )
    for name in ("dropout_hidden", "zoneout_hidden"):
        if getattr(config, name) and config.cell != "lstm":
            raise InputError(
                f"{flag(name)}: expected --cell lstm, which has a memory beside its "
                f"hidden state, got {config.cell}; --zoneout and --weight-drop go with "
                "every cell"
            )


def _check_effect(config, words):
    """Raises for a flag that was typed, and would do nothing.

    What a preset sets is not typed: another flag may take its effect away.
    """
    adamw = config.optimizer == "adamw"
    drops = config.dropout or (config.layers > 1 and config.dropout_between)
    validates = config.val_fraction or config.val_corpus
    for names, needed, expected in (
        (_OF_ADAMW, adamw, "--optimizer adamw, for rmsprop has none"),
        (_OF_LAYERS, config.layers > 1, "--layers 2 or more, for it is between layers"),
        (_OF_PROCESSES, config.distributed, "--distributed with it"),
        ("variational", drops, "--dropout above 0, whose masks it is about"),
        ("val_fraction", not config.val_corpus, "no --val-corpus, read in its place"),
        (_OF_VALIDATION, validates, "--val-fraction above 0, or --val-corpus"),
    ):
        for name in () if needed else names.split():
            value = getattr(config, name)
            if name in words and _asks_for_something(value):
                raise InputError(
                    f"{flag(name)}: expected {expected}, got {value}; give that, or "
                    f"leave {flag(name)} out"
                )


def _asks_for_something(value):
    """Whether a value does not turn its flag off, as a rate of 0 does."""
    off = value is None or value is False or (isinstance(value, float) and value == 0)
    return not off


def _check_batches(config):
    """Raises for batches that cannot be."""
    if config.batch_size % config.slices:
        raise InputError(
            f"--slices: expected a divisor of the batch size {config.batch_size}, got "
            f"{config.slices}"
        )
    if config.stride is None:
        return
    if not isinstance(config.seq_len, int):
        raise InputError(
            f"--seq-len: expected one number with --stride, got {config.seq_len}"
        )
    if config.reset_probability:
        raise InputError(
            "--reset-probability: expected streams that carry on, but windows "
            "(--stride) all begin from the zero state; leave one of them out"
        )


def check_seed(seed: int) -> None:
    """Raises `InputError` for a seed that would not be a seed of its own."""
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed: expected 0 or more, below 2**32, got {seed}")


def _each(value):
    """The numbers in a field that may have none, one or several."""
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)
