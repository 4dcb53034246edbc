"""From a command line, a preset and what a run remembers to a configuration."""

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

from charlm.config import ARCHITECTURE, BEFORE, BUDGETS, INHERITED, TEXTS, Config
from charlm.remembered import FILE, IDENTITY, check_texts, has, of_identity, remembered
from charlm.settings import usual
from common.flags import build, flag, off, spelled, typed
from common.names import command
from common.rules import check
from jaxtext.buckets import place
from jaxtext.errors import InputError, one_line
from jaxtext.runs.storage import storage
from jaxtext.streams import say
from presets import PRESETS

C = TypeVar("C", bound=Config)


def parse(
    argv: Sequence[str] | None = None, kind: type[C] = Config, about: str | None = None
) -> C:
    """Reads the command line. Flags that were not typed come from the run or a preset.

    The run is the one in ``--workdir``, if there is one. ``--preset`` has the values
    that neither the command line nor the run sets. If another preset is typed than the
    run has, only the run's texts are taken over. A line says what was taken over. A
    budget (``--steps``, ``--epochs``, ``--minutes``) that is typed replaces all budgets
    of the run and the preset. A run that starts from another one (``--init-from``) has
    the architecture of that.

    Args:
      argv: The words. Default: those of this process.
      kind: `Config`, or a subclass that adds flags with defaults.
      about: The script's docstring, which ``--help`` shows.

    Raises:
      InputError: If a value is out of range, a flag is unknown, flags do not go
        together, or a flag that was typed would have no effect.
    """
    words = typed(kind, argv, about)
    workdir = place((words.get("workdir") or [""])[-1])
    taken = _taken_over(workdir, words) if "workdir" in words else {}
    preset: Any = (words.get("preset") or [taken.get("preset", "modern")])[-1]
    values = {"preset": preset, **PRESETS[preset]}
    origin = _of_origin(words)
    values |= origin
    if preset == taken.get("preset", preset):
        values |= taken
    else:  # no preset sets a text
        values |= {name: taken[name] for name in TEXTS if name in taken}
    if any(words.get(name) for name in BUDGETS):
        # Who says how long to train means that, and not another time as well.
        values = {name: x for name, x in values.items() if name not in BUDGETS}
    config = build(kind, words, values)
    told = _untyped(config, words, preset) if taken or origin else {}
    _check_architecture(config, origin)
    try:
        check_texts({name: told[name] for name in TEXTS if name in told}, workdir)
        check(config, words)
    except InputError as error:
        if not taken:
            raise
        raise _with_what_was_taken(error, told, workdir) from error
    if told and not config.process_id:
        flags = (command(*spelled(name, value)) for name, value in told.items())
        whose = "this run" if taken else f"the run in {config.init_from}"
        say(f"as {whose} was given: {one_line(' '.join(flags))}")
    return config


def _taken_over(workdir, words):
    """What is known of the run in a directory, which need not be typed again."""
    storage(workdir).check()
    if has(workdir, FILE) or not has(workdir, IDENTITY):
        return _with_old_ways(remembered(workdir))
    if "corpus" not in words:
        say(
            f"note: the run in {workdir} was made before {FILE} was kept, and does not "
            "know where its text is: give --corpus, and what else it was given to train"
        )
    return _with_old_ways(of_identity(workdir))


def _with_old_ways(known):
    """What is known of a run, and what it did if it is older than a flag."""
    return BEFORE[known["vocab"]] | known if "vocab" in known else known


def _of_origin(words):
    """What a run takes over from the one that it starts from."""
    if "init_from" not in words:
        return {}
    kept = of_identity(place((words["init_from"] or [""])[-1]))
    if not kept:  # which need not be there any more if the run has begun
        return {}
    defaults = {field.name: field.default for field in fields(Config)}
    return {name: kept.get(name, defaults[name]) for name in INHERITED}


def _check_architecture(config, origin):
    """Raises `InputError` unless a run has the architecture of its origin."""
    for name in ARCHITECTURE:
        here = getattr(config, name)
        if origin and here != origin[name]:
            wanted, got = (" ".join(spelled(name, x)) for x in (origin[name], here))
            raise InputError(
                f"{flag(name)}: expected {wanted}, as the run in "
                f"{config.init_from} has it, got {got}; leave {flag(name)} "
                "out, or --init-from"
            )


def _untyped(config, words, preset):
    """Values that differ from the preset's, though nobody has typed them."""
    known, told = usual(preset), {}
    for field in fields(Config):
        name, value = field.name, getattr(config, field.name)
        if name not in words and value != known[name]:
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
    where = FILE if has(workdir, FILE) else IDENTITY
    advice = " and ".join(
        f"{no} turns it off"
        if (no := off(Config, name))
        else f"give {flag(name)} again"
        for name in names
    )
    which = " and ".join(map(flag, names))
    return InputError(f"{said} ({which}: remembered from {workdir / where}; {advice})")
