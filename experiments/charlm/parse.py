"""The flags of ``char_gen.py``: to a configuration, and what no run could have."""

import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from common.flags import Typed, build, flag, off, spelled, typed
from common.names import command
from presets import PRESETS

from charlm.config import Config
from charlm.remembered import (
    FILE,
    IDENTITY,
    TEXTS,
    check_texts,
    of_identity,
    remembered,
)
from jaxtext.errors import InputError, one_line
from jaxtext.streams import say
from jaxtext.versions import lacking

C = TypeVar("C", bound=Config)

BUDGETS = ("steps", "epochs", "minutes")
_OF_LAYERS = "residual dropout_between"
_OF_ADAMW = "schedule warmup_steps weight_decay clip"
_OF_PROCESSES = "coordinator num_processes process_id heartbeat_seconds"
_OF_VALIDATION = "eval_characters eval_protocol"


def parse(
    argv: Sequence[str] | None = None, kind: type[C] = Config, about: str | None = None
) -> C:
    """Reads the command line. What was not typed is as the run or the preset has it.

    The run is the one in ``--workdir``, if there is one; then ``--preset`` decides. Of
    a run with another preset, the texts alone are taken over. What is taken over is
    said in a line. A budget (``--steps``, ``--epochs``, ``--minutes``) takes the place
    of all of theirs.

    Args:
      argv: The words. Default: those of this process.
      kind: `Config`, or what adds flags with defaults to it.
      about: The script's docstring, which ``--help`` tells.

    Raises:
      InputError: If a value is out of range, a flag is unknown, or one that was typed
        would do nothing.
    """
    words = typed(kind, argv, about)
    workdir = Path((words.get("workdir") or [""])[-1])
    taken = _taken_over(workdir, words) if "workdir" in words else {}
    preset: Any = (words.get("preset") or [taken.get("preset", "modern")])[-1]
    values = {"preset": preset, **PRESETS[preset]}
    if preset == taken.get("preset", preset):
        values |= taken
    else:  # no preset sets a text
        values |= {name: taken[name] for name in TEXTS if name in taken}
    if any(words.get(name) for name in BUDGETS):
        # Who says how long to train means that, and not another time as well.
        values = {name: x for name, x in values.items() if name not in BUDGETS}
    config = build(kind, words, values)
    told = _untyped(config, words, preset) if taken else {}
    try:
        check_texts({name: told[name] for name in TEXTS if name in told}, workdir)
        check(config, words)
    except InputError as error:
        raise _with_what_was_taken(error, told, workdir) from error
    if told and not config.process_id:
        flags = (command(*spelled(name, value)) for name, value in told.items())
        say(f"as this run was given: {one_line(' '.join(flags))}")
    return config


def _taken_over(workdir, words):
    """What is known of the run in a directory, which need not be typed again."""
    if (workdir / FILE).exists() or not (workdir / IDENTITY).exists():
        return remembered(workdir)
    if "corpus" not in words:
        say(
            f"note: the run in {workdir} was made before {FILE} was kept, and does not "
            "know where its text is: give --corpus, and what else it was given to train"
        )
    return of_identity(workdir)


def _untyped(config, words, preset):
    """What is not as the preset has it, though nobody has typed it."""
    usual = {"preset": "modern"} | PRESETS[preset]
    told = {}
    for field in fields(Config):
        name, value = field.name, getattr(config, field.name)
        if name not in words and value != usual.get(name, field.default):
            told[name] = value
    if any(getattr(config, name) for name in BUDGETS):
        # One takes the place of another, of which nothing need be said.
        return {k: x for k, x in told.items() if not (k in BUDGETS and x is None)}
    return told


def _with_what_was_taken(error, told, workdir):
    """An error that says which of the flags in it were not typed, but remembered."""
    said = str(error)
    names = [x for x in told if re.search(rf"{flag(x)}(?![\w-])", said)]
    if not names or FILE in said:
        return error
    where = FILE if (workdir / FILE).exists() else IDENTITY
    advice = " and ".join(
        f"{no} turns it off"
        if (no := off(Config, name))
        else f"give {flag(name)} again"
        for name in names
    )
    which = " and ".join(map(flag, names))
    return InputError(f"{said} ({which}: remembered from {workdir / where}; {advice})")


def check(config: Config, words: Typed) -> None:
    """Raises `InputError` for values that do not go together.

    Args:
      config: The configuration.
      words: Which flags were typed.
    """
    _check_model(config)
    _check_batches(config)
    _check_effect(config, words)
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
